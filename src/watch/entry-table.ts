// The entries of one directory, small: one string until it is written to often, then a Map, later one string again.

import type { Name } from '../core/name.ts';
import type { EntryCode } from './entry-code.ts';

// Packed, an entry is NUL, its name, '/', and its code as five units of 7 bits, each from 0x80 on. Names hold neither NUL
// nor '/', so "\0name/" is found only where an entry begins.
const codeUnits = 5;

/** A packed table of more characters is turned into a Map before it is changed: copying it would cost more. */
const maxPackedEdit = 4096;

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

function codeAt(packed: string, at: number): EntryCode {
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

export class EntryTable {
  #packed = '';
  #map: Map<Name, EntryCode> | undefined;

  /** Replaces everything. */
  load(packed: string): void {
    this.#packed = packed;
    this.#map = undefined;
  }

  get isEmpty(): boolean {
    return this.#map === undefined ? this.#packed === '' : this.#map.size === 0;
  }

  get(name: Name): EntryCode | undefined {
    if (this.#map !== undefined) return this.#map.get(name);
    const at = this.#packed.indexOf(`\0${name}/`);
    return at < 0 ? undefined : codeAt(this.#packed, at + name.length + 2);
  }

  /** Returns true when the table has just become a Map, which `pack` undoes. */
  set(name: Name, code: EntryCode): boolean {
    const opened = this.#open();
    if (this.#map !== undefined) this.#map.set(name, code);
    else {
      this.#cut(name);
      this.#packed += packEntry(name, code);
    }
    return opened;
  }

  /** Like `set`. */
  delete(name: Name): boolean {
    const opened = this.#open();
    if (this.#map !== undefined) this.#map.delete(name);
    else this.#cut(name);
    return opened;
  }

  #cut(name: Name): void {
    const at = this.#packed.indexOf(`\0${name}/`);
    if (at < 0) return;
    this.#packed = this.#packed.slice(0, at) + this.#packed.slice(at + name.length + 2 + codeUnits);
  }

  #open(): boolean {
    if (this.#map !== undefined || this.#packed.length <= maxPackedEdit) return false;
    const map = new Map<Name, EntryCode>();
    eachPacked(this.#packed, (name, code) => map.set(name, code));
    this.#map = map;
    this.#packed = '';
    return true;
  }

  /** The whole table as one string, which is also how it is kept from now on. */
  pack(): string {
    if (this.#map !== undefined) {
      const parts: string[] = [];
      for (const [name, code] of this.#map) parts.push(packEntry(name, code));
      this.#packed = parts.join('');
      this.#map = undefined;
    }
    return this.#packed;
  }

  /** Calls `visit` for each entry that is there now; the table may be changed meanwhile. */
  each(visit: (name: Name, code: EntryCode) => void): void {
    if (this.#map === undefined) eachPacked(this.#packed, visit);
    else for (const [name, code] of [...this.#map]) visit(name, code);
  }
}
