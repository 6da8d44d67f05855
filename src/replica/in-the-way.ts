// What first contact has found at names whose content, or folder, was still to come. When that comes it gives way; when the source takes
// such a name away before that, it has to go as well: nothing else remembers it. A row of the store each, as what is pending.

import * as z from 'zod/mini';
import type { Batch } from '../core/change.ts';
import { type Place, placeKey } from '../core/plan-operation.ts';
import type { Problem } from '../core/problem.ts';
import { ENOENT, errnoName } from '../kernel/sys.ts';
import type { TreeStore } from '../tree/store.ts';
import type { Applier } from './applier.ts';
import { notOurs } from './placer.ts';
import { nameSchema, type Records } from './records.ts';

const prefix = 'replica/in-the-way/';
const rowSchema = z.object({ parent: z.int(), name: nameSchema });

export class InTheWay {
  readonly #store: TreeStore;
  /** Numbers of the rows, by place. */
  #known: Map<string, number> | undefined;
  #last = 0;

  constructor(store: TreeStore) {
    this.#store = store;
  }

  /** Inside a transaction. */
  note({ parent, name }: Place): void {
    const key = placeKey({ parent, name });
    if (this.#all.has(key)) return;
    this.#last += 1;
    this.#all.set(key, this.#last);
    this.#store.setMeta(`${prefix}${this.#last}`, { parent, name });
  }

  /** What was to come has come. Inside a transaction. False: nothing was there. */
  forget({ parent, name }: Place): boolean {
    const key = placeKey({ parent, name });
    const row = this.#all.get(key);
    if (row === undefined) return false;
    this.#all.delete(key);
    this.#store.removeMeta(`${prefix}${row}`);
    return true;
  }

  /** Inside a transaction. */
  clear(): void {
    for (const row of this.#all.values()) this.#store.removeMeta(`${prefix}${row}`);
    this.#all.clear();
  }

  /**
   * Before a batch is applied: what is at names that it takes away, and to which nothing of the source's has come, is kept in the trash.
   * RACE: killed in between, the next agent is told of these names once more, and finds nothing there.
   * @param report told what could not be moved there
   */
  giveWay({ changes }: Batch, applier: Applier, report: (problem: Problem) => void): void {
    if (this.#all.size === 0) return;
    this.#store.transaction(() => {
      for (const change of changes)
        if (change.type === 'removed' && this.forget(change)) keep(change, applier, report);
    });
  }

  /** After a batch was applied: where what it brought could not be made, what is in its way stays, and is remembered. */
  haveCome({ changes }: Batch, records: Records): void {
    if (this.#all.size === 0) return;
    this.#store.transaction(() => {
      for (const change of changes)
        if (change.type === 'entry' && records.occupant(change.parent, change.name) === change.id)
          this.forget(change);
    });
  }

  get #all(): Map<string, number> {
    this.#known ??= this.#read();
    return this.#known;
  }

  #read(): Map<string, number> {
    const all = new Map<string, number>();
    for (const [key, { parent, name }] of this.#store.metaBelow(prefix, rowSchema)) {
      const row = Number(key.slice(prefix.length));
      all.set(placeKey({ parent, name }), row);
      this.#last = Math.max(this.#last, row);
    }
    return all;
  }
}

function keep(place: Place, applier: Applier, report: (problem: Problem) => void): void {
  const { records, directories, trash } = applier;
  const parent = records.inode(place.parent);
  if (parent === undefined || records.occupant(place.parent, place.name) !== 0) return;
  const dirfd = directories.get(place.parent);
  const path = records.pathAt(place);
  const kept = dirfd < 0 ? dirfd : trash.keep(dirfd, place.name, path, notOurs);
  if (kept === 0) applier.setTimes(place.parent, parent.attributes);
  // RACE: a local user may have taken it away himself.
  else if (kept !== -ENOENT) report({ path, action: 'move to trash', code: errnoName(kept) });
}
