// A mark on a whole file system also wakes for what others do elsewhere on it. One such event costs some 10 us when it comes alone, most of
// it the wake-up; where they come in a stream they are left to gather, which the kernel then merges.

import { poll } from './poll.ts';

/** Events of others that are closer together than this are a stream (measured: at 10,000 a second a pause saves little, at 100,000 three quarters). */
const streamGapMs = 0.05;
/** How long they may gather: what of ours comes meanwhile is as much later. */
const pauseMs = 1;

export class ForeignPause {
  readonly #wakeFd: number;
  #lastAt = -Infinity;

  /** @param wakeFd what ends a pause early */
  constructor(wakeFd: number) {
    this.#wakeFd = wakeFd;
  }

  /** To be called after each wake-up that brought nothing of ours. */
  take(): void {
    if (performance.now() - this.#lastAt < streamGapMs) poll([this.#wakeFd], pauseMs);
    this.#lastAt = performance.now();
  }
}
