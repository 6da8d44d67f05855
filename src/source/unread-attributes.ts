// Folders, links and devices that were sent without their extended attributes: what holds them was moving while they were to be read.
// A replica keeps what it has then, and that more is to come (`pending`), so they are sent again, and nothing after them counts as
// arrived before that. (A file in this position is owed as a whole. Files are here whose attributes changed while their content,
// which never held still, was on its way.)

import type { InodeId, Seq } from '../core/attributes.ts';
import { Missing } from './missing.ts';
import { Unconfirmed } from './unconfirmed.ts';

/** Milliseconds until the next attempt: what was moved has been recorded by then. */
const retryMs = 20;

interface Unread {
  readonly id: InodeId;
  readonly since: Seq;
  readonly missing: Missing;
  notBefore: number;
}

export class UnreadAttributes {
  readonly #unread = new Map<InodeId, Unread>();
  readonly #unconfirmed = new Unconfirmed();

  add(id: InodeId, since: Seq, now: number): void {
    if (this.#unread.has(id)) return;
    this.#unread.set(id, { id, since, missing: new Missing(now), notBefore: now + retryMs });
    this.#unconfirmed.owe(since);
  }

  get isPending(): boolean {
    return this.#unread.size > 0;
  }

  ids(): Iterable<InodeId> {
    return this.#unread.keys();
  }

  /** One that can be tried again now. */
  next(now: number): InodeId | undefined {
    for (const unread of this.#unread.values()) if (unread.notBefore <= now) return unread.id;
    return undefined;
  }

  /** It still could not be read. True when it has been so for so long that no event will tell where it is. */
  failed(id: InodeId, now: number): boolean {
    const unread = this.#unread.get(id);
    if (unread === undefined) return false;
    unread.notBefore = now + retryMs;
    return unread.missing.again(now);
  }

  /** It has gone from the tree, or its content brings them along. */
  drop(id: InodeId): void {
    const unread = this.#unread.get(id);
    if (unread === undefined) return;
    this.#unread.delete(id);
    this.#unconfirmed.settle(unread.since);
  }

  /** It was sent whole: counts as on its way until the replica has consumed `sentBytes` of the session. */
  sent(id: InodeId, sentBytes: number): void {
    const unread = this.#unread.get(id);
    if (unread === undefined) return;
    this.#unconfirmed.sent(unread.since, sentBytes);
    this.drop(id);
  }

  consumed(bytes: number): void {
    this.#unconfirmed.consumed(bytes);
  }

  wakeAt(): number | undefined {
    let at: number | undefined;
    for (const { notBefore } of this.#unread.values()) at = Math.min(at ?? Infinity, notBefore);
    return at;
  }

  /** Everything before this seq has really arrived when the replica's cursor stands at `applied`. */
  contiguous(applied: Seq): Seq {
    return this.#unconfirmed.contiguous(applied);
  }
}
