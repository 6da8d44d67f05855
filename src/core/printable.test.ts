import { expect, test } from 'vitest';
import { printable } from './printable.ts';

test('control characters are shown, lines and letters of all kinds stay', () => {
  expect(printable('a\u001b[2J\r\u009b1mb\u0000')).toBe('a\\x1b[2J\\x0d\\x9b1mb\\x00');
  expect(printable('zwei\n\tZeilen, größer: 日本')).toBe('zwei\n\tZeilen, größer: 日本');
});
