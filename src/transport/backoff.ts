// When to try again: the longer it has not worked, the more rarely, with jitter, so that a farm that lost its source does
// not come back as one. In proportion to the outage, not doubling: whoever was away for 20 s is met again within a second.

export const shortestDelayMs = 250;
export const longestDelayMs = 30_000;
/** The wait is this part of the time since it last worked. */
const partOfOutage = 1 / 32;
/** A connection that held this long worked; one that was lost younger counts as part of the outage. */
export const healthyMs = 60_000;

/** Pure: the caller brings the clock (milliseconds, monotonic) and does the waiting. */
export class Backoff {
  readonly #random: () => number;
  #brokenSince: number | undefined;
  #connectedAt: number | undefined;

  /** @param random in [0, 1), for the jitter. */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** The connection is up. */
  connected(nowMs: number): void {
    this.#connectedAt = nowMs;
  }

  /**
   * The attempt failed or the connection was lost: how long to wait before the next attempt, in milliseconds.
   * Between half and the whole of a 32nd of the outage, at least of 0.25 s and at most of 30 s.
   */
  failed(nowMs: number): number {
    if (this.#connectedAt !== undefined && nowMs - this.#connectedAt >= healthyMs)
      this.#brokenSince = undefined;
    this.#connectedAt = undefined;
    this.#brokenSince ??= nowMs;
    const whole = Math.min(
      longestDelayMs,
      Math.max(shortestDelayMs, (nowMs - this.#brokenSince) * partOfOutage),
    );
    return whole * (0.5 + this.#random() / 2);
  }
}
