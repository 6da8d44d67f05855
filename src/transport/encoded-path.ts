// A path in an agent's command line: percent-encoded bytes, so that no shell on the way and no
// character set changes it, and `ps` still shows what it is.

import { FamError } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';

const plain = /^[A-Za-z0-9_./@+=:,-]$/;

export function encodePath(path: ByteString): string {
  let out = '';
  for (const char of path) {
    out += plain.test(char) ? char : `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  }
  return out;
}

/** @throws FamError USAGE */
export function decodePath(encoded: string): ByteString {
  if (!/^(?:[A-Za-z0-9_./@+=:,-]|%[0-9a-f]{2})+$/.test(encoded)) {
    throw new FamError('USAGE', `'${encoded}' is not an encoded path`);
  }
  return encoded.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
