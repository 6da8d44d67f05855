// What a replica's cursor may have passed although it has not arrived: owed still, or sent and not consumed. Nothing after it counts as
// arrived.

import type { Seq } from '../core/attributes.ts';
import { LeastSeq } from './least-seq.ts';

export class Unconfirmed {
  /** Of all that is owed, and of all that was sent. */
  readonly #since = new LeastSeq();
  /** In the order in which they were sent. */
  readonly #sent: { readonly since: Seq; readonly sentBytes: number }[] = [];

  /** How much was sent and not consumed. */
  get sentCount(): number {
    return this.#sent.length;
  }

  owe(since: Seq): void {
    this.#since.add(since);
  }

  /** One that was owed since then is owed no more. */
  settle(since: Seq): void {
    this.#since.remove(since);
  }

  /** Something that belongs to `since` was sent: it counts until the replica has consumed `sentBytes` of the session. */
  sent(since: Seq, sentBytes: number): void {
    this.#sent.push({ since, sentBytes });
    this.#since.add(since);
  }

  /** The replica has consumed everything up to this total of the session. */
  consumed(total: number): void {
    const left = this.#sent.findIndex((one) => one.sentBytes > total);
    const gone = this.#sent.splice(0, left < 0 ? this.#sent.length : left);
    for (const { since } of gone) this.#since.remove(since);
  }

  /** Everything before this seq has really arrived when the replica's cursor stands at `applied`. */
  contiguous(applied: Seq): Seq {
    return Math.min(applied, this.#since.least - 1);
  }
}
