// A set of inode ids: they are dense, so one bit each is enough.

import type { InodeId } from '../core/attributes.ts';

/** Pure. Grows to the largest id: 125 KB for a million. */
export class IdSet {
  #bits = new Uint8Array(1024);

  /** False when the id was in the set already. */
  add(id: InodeId): boolean {
    const index = Math.floor(id / 8);
    if (index >= this.#bits.length) {
      const grown = new Uint8Array(Math.max(index + 1, this.#bits.length * 2));
      grown.set(this.#bits);
      this.#bits = grown;
    }
    const bits = this.#bits[index] ?? 0;
    const bit = 1 << (id % 8);
    this.#bits[index] = bits | bit;
    return (bits & bit) === 0;
  }

  delete(id: InodeId): void {
    const index = Math.floor(id / 8);
    if (index < this.#bits.length) this.#bits[index] = (this.#bits[index] ?? 0) & ~(1 << (id % 8));
  }

  clear(): void {
    this.#bits.fill(0);
  }
}
