// What is counted for the whole tree: numbers given out, things alive. One value of the store's, kept in memory and written once for
// each transaction.

import type { Database } from 'lmdb';
import * as z from 'zod/mini';
import { type InodeId, rootId, type Seq } from '../core/attributes.ts';

const key = 'counters';

const counts = z.object({
  /** Last seq given out; last inode id given out. */
  head: z.int().check(z.nonnegative()),
  lastId: z.int().check(z.nonnegative()),
  /** Nothing is known of single changes up to here: a cursor below it is reconciled by a walk. */
  pruned: z.int().check(z.nonnegative()),
  /** Living inodes and living entries. */
  inodes: z.int().check(z.nonnegative()),
  entries: z.int().check(z.nonnegative()),
  /** Inodes without a name may still be found under another one (editor.ts). */
  unsettled: z.optional(z.boolean()),
  /** A directory is between two places. */
  moving: z.optional(z.boolean()),
});
type Counts = z.infer<typeof counts>;
const none: Counts = { head: 0, lastId: rootId, pruned: 0, inodes: 0, entries: 0 };

/** Whatever changes something is called inside a transaction, before the end of which `save` is. */
export class Counters {
  readonly #meta: Database<unknown, string>;
  #now: Counts = { ...none };
  #isRead = false;
  #isChecked = false;
  #isChanged = false;

  constructor(meta: Database<unknown, string>) {
    this.#meta = meta;
  }

  get head(): Seq {
    return this.#read().head;
  }

  get pruned(): Seq {
    return this.#read().pruned;
  }

  get inodes(): number {
    return this.#read().inodes;
  }

  get entries(): number {
    return this.#read().entries;
  }

  get isSettled(): boolean {
    return this.#read().unsettled !== true;
  }

  get isMoving(): boolean {
    return this.#read().moving === true;
  }

  nextSeq(): Seq {
    this.#isChanged = true;
    this.#read().head += 1;
    return this.#now.head;
  }

  nextId(): InodeId {
    this.#isChanged = true;
    this.#read().lastId += 1;
    return this.#now.lastId;
  }

  setBase(seq: Seq): void {
    const now = this.#read();
    this.#isChanged = true;
    now.pruned = Math.max(now.pruned, seq);
    now.head = Math.max(now.head, seq);
  }

  setBetween(state: { readonly isSettled: boolean; readonly isMoving: boolean }): void {
    const now = this.#read();
    if (state.isSettled === this.isSettled && state.isMoving === this.isMoving) return;
    now.unsettled = !state.isSettled;
    now.moving = state.isMoving;
    this.#isChanged = true;
  }

  count(what: 'inodes' | 'entries', by: number): void {
    this.#isChanged = true;
    this.#read()[what] += by;
  }

  /** All as at the beginning. */
  reset(): void {
    this.#now = { ...none };
    this.#isRead = true;
    this.#isChanged = true;
  }

  /** Writes what has changed. Inside the transaction. */
  save(): void {
    if (this.#isChanged) this.#meta.putSync(key, this.#now);
    this.#isChanged = false;
  }

  /** The store may say something else by now, or what was changed here was not committed: it is read again. */
  forget(): void {
    this.#isRead = false;
    this.#isChanged = false;
  }

  #read(): Counts {
    if (!this.#isRead) {
      const stored = this.#meta.get(key);
      // Checked once: what is there later was written by our own process. A reader asks for each batch.
      if (stored === undefined) this.#now = { ...none };
      else this.#now = this.#isChecked ? (stored as Counts) : counts.parse(stored);
      this.#isChecked = stored !== undefined;
      this.#isRead = true;
    }
    return this.#now;
  }
}
