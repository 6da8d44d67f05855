// Times of change that looks have seen without a reason to send anything: recorded only when it is certain that none is still to be
// heard of. Pure.

import type { InodeId } from '../core/attributes.ts';
import { dropOldest } from '../core/drop-oldest.ts';
import type { InodeRecord } from './records.ts';

/** So many wait; an inode whose one is dropped is compared by the next start's scan. */
const maxNoted = 8192;

export type ChangeTime = Pick<InodeRecord, 'ctimeS' | 'ctimeNs'>;

/**
 * A ctime that moved on without a hint is what a rename or link leaves behind: no change to send, as a rule. But the event that tells
 * of one may not have been read yet, and a kill would lose it: so that the next start's scan finds it then, the record gets this time
 * only when all that the kernel had to tell by now has been looked at (I8).
 */
export class NotedTimes {
  /** Since the last quiet moment, and before it. */
  #new = new Map<InodeId, ChangeTime>();
  #old = new Map<InodeId, ChangeTime>();

  note(id: InodeId, { ctimeS, ctimeNs }: ChangeTime): void {
    this.forget(id);
    this.#new.set(id, { ctimeS, ctimeNs });
    dropOldest(this.#new, maxNoted);
  }

  find(id: InodeId): ChangeTime | undefined {
    return this.#new.get(id) ?? this.#old.get(id);
  }

  /** Its record is newer. */
  forget(id: InodeId): void {
    this.#new.delete(id);
    this.#old.delete(id);
  }

  /** All events that the kernel had at this moment have been looked at. Takes out what is certain: what was noted before the last such moment. */
  take(): ReadonlyMap<InodeId, ChangeTime> {
    const certain = this.#old;
    this.#old = this.#new;
    this.#new = new Map();
    return certain;
  }
}
