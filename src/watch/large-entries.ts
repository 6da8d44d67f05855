// The entries of one large directory: packed as ever, with an index of where each name is, and what has changed since beside it. A look costs
// the same with a million names, and so does a change; some 8 bytes a name, from the first look on. Pure.

import { fnvBasis, fnvStep } from '../core/fnv.ts';
import type { Name } from '../core/name.ts';
import type { EntryCode } from './entry-code.ts';
import { codeAt, codeUnits, eachPacked, packEntry } from './packed-entries.ts';

const slash = 0x2f;
/** So many changes are never too many. */
const minWorn = 1024;
/** Changes are kept beside for as long as they are at most this part of all. */
const maxKeptPart = 1 / 64;

function spread(hash: number): number {
  return hash ^ (hash >>> 15);
}

function hashOf(name: Name): number {
  let hash = fnvBasis;
  for (let i = 0; i < name.length; i++) hash = fnvStep(hash, name.charCodeAt(i));
  return spread(hash);
}

export class LargeEntries {
  readonly #packed: string;
  /** Where an entry begins, + 1, by the hash of its name; linear probing, at most two thirds full. */
  readonly #slots: Uint32Array;
  readonly #packedCount: number;
  /** What has changed; undefined: it has gone. */
  readonly #changes = new Map<Name, EntryCode | undefined>();
  #size: number;

  constructor(packed: string) {
    this.#packed = packed;
    let capacity = 1024;
    let starts = new Uint32Array(capacity);
    let hashes = new Int32Array(capacity);
    let count = 0;
    for (let at = 0; at < packed.length; count++) {
      if (count === capacity) {
        capacity *= 2;
        starts = grown(starts, new Uint32Array(capacity));
        hashes = grown(hashes, new Int32Array(capacity));
      }
      starts[count] = at;
      let hash = fnvBasis;
      let end = at + 1;
      for (let unit = packed.charCodeAt(end); unit !== slash; unit = packed.charCodeAt(++end))
        hash = fnvStep(hash, unit);
      hashes[count] = spread(hash);
      at = end + 1 + codeUnits;
    }
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(count * 1.5 + 1)));
    const mask = this.#slots.length - 1;
    for (let i = 0; i < count; i++) {
      let slot = (hashes[i] ?? 0) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = (starts[i] ?? 0) + 1;
    }
    this.#packedCount = count;
    this.#size = count;
  }

  get size(): number {
    return this.#size;
  }

  /** Has been changed so much that it is not worth its memory. */
  get isWorn(): boolean {
    return this.#changes.size > Math.max(minWorn, this.#packedCount / 8);
  }

  /** So few changes that they may stay beside. */
  get isTidy(): boolean {
    return this.#changes.size <= this.#packedCount * maxKeptPart;
  }

  get(name: Name): EntryCode | undefined {
    if (this.#changes.has(name)) return this.#changes.get(name);
    const mask = this.#slots.length - 1;
    for (let slot = hashOf(name) & mask; ; slot = (slot + 1) & mask) {
      const at = this.#slots[slot] ?? 0;
      if (at === 0) return undefined;
      // `at` is where the name begins, one behind the entry's NUL.
      const end = at + name.length;
      if (this.#packed.charCodeAt(end) === slash && this.#packed.startsWith(name, at))
        return codeAt(this.#packed, end + 1);
    }
  }

  set(name: Name, code: EntryCode): void {
    if (this.get(name) === undefined) this.#size++;
    this.#changes.set(name, code);
  }

  delete(name: Name): void {
    if (this.get(name) === undefined) return;
    this.#size--;
    this.#changes.set(name, undefined);
  }

  /** Calls `visit` for each entry that is there now; it may be changed meanwhile. */
  each(visit: (name: Name, code: EntryCode) => void): void {
    const changes = new Map(this.#changes);
    eachPacked(this.#packed, (name, code) => {
      if (!changes.has(name)) visit(name, code);
    });
    for (const [name, code] of changes) if (code !== undefined) visit(name, code);
  }

  pack(): string {
    if (this.#changes.size === 0) return this.#packed;
    const parts: string[] = [];
    this.each((name, code) => parts.push(packEntry(name, code)));
    return parts.join('');
  }
}

function grown<T extends Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
