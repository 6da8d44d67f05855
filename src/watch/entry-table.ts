// The entries of one directory, small: one string until it is written to often, then a Map, later one string again. That of a large
// directory is indexed when it is first looked into.

import type { Name } from '../core/name.ts';
import type { EntryCode } from './entry-code.ts';
import { LargeEntries } from './large-entries.ts';
import { codeAt, codeUnits, eachPacked, packEntry } from './packed-entries.ts';

/** A packed table of more characters is turned into a Map before it is changed: copying it would cost more. */
const maxPackedEdit = 4096;

/** One of more characters is large: to look through it takes longer than a system call (some 40 us). */
const maxSearched = 64 * 1024;

export class EntryTable {
  #packed = '';
  #map: Map<Name, EntryCode> | LargeEntries | undefined;

  /** Replaces everything. */
  load(packed: string): void {
    this.#packed = packed;
    this.#map = undefined;
  }

  get isEmpty(): boolean {
    return this.#map === undefined ? this.#packed === '' : this.#map.size === 0;
  }

  get(name: Name): EntryCode | undefined {
    this.prepare();
    if (this.#map !== undefined) return this.#map.get(name);
    const at = this.#packed.indexOf(`\0${name}/`);
    return at < 0 ? undefined : codeAt(this.#packed, at + name.length + 2);
  }

  /** Does now what a first look would have to wait for: some 70 ms with a million names. */
  prepare(): void {
    if (this.#map !== undefined || this.#packed.length <= maxSearched) return;
    this.#map = new LargeEntries(this.#packed);
    this.#packed = '';
  }

  /** Returns true when it takes more memory than it need, which `shrink` undoes. */
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
    if (this.#map instanceof Map) return true;
    if (this.#map === undefined && this.#packed.length <= maxPackedEdit) return false;
    this.prepare();
    if (this.#map === undefined || this.#map.isWorn) {
      const map = new Map<Name, EntryCode>();
      this.each((name, code) => map.set(name, code));
      this.#map = map;
      this.#packed = '';
    }
    return true;
  }

  /** Makes it small again. */
  shrink(): void {
    if (this.#map instanceof Map || this.#map?.isTidy === false) this.pack();
  }

  /** The whole table as one string, which is also how it is kept from now on. */
  pack(): string {
    if (this.#map instanceof LargeEntries) this.#packed = this.#map.pack();
    else if (this.#map !== undefined) {
      const parts: string[] = [];
      for (const [name, code] of this.#map) parts.push(packEntry(name, code));
      this.#packed = parts.join('');
    }
    this.#map = undefined;
    return this.#packed;
  }

  /** Calls `visit` for each entry that is there now; the table may be changed meanwhile. */
  each(visit: (name: Name, code: EntryCode) => void): void {
    if (this.#map === undefined) eachPacked(this.#packed, visit);
    else if (this.#map instanceof LargeEntries) this.#map.each(visit);
    else for (const [name, code] of [...this.#map]) visit(name, code);
  }
}
