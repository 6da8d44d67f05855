// A bag of seqs that knows its least: how far a replica has really come is asked with every ack, however much it still has to get.

import type { Seq } from '../core/attributes.ts';

/** Adding, removing and asking cost the logarithm of what is in it. */
export class LeastSeq {
  readonly #counts = new Map<Seq, number>();
  /** A binary heap of the seqs in `#counts`; those that were removed since stay until they come up. */
  readonly #heap: Seq[] = [];

  add(seq: Seq): void {
    const count = this.#counts.get(seq) ?? 0;
    this.#counts.set(seq, count + 1);
    if (count === 0) this.#push(seq);
  }

  /** Removes one of those equal to `seq`, which must be in the bag. */
  remove(seq: Seq): void {
    const count = this.#counts.get(seq) ?? 0;
    if (count > 1) this.#counts.set(seq, count - 1);
    else this.#counts.delete(seq);
  }

  /** Infinity when the bag is empty. */
  get least(): Seq {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined) return Infinity;
      if (this.#counts.has(top)) return top;
      this.#pop();
    }
  }

  #push(seq: Seq): void {
    const heap = this.#heap;
    let at = heap.push(seq) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || parent <= seq) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = seq;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      let child = heap[below];
      const right = heap[below + 1];
      if (child !== undefined && right !== undefined && right < child) {
        below += 1;
        child = right;
      }
      if (child === undefined || child >= last) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
  }
}
