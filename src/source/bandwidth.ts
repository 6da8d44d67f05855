// A limit in bytes a second, as a bucket that fills with time (token bucket): short bursts pass, the average holds.

/** How many seconds' worth may pass at once after a pause. */
const burstSeconds = 0.25;

/** Pure: the caller brings the clock (milliseconds, monotonic). One bucket may serve several senders. */
export class Bandwidth {
  readonly #bytesPerMs: number;
  readonly #mostBytes: number;
  #bytes: number;
  #filledAt: number;

  constructor(bytesPerSecond: number, now: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#mostBytes = bytesPerSecond * burstSeconds;
    this.#bytes = this.#mostBytes;
    this.#filledAt = now;
  }

  /** When something may be sent: now, or a later moment. What is sent may overdraw: the next one waits the longer. */
  readyAt(now: number): number {
    this.#fill(now);
    return this.#bytes > 0 ? now : now + (1 - this.#bytes) / this.#bytesPerMs;
  }

  /** So many bytes were sent. */
  take(bytes: number): void {
    this.#bytes -= bytes;
  }

  #fill(now: number): void {
    const filled = this.#bytes + (now - this.#filledAt) * this.#bytesPerMs;
    this.#bytes = Math.min(this.#mostBytes, filled);
    this.#filledAt = now;
  }
}

const units: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** `500K`, `10M`, `1.5G` (powers of 1024), plain bytes without a unit, a second; undefined when it is none of these. */
export function parseBandwidth(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)(?:i?b)?(?:\/s)?$/i.exec(text.trim());
  const unit = units[match?.[2]?.toLowerCase() ?? ''];
  const bytes = match === null || unit === undefined ? 0 : Number(match[1]) * unit;
  return bytes > 0 ? bytes : undefined;
}
