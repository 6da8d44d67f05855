// The contents that a replica still has to get by stream: one record a file, never more than that in memory.

import type { InodeId, Seq } from '../core/attributes.ts';
import type { Missing } from './missing.ts';
import type { Transfer } from './transfer.ts';
import { Unconfirmed } from './unconfirmed.ts';

/** Contents on their way to one replica at once: each holds a descriptor on either side. */
const maxTransfers = 16;

/** A content that has been announced as pending and not been handed over yet. */
export interface Owed {
  readonly id: InodeId;
  /** The seq that the replica's cursor has passed without having this content. */
  readonly since: Seq;
  /** The content's version that `offset` belongs to. */
  contentSeq: Seq;
  /** How much of it the replica has staged, in bytes. */
  offset: number;
  /** The record's seq when the transfer was opened: what changed later is not in it. */
  openedSeq: Seq;
  /** While it is being sent. */
  transfer: Transfer | undefined;
  /** The replica may have an older content of it. */
  mayHaveOlder: boolean;
  /** The replica has asked for it: what it has, if anything, is not the same, or nothing that it knows. */
  isAskedFor: boolean;
  /** Its transfer can do nothing until the replica answers. */
  waiting: boolean;
  /** Not before this moment (milliseconds of performance.now()). */
  notBefore: number;
  /** When the first attempt began; a file that never holds still is sent as it is after hotFileMaxDelayMs. */
  firstTriedAt: number | undefined;
  /** A newer version that its transfer goes on in spite of. */
  passedOver: Seq | undefined;
  /** How often another content was found in its place when it was out. */
  replaced: number;
  /** For as long as it was not found where it is recorded. */
  missing: Missing | undefined;
  readonly waitsFor: WaitsFor;
}

/**
 * What an owed content waits for before it can be sent. `turn`: nothing else. `record`: it could not be read (a problem was reported), and is
 * not tried again before its record changes. `upload`: it was found being replaced, and is tried now and then until what replaces it is
 * whole, or recorded. But for its turn nobody else waits for it.
 */
export type WaitsFor = 'turn' | 'record' | 'upload';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What a session owes its replica, and what it has handed over but not seen acknowledged. */
export class OwedContents {
  readonly #owed = new Map<InodeId, Mutable<Owed>>();
  readonly #open = new Set<Owed>();
  /** What is owed and waits for its turn, and what was handed over. */
  readonly #unconfirmed = new Unconfirmed();
  /** How many wait for something else. */
  #excused = 0;

  get size(): number {
    return this.#owed.size;
  }

  /** Files owed that wait for their turn only, and files handed over that the replica has not consumed yet. */
  get unconfirmed(): number {
    return this.dueCount + this.#unconfirmed.sentCount;
  }

  /** Files owed that wait for their turn only. */
  get dueCount(): number {
    return this.#owed.size - this.#excused;
  }

  get(id: InodeId): Owed | undefined {
    return this.#owed.get(id);
  }

  values(): Iterable<Owed> {
    return this.#owed.values();
  }

  /**
   * Owes the id from now on. There is news of it: what is owed already is tried again at once, and starts over when its content
   * has a new version. What waits for an upload goes on waiting if it has not.
   */
  add(id: InodeId, since: Seq, contentSeq: Seq, mayHaveOlder: boolean, offset = 0): Owed {
    const known = this.#owed.get(id);
    if (known !== undefined) {
      if (known.waitsFor === 'record') this.waitFor(known, 'turn');
      known.notBefore = 0;
      return known;
    }
    const owed: Mutable<Owed> = {
      id,
      since,
      contentSeq,
      offset,
      openedSeq: contentSeq,
      transfer: undefined,
      mayHaveOlder,
      isAskedFor: false,
      waiting: false,
      notBefore: 0,
      firstTriedAt: undefined,
      passedOver: undefined,
      replaced: 0,
      missing: undefined,
      waitsFor: 'turn',
    };
    this.#owed.set(id, owed);
    this.#unconfirmed.owe(since);
    return owed;
  }

  waitFor({ id }: Owed, what: WaitsFor): void {
    const owed = this.#owed.get(id);
    if (owed === undefined) return;
    const wasExcused = owed.waitsFor !== 'turn';
    const isExcused = what !== 'turn';
    owed.waitsFor = what;
    if (wasExcused === isExcused) return;
    this.#excused += isExcused ? 1 : -1;
    if (isExcused) this.#unconfirmed.settle(owed.since);
    else this.#unconfirmed.owe(owed.since);
  }

  /**
   * The next one that can be worked on at `now`, taking turns so that a large file delays no smaller one for ever. At most
   * `maxTransfers` are open at once.
   */
  next(now: number): Owed | undefined {
    if (this.#open.size < maxTransfers) {
      for (const owed of this.#owed.values()) {
        if (owed.transfer !== undefined || owed.waitsFor === 'record' || owed.notBefore > now) continue;
        this.#owed.delete(owed.id);
        this.#owed.set(owed.id, owed);
        return owed;
      }
    }
    for (const owed of this.#open) {
      if (owed.waiting) continue;
      this.#open.delete(owed);
      this.#open.add(owed);
      return owed;
    }
    return undefined;
  }

  /** Its transfer begins. */
  open(owed: Owed, transfer: Transfer): void {
    this.close(owed);
    owed.transfer = transfer;
    this.#open.add(owed);
  }

  /** Its transfer, if it has one, is over. */
  close(owed: Owed): void {
    owed.transfer?.close();
    owed.transfer = undefined;
    owed.waiting = false;
    this.#open.delete(owed);
  }

  closeAll(): void {
    for (const owed of [...this.#open]) this.close(owed);
  }

  /** When the earliest of those that wait may be tried again, or undefined when none waits for its time. */
  wakeAt(): number | undefined {
    if (this.#open.size >= maxTransfers) return undefined;
    let at: number | undefined;
    for (const owed of this.#owed.values()) {
      const mayBeTried = owed.waitsFor !== 'record' && owed.transfer === undefined;
      if (mayBeTried && (at === undefined || owed.notBefore < at)) at = owed.notBefore;
    }
    return at;
  }

  /** It was handed over: counts as owed until the replica has consumed `sentBytes` of the session. */
  handOver(owed: Owed, sentBytes: number): void {
    const { id, since } = owed;
    this.sent(since, sentBytes);
    this.drop(id);
  }

  /** Its inode has no name any more. */
  drop(id: InodeId): void {
    const owed = this.#owed.get(id);
    if (owed === undefined) return;
    this.waitFor(owed, 'turn');
    this.#unconfirmed.settle(owed.since);
    this.close(owed);
    this.#owed.delete(id);
  }

  /** Something else was sent that belongs to `since`: it counts until the replica has consumed it. */
  sent(since: Seq, sentBytes: number): void {
    this.#unconfirmed.sent(since, sentBytes);
  }

  consumed(bytes: number): void {
    this.#unconfirmed.consumed(bytes);
  }

  /** Everything before this seq has really arrived when the replica's cursor stands at `applied`. */
  contiguous(applied: Seq): Seq {
    return this.#unconfirmed.contiguous(applied);
  }
}
