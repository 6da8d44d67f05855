// While a replica is away it is tried again several times a second; a log that said so each time would be nothing but that.

/** The same reason is told again when the outage has lasted this long, and whenever it has become twice as long since. */
const firstRepeatMs = 10_000;

/** A host that turns connections away says so in some ways, in turns; what says something new each time is not told each time. */
const maxReasons = 8;

/** Why a replica is away, as far as it has been told. Pure: the caller brings the clock (milliseconds, monotonic). */
export class Outage {
  #since: number | undefined;
  readonly #told = new Set<string>();
  #toldAt = 0;

  /** Whether a failed attempt is worth a line: its reason has not been told, or it is time to say that it is still so. */
  isNews(reason: string, nowMs: number): boolean {
    this.#since ??= nowMs;
    const repeatAt = this.#since + Math.max(firstRepeatMs, 2 * (this.#toldAt - this.#since));
    const isKnown = this.#told.has(reason) || this.#told.size >= maxReasons;
    if (isKnown && nowMs < repeatAt) return false;
    this.#told.add(reason);
    this.#toldAt = nowMs;
    return true;
  }

  /** The replica has been met. */
  end(): void {
    this.#since = undefined;
    this.#told.clear();
  }
}
