// Directory entries as one string, which a million of them may be.

import type { Name } from '../core/name.ts';
import type { EntryCode } from './entry-code.ts';

// Packed, an entry is NUL, its name, '/', and its code as five units of 7 bits, each from 0x80 on. Names hold neither NUL
// nor '/', so "\0name/" is found only where an entry begins.
export const codeUnits = 5;

export function packEntry(name: Name, code: EntryCode): string {
  return `\0${name}/${String.fromCharCode(
    0x80 | (code >>> 28),
    0x80 | ((code >>> 21) & 0x7f),
    0x80 | ((code >>> 14) & 0x7f),
    0x80 | ((code >>> 7) & 0x7f),
    0x80 | (code & 0x7f),
  )}`;
}

/** Packs the entries of one directory after the other, from the bytes of their names. */
export class EntryPacker {
  #bytes = Buffer.allocUnsafe(4096);
  #length = 0;

  add(bytes: Uint8Array, start: number, end: number, code: EntryCode): void {
    const most = this.#length + end - start + 2 + codeUnits;
    if (most > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], 2 * most);
    const packed = this.#bytes;
    let at = this.#length;
    packed[at++] = 0;
    for (let n = start; n < end; n++) packed[at++] = bytes[n] ?? 0;
    packed[at++] = 0x2f;
    packed[at++] = 0x80 | (code >>> 28);
    packed[at++] = 0x80 | ((code >>> 21) & 0x7f);
    packed[at++] = 0x80 | ((code >>> 14) & 0x7f);
    packed[at++] = 0x80 | ((code >>> 7) & 0x7f);
    packed[at++] = 0x80 | (code & 0x7f);
    this.#length = at;
  }

  /** The packed table, for `EntryTable.load`; the next directory begins. */
  take(): string {
    const packed = this.#bytes.toString('latin1', 0, this.#length);
    this.#length = 0;
    return packed;
  }
}

export function codeAt(packed: string, at: number): EntryCode {
  return (
    (packed.charCodeAt(at) & 0x7f) * 2 ** 28 +
    (((packed.charCodeAt(at + 1) & 0x7f) << 21) |
      ((packed.charCodeAt(at + 2) & 0x7f) << 14) |
      ((packed.charCodeAt(at + 3) & 0x7f) << 7) |
      (packed.charCodeAt(at + 4) & 0x7f))
  );
}

/** Calls `visit` for each entry of a packed table, in its order. */
export function eachPacked(packed: string, visit: (name: Name, code: EntryCode) => void): void {
  for (let at = 0; at < packed.length; ) {
    const slash = packed.indexOf('/', at);
    // What was packed was a name.
    visit(packed.slice(at + 1, slash) as Name, codeAt(packed, slash + 1));
    at = slash + 1 + codeUnits;
  }
}
