// Where a replica's own folder is inside its root, the folder's name is not the source's to give: what the source has there is left out.

import { type InodeId, rootId } from '../core/attributes.ts';
import type { Batch, Change } from '../core/change.ts';
import type { Place } from '../core/plan-operation.ts';
import type { Problem } from '../core/problem.ts';
import { type Home, innerHomeName } from './home.ts';

type EntryChange = Extract<Change, { readonly type: 'entry' }>;

export function isReserved(home: Home, { parent, name }: Place): boolean {
  return home.isInside && parent === rootId && name === innerHomeName;
}

export function reservedProblem({ name }: Place): Problem {
  return { path: name, action: 'create', code: 'reserved' };
}

export class Reserved {
  readonly #home: Home;
  readonly #report: (problem: Problem) => void;
  /**
   * What the source has in there, as far as batches have told: without it, each new name in a folder that nobody knows would have the
   * whole tree listed again. The next agent begins with that, once.
   */
  readonly #inside = new Set<InodeId>();

  constructor(home: Home, report: (problem: Problem) => void) {
    this.#home = home;
    this.#report = report;
  }

  /** The batch without the names that are left out; their inodes get no name by it. A folder comes before what is in it. */
  leftOut(batch: Batch): Batch {
    if (!this.#home.isInside) return batch;
    const changes = batch.changes.filter((change) => change.type !== 'entry' || this.#mayPlace(change));
    return { ...batch, changes };
  }

  #mayPlace(change: EntryChange): boolean {
    const isOwn = isReserved(this.#home, change);
    if (!isOwn && !this.#inside.has(change.parent)) {
      this.#inside.delete(change.id);
      return true;
    }
    // Batches repeat a folder before what is new in it.
    if (isOwn && !this.#inside.has(change.id)) this.#report(reservedProblem(change));
    this.#inside.add(change.id);
    return false;
  }
}
