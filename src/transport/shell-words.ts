// `--rsh COMMAND` as a shell would split it: words, quotes, backslashes. No expansion of any kind.

import { FamError } from '../core/errors.ts';

/** @throws FamError USAGE when a quote is left open or no word is there. */
export function shellWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: '"' | "'" | undefined;
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (quote === undefined && /\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    word ??= '';
    if (char === quote) quote = undefined;
    else if (quote === undefined && (char === '"' || char === "'")) quote = char;
    else if (char === '\\' && quote !== "'") {
      const next = text.charAt(i + 1);
      if (next === '') throw new FamError('USAGE', `--rsh '${text}' ends with a backslash`);
      // Inside double quotes a backslash is special only before these (POSIX shell, 2.2.3).
      if (quote === '"' && !'"\\$`'.includes(next)) word += char;
      word += next;
      i++;
    } else word += char;
  }
  if (quote !== undefined) throw new FamError('USAGE', `--rsh '${text}' has a ${quote} that is not closed`);
  if (word !== undefined) words.push(word);
  if (words.length === 0) throw new FamError('USAGE', '--rsh names no command');
  return words;
}
