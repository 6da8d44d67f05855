import { expect, test } from 'vitest';
import { textLine } from './watch-lines.ts';

test('textLine prints no control characters, of names or of processes', () => {
  const line = textLine(
    { type: 'created', path: '/a\x1b[2J\u009b31m', kind: 'file', pid: 7, command: 'x\x1b]0;y\x07\n\u00e9' },
    new Date(0),
  );
  expect(line).toMatch(/ \/a\\x1b\[2J\\x9b31m {2}by x\\x1b\]0;y\\x07\\n\u00e9 \(7\)$/);
});
