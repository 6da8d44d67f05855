// Which directory a file handle means, for up to millions of directories. Open addressing over typed arrays: about
// 45 bytes a directory where a Map of strings needs 200, nothing for the garbage collector to walk, and a handle is
// looked up where it lies in the event, without making a string of it.

import type { DirectoryTag } from './event-source.ts';

/** The longest handle (MAX_HANDLE_SZ) with its length and type, in 32-bit words. */
const maxKeyWords = 34;
const initialCapacity = 64;

function spread(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}

function hashTag(tag: DirectoryTag): number {
  return spread(Math.imul(tag | 0, 0x9e3779b1) ^ Math.floor(tag / 2 ** 32));
}

/** One table for one file system; handles and tags map one to one. */
export class HandleTable {
  /** Entries are dense: entry i has its key at i * stride and its tag at i. */
  #count = 0;
  #stride = 4;
  #keys = new Uint32Array(initialCapacity * 4);
  #tags = new Float64Array(initialCapacity);
  /** Entry index + 1 by hash of the handle, and by hash of the tag; linear probing, at most three quarters full. */
  #byHandle = new Uint32Array(initialCapacity * 2);
  #byTag = new Uint32Array(initialCapacity * 2);
  /** The handle being looked up: length | type << 8, then its words, the last one cut to the length. */
  readonly #key = new Uint32Array(maxKeyWords);
  #keyWords = 0;

  get size(): number {
    return this.#count;
  }

  /** The tag of the handle at `words[at]`: length in bytes, type, handle (struct file_handle). */
  get(words: Uint32Array, at: number): DirectoryTag | undefined {
    const entry = this.#byHandle[this.#findHandle(words, at)] ?? 0;
    return entry === 0 ? undefined : this.#tags[entry - 1];
  }

  /** Registers a handle; its former tag and the tag's former handle are forgotten. */
  set(words: Uint32Array, at: number, tag: DirectoryTag): void {
    let slot = this.#findHandle(words, at);
    const known = this.#byHandle[slot] ?? 0;
    let hasChanged = false;
    if (known !== 0) {
      const former = this.#tags[known - 1] ?? 0;
      if (former === tag) return;
      hasChanged = this.delete(former);
    }
    hasChanged = this.delete(tag) || hasChanged;
    if (this.#keyWords > this.#stride || this.#count === this.#tags.length) {
      this.#grow(words, at);
      hasChanged = true;
    }
    if (hasChanged) slot = this.#findHandle(words, at);
    const index = this.#count++;
    const start = index * this.#stride;
    for (let n = 0; n < this.#stride; n++)
      this.#keys[start + n] = n < this.#keyWords ? (this.#key[n] ?? 0) : 0;
    this.#tags[index] = tag;
    this.#byHandle[slot] = index + 1;
    this.#byTag[this.#findTag(tag)] = index + 1;
  }

  /** False when the tag was not known. */
  delete(tag: DirectoryTag): boolean {
    const tagSlot = this.#findTag(tag);
    const entry = this.#byTag[tagSlot] ?? 0;
    if (entry === 0) return false;
    const index = entry - 1;
    this.#vacate(this.#byTag, tagSlot, (i) => hashTag(this.#tags[i] ?? 0));
    this.#vacate(this.#byHandle, this.#slotOf(this.#byHandle, this.#hashEntry(index), entry), (i) =>
      this.#hashEntry(i),
    );
    const last = this.#count - 1;
    if (index !== last) {
      // The last entry moves into the gap, and its two slots with it.
      const tagOfLast = this.#slotOf(this.#byTag, hashTag(this.#tags[last] ?? 0), last + 1);
      const handleOfLast = this.#slotOf(this.#byHandle, this.#hashEntry(last), last + 1);
      this.#byTag[tagOfLast] = entry;
      this.#byHandle[handleOfLast] = entry;
      this.#keys.copyWithin(index * this.#stride, last * this.#stride, (last + 1) * this.#stride);
      this.#tags[index] = this.#tags[last] ?? 0;
    }
    this.#count = last;
    return true;
  }

  /** Gives the handle of a tag that is known to one that is not. */
  retag(former: DirectoryTag, tag: DirectoryTag): void {
    const slot = this.#findTag(former);
    const entry = this.#byTag[slot] ?? 0;
    if (entry === 0) return;
    this.#vacate(this.#byTag, slot, (i) => hashTag(this.#tags[i] ?? 0));
    this.#tags[entry - 1] = tag;
    this.#byTag[this.#findTag(tag)] = entry;
  }

