// Names on the command line as bytes: Node.js puts U+FFFD in the place of what is not UTF-8.

import { readFileSync } from 'node:fs';

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
