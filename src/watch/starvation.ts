// No descriptor is left (`ulimit -n`), in this process or in the system: what happens meanwhile cannot be looked at, and is compared when some
// are free again. Pure.

/** The first try, and how long it may take at most. */
const firstPauseMs = 100;
const longestPauseMs = 5000;
/** A name is looked at again and again for so long before it is given up, and the clock of inode changes is behind for as long. */
const doubtMs = 5000;

/** Times are milliseconds of `performance.now()`, but for `lostSince`. */
export class Starvation {
  #retryAt: number | undefined;
  #pauseMs = firstPauseMs;
  #endedAt = -Infinity;
  #lostSince = 0;

  /** When to try whether it is over; undefined: nothing is wanting. */
  get deadline(): number | undefined {
    return this.#retryAt;
  }

  /** What was not looked at has happened after this, in ms since 1970. */
  get lostSince(): number {
    return this.#lostSince;
  }

  /** Something could not be looked at. True when that is news. */
  begin(now: number): boolean {
    if (this.#retryAt !== undefined) return false;
    const isNew = now - this.#endedAt > longestPauseMs;
    if (isNew) {
      this.#pauseMs = firstPauseMs;
      this.#lostSince = Date.now() - doubtMs;
    }
    this.postpone(now);
    return isNew;
  }

  /** It is not over. */
  postpone(now: number): void {
    this.#retryAt = now + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
  }

  /** It is over, unless it begins again. */
  end(now: number): void {
    this.#retryAt = undefined;
    this.#endedAt = now;
  }
}
