import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shellWords } from './shell-words.ts';

describe('shellWords', () => {
  it.each([
    ['ssh', ['ssh']],
    ['  ssh -p 2222\t-i  ~/.ssh/id ', ['ssh', '-p', '2222', '-i', '~/.ssh/id']],
    [`ssh -o "ProxyCommand=nc -x p %h %p"`, ['ssh', '-o', 'ProxyCommand=nc -x p %h %p']],
    [`ssh -i '/my keys/id' ""`, ['ssh', '-i', '/my keys/id', '']],
    ['a\\ b "c\\"d" \'e\\f\' g"h"i', ['a b', 'c"d', 'e\\f', 'ghi']],
  ])('splits %s', (text, words) => {
    expect(shellWords(text)).toEqual(words);
  });

  it.each(['', '  ', 'ssh "x', "ssh 'x", 'ssh \\'])('refuses %j', (text) => {
    expect(() => shellWords(text)).toThrow('--rsh');
  });

  it('agrees with sh on quoted words', () => {
    const plain = fc.constantFrom('a', 'b', ' ', '"', "'", '\\', '-', '.', '=');
    fc.assert(
      fc.property(fc.array(plain, { minLength: 1, maxLength: 12 }), (chars) => {
        const text = `x${chars.join('')}`;
        let ours: string[];
        try {
          ours = shellWords(text);
        } catch {
          return;
        }
        const out = execFileSync('sh', ['-c', `printf '%s\\0' ${text}`], { encoding: 'utf8' });
        expect(ours).toEqual(out.split('\0').slice(0, -1));
      }),
      { numRuns: 200 },
    );
  });
});
