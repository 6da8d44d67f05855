// How long something may be missing where it is recorded before somebody is told. For milliseconds that is normal: it has been moved, and
// the event is on its way. After seconds no event will come: one was lost, or never sent. Pure.

const firstMs = 3000;
/** What stays missing is told of less and less often: comparing a large tree takes a while. */
const longestMs = 600_000;

/** Of one thing that is to be read. */
export class Missing {
  #pauseMs = firstMs;
  #tellAt: number;

  /** @param since when it was missed first (milliseconds of `performance.now()`) */
  constructor(since: number) {
    this.#tellAt = since + firstMs;
  }

  /** It was not there at this moment either. True when that should be told. */
  again(now: number): boolean {
    if (now < this.#tellAt) return false;
    this.#pauseMs = Math.min(this.#pauseMs * 2, longestMs);
    this.#tellAt = now + this.#pauseMs;
    return true;
  }
}