  #readKey(words: Uint32Array, at: number): number {
    const bytes = words[at] ?? 0;
    const key = this.#key;
    const whole = Math.min(bytes >>> 2, maxKeyWords - 2);
    let hash = bytes | ((words[at + 1] ?? 0) << 8);
    key[0] = hash;
    let n = 1;
    for (; n <= whole; n++) {
      const word = words[at + 1 + n] ?? 0;
      key[n] = word;
      hash = Math.imul(hash ^ word, 0x9e3779b1) ^ (hash >>> 15);
    }
    const rest = bytes & 3;
    if (rest !== 0) {
      const word = (words[at + 1 + n] ?? 0) & ((1 << (8 * rest)) - 1);
      key[n++] = word;
      hash = Math.imul(hash ^ word, 0x9e3779b1) ^ (hash >>> 15);
    }
    this.#keyWords = n;
    return spread(hash);
  }

  #hashEntry(index: number): number {
    const at = index * this.#stride;
    const first = this.#keys[at] ?? 0;
    const used = 1 + (((first & 0xff) + 3) >>> 2);
    let hash = first | 0;
    for (let n = 1; n < used; n++)
      hash = Math.imul(hash ^ (this.#keys[at + n] ?? 0), 0x9e3779b1) ^ (hash >>> 15);
    return spread(hash);
  }

  /** The slot that holds the handle, or the empty one where it would go. */
  #findHandle(words: Uint32Array, at: number): number {
    const mask = this.#byHandle.length - 1;
    for (let slot = this.#readKey(words, at) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#byHandle[slot] ?? 0;
      if (entry === 0 || this.#hasKey(entry - 1)) return slot;
    }
  }

  #hasKey(index: number): boolean {
    const at = index * this.#stride;
    if (this.#keyWords > this.#stride) return false;
    for (let n = 0; n < this.#keyWords; n++) if (this.#keys[at + n] !== this.#key[n]) return false;
    return true;
  }

  #findTag(tag: DirectoryTag): number {
    const mask = this.#byTag.length - 1;
    for (let slot = hashTag(tag) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#byTag[slot] ?? 0;
      if (entry === 0 || this.#tags[entry - 1] === tag) return slot;
    }
  }

  #slotOf(slots: Uint32Array, hash: number, entry: number): number {
    const mask = slots.length - 1;
    let slot = hash & mask;
    while (slots[slot] !== entry) slot = (slot + 1) & mask;
    return slot;
  }

  /** Empties a slot and moves up those behind it that would otherwise no longer be found. */
  #vacate(slots: Uint32Array, slot: number, hashOf: (index: number) => number): void {
    const mask = slots.length - 1;
    let gap = slot;
    for (let next = (gap + 1) & mask; slots[next] !== 0; next = (next + 1) & mask) {
      const home = hashOf((slots[next] ?? 1) - 1) & mask;
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      slots[gap] = slots[next] ?? 0;
      gap = next;
    }
    slots[gap] = 0;
  }

  #grow(words: Uint32Array, at: number): void {
    const stride = Math.max(this.#stride, this.#keyWords);
    // Half as much again: what a million directories leave unused stays small.
    const full = this.#count === this.#tags.length;
    const capacity = full ? Math.floor(this.#tags.length * 1.5) : this.#tags.length;
    const keys = new Uint32Array(capacity * stride);
    if (stride === this.#stride) keys.set(this.#keys.subarray(0, this.#count * stride));
    else {
      for (let i = 0; i < this.#count; i++) {
        keys.set(this.#keys.subarray(i * this.#stride, (i + 1) * this.#stride), i * stride);
      }
    }
    const tags = new Float64Array(capacity);
    tags.set(this.#tags.subarray(0, this.#count));
    this.#keys = keys;
    this.#tags = tags;
    this.#stride = stride;
    if (capacity * 4 > this.#byHandle.length * 3) this.#rehash(this.#byHandle.length * 2);
    this.#readKey(words, at);
  }

  #rehash(slots: number): void {
    this.#byHandle = new Uint32Array(slots);
    this.#byTag = new Uint32Array(slots);
    const mask = slots - 1;
    for (let i = 0; i < this.#count; i++) {
      let slot = this.#hashEntry(i) & mask;
      while (this.#byHandle[slot] !== 0) slot = (slot + 1) & mask;
      this.#byHandle[slot] = i + 1;
      this.#byTag[this.#findTag(this.#tags[i] ?? 0)] = i + 1;
    }
  }
}
