// Under load the tree's thread would begin its next round before the reader thread has read anything of the last one, and nothing is sent
// while directories are between places. So it leaves what it has recorded to the reader for a while; this is how the two agree on that.

import type { Seq } from '../core/attributes.ts';

/** Heads that are this far apart look the same: they are years apart. */
const distinctHeads = 2 ** 31 - 1;

function markOf(head: Seq): number {
  return (head % distinctHeads) + 1;
}

/** One for each end; the memory is the same. */
export class ReadingTurn {
  /** To be given to the other end. */
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** The tree's thread: what is recorded up to here stays as it is until `withdraw`. */
  offer(head: Seq): void {
    Atomics.store(this.#words, 0, markOf(head));
  }

  /** Waits until the reader is done with what was offered; false when it is not after so many milliseconds. */
  wait(head: Seq, ms: number): boolean {
    return Atomics.wait(this.#words, 0, markOf(head), ms) !== 'timed-out';
  }

  withdraw(): void {
    Atomics.store(this.#words, 0, 0);
  }

  /** The reader thread: nothing is left to read up to here. */
  done(head: Seq): void {
    const mark = markOf(head);
    if (Atomics.compareExchange(this.#words, 0, mark, 0) === mark) Atomics.notify(this.#words, 0);
  }
}
