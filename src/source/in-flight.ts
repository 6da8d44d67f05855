// How much may be on its way to one replica. Enough to keep the link busy over its round trip, and no more: what a slow replica
// has not taken lies in sshd, which copies its whole queue about for each packet that it adds (measured: first contact with a
// queue of 2 MiB costs sshd three times the processor time that it costs with one that stays short).

import { inFlightBytes } from '../wire/messages.ts';

/** On a short link: some messages, so that none of the threads along the way waits for the next one. */
const leastBytes = 1024 * 1024;
/** A longer round trip than this wants more: room for this rate. */
const shortMs = 10;
const bytesPerMs = 100_000;
/** Before so many round trips were timed a long one may only mean that the replica was busy with something else. */
const leastTimings = 8;

/** The window of one session. Times are of `performance.now()`, byte counts are totals of the session. */
export class InFlight {
  #sentBytes = 0;
  #consumedBytes = 0;
  /** What is being timed: the total at which the replica will have consumed it. */
  #timed: { readonly sentBytes: number; readonly at: number } | undefined;
  #shortestMs = Infinity;
  #timings = 0;

  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** Bytes sent and not consumed are more than is good. */
  get isFull(): boolean {
    return this.#sentBytes - this.#consumedBytes > this.#window;
  }

  sent(bytes: number, now: number): void {
    this.#sentBytes += bytes;
    this.#timed ??= { sentBytes: this.#sentBytes, at: now };
  }

  /** The replica has consumed everything up to this total. */
  consumed(total: number, now: number): void {
    this.#consumedBytes = total;
    if (this.#timed === undefined || total < this.#timed.sentBytes) return;
    // The shortest time is the link's own; in longer ones messages had to wait.
    this.#shortestMs = Math.min(this.#shortestMs, now - this.#timed.at);
    this.#timings += 1;
    this.#timed = undefined;
  }

  get #window(): number {
    if (this.#timings < leastTimings || this.#shortestMs <= shortMs) return leastBytes;
    return Math.min(inFlightBytes, leastBytes + (this.#shortestMs - shortMs) * bytesPerMs);
  }
}
