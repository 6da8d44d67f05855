// Names on the command line as bytes: Node.js puts U+FFFD in the place of what is not UTF-8.

import { readFileSync } from 'node:fs';
import { FamError } from '../core/errors.ts';
import { textOfBytes } from '../core/name.ts';

/**
 * For what has to be text: left to itself, Node.js would make a folder of another name.
 * @throws FamError USAGE
 */
export function refuseOtherThanText(names: readonly string[]): void {
  for (const [index, bytes] of argumentBytes(names).entries()) {
    if (typeof bytes === 'string' || textOfBytes(Buffer.from(bytes).toString('latin1')) !== undefined)
      continue;
    throw new FamError(
      'USAGE',
      `'${names[index]}' is not UTF-8: the roots of a mirror have to be (what lies below them may have any name)`,
    );
  }
}

/** Those that Node.js has as text to the letter stay text. */
export function argumentBytes(names: readonly string[]): (string | Uint8Array)[] {
  if (!names.some((name) => name.includes('\ufffd'))) return [...names];
  const given = readFileSync('/proc/self/cmdline', 'latin1')
    .split('\0')
    .map((argument) => Buffer.from(argument, 'latin1'));
  return names.map((name) => {
    if (!name.includes('\ufffd')) return name;
    // Two that differ may look the same: each is taken once.
    const at = given.findIndex((bytes) => bytes.toString('utf8') === name);
    return given.splice(at, 1)[0] ?? name;
  });
}
