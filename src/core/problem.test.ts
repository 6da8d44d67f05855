import { expect, test } from 'vitest';
import { sentenceOf } from './problem.ts';

test.each([
  [{ path: 'a/b', action: 'read', code: 'EACCES' }, 'a/b: cannot read: EACCES (permission denied)'],
  [{ path: 'a\nb', action: 'set owner', code: 'EBADE' }, 'a\\nb: cannot set owner: EBADE'],
  [
    { path: 'log', action: 'read', code: 'changing' },
    'log: is written to all the time, and shown as far as it has come',
  ],
])('%j', (problem, sentence) => {
  expect(sentenceOf(problem)).toBe(sentence);
});
