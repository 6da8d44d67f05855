// torture/: random operations at a source, faults in between, readers on the replicas, and the oracle after each round.
// May import anything of src/kernel and src/core for its system calls, test/oracle and test/support; no other room of src/.
//
// This file: the names that operations use, most of them plain, so that writers meet.

import type { ByteString } from '../../src/core/name.ts';

const utf8 = (text: string): ByteString => Buffer.from(text).toString('latin1');

/** Names that break scripts, parsers and assumptions. */
const uglyNames: readonly ByteString[] = [
  'new\nline',
  `quo'te"s`,
  '-rf',
  '--',
  ' ',
  'trailing ',
  '\\back\\slash',
  '*?[a-z]',
  '$(reboot)`id`',
  '\x01\x1b[31m',
  '\xff\xfe\x80',
  'half utf8 \xc3',
  utf8('é'.normalize('NFC')),
  utf8('é'.normalize('NFD')),
  utf8('日本語'),
  utf8('\u202eright to left'),
  'x'.repeat(255),
  utf8('é'.repeat(127)),
  '...',
  '.hidden',
  '~',
  // Names of our own: the folder inside a root, the one beside it, and what stands in them.
  '.fam-source',
  '.fam.tmp',
  'staging',
  'limbo',
  '1',
  '42',
];

const plainNames: readonly ByteString[] = [
  ...Array.from({ length: 12 }, (_, n) => `file${n}.html`),
  ...Array.from({ length: 4 }, (_, n) => `log.${n}`),
  'index.html',
  'a',
  'b',
  'data.bin',
];

const folderNames: readonly ByteString[] = [
  'pub',
  'img',
  'docs',
  'incoming',
  'v1',
  'v2',
  'a',
  'b',
  'archive 2001',
];

/** One draw in this many is an ugly name. */
const uglyEvery = 6;

export function pickName(draw: (below: number) => number, isFolder: boolean): ByteString {
  const pool = draw(uglyEvery) === 0 ? uglyNames : isFolder ? folderNames : plainNames;
  return pool[draw(pool.length)] ?? 'a';
}

/** Where symlinks point: inside, outside, nowhere, at themselves. All of it inside the generator's own root. */
export const linkTargets: readonly ByteString[] = [
  'file1.html',
  '../a',
  '/etc/passwd',
  '/',
  '..',
  '../../../../../../../../tree',
  '/tree/pub',
  '/staging',
  'no such file',
  '\xff\n',
  'self',
  `deep/${'y/'.repeat(1000)}`,
  '/proc/self/fd/0',
];
