// The contents that were announced and are still to come. A row of the store each: a first contact may begin with a hundred thousand of
// them, and a batch changes a few.

import * as z from 'zod/mini';
import type { InodeId } from '../core/attributes.ts';
import type { TreeStore } from '../tree/store.ts';

const prefix = 'replica/pending/';

/** What changes it is called inside a transaction; when that fails, the agent ends. */
export class PendingContents implements Iterable<InodeId> {
  readonly #store: TreeStore;
  #known: Set<InodeId> | undefined;

  constructor(store: TreeStore) {
    this.#store = store;
  }

  get size(): number {
    return this.#all.size;
  }

  has(id: InodeId): boolean {
    return this.#all.has(id);
  }

  [Symbol.iterator](): IterableIterator<InodeId> {
    return this.#all.values();
  }

  add(id: InodeId): void {
    if (this.#all.has(id)) return;
    this.#all.add(id);
    this.#store.setMeta(keyOf(id), true);
  }

  /** False: it was not pending. */
  delete(id: InodeId): boolean {
    if (!this.#all.delete(id)) return false;
    this.#store.removeMeta(keyOf(id));
    return true;
  }

  clear(): void {
    for (const id of [...this.#all]) this.delete(id);
  }

  get #all(): Set<InodeId> {
    this.#known ??= new Set(this.#read());
    return this.#known;
  }

  *#read(): Generator<InodeId> {
    for (const [key] of this.#store.metaBelow(prefix, z.literal(true)))
      yield Number(key.slice(prefix.length));
  }
}

function keyOf(id: InodeId): string {
  return `${prefix}${id}`;
}
