// The iterator of a watch, written by hand: a generator whose `next` is pending would answer `return` after the next event only.

import type { FamError } from '../core/errors.ts';
import type { WatchEvent } from './event.ts';

/** What an iterator takes its events from. */
export interface EventFeed {
  /** False once it was ended. */
  readonly isOpen: boolean;
  /** Why it cannot go on; events that are here come first. */
  readonly failure: FamError | undefined;
  /** The next event that is here. */
  take(): WatchEvent | undefined;
  /** Ends it; resolves when everything is free. Idempotent. */
  close(): Promise<void>;
}

interface Waiting {
  readonly resolve: (result: IteratorResult<WatchEvent, void>) => void;
  readonly reject: (error: FamError) => void;
}

/** `return` and `throw` end the watch, at once; a `next` that is pending is then done. Several may be pending. */
export class EventIterator implements AsyncIterableIterator<WatchEvent, void, undefined>, AsyncDisposable {
  readonly #feed: EventFeed;
  readonly #waiting: Waiting[] = [];

  constructor(feed: EventFeed) {
    this.#feed = feed;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<WatchEvent, void>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.wake();
    });
  }

  async return(): Promise<IteratorReturnResult<void>> {
    await this.#feed.close();
    return { done: true, value: undefined };
  }

  async throw(error: unknown): Promise<IteratorReturnResult<void>> {
    await this.#feed.close();
    throw error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#feed.close();
  }

  /** To be called when the feed has changed: serves who waits. */
  wake(): void {
    const feed = this.#feed;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const event = feed.isOpen ? feed.take() : undefined;
      if (event === undefined && feed.isOpen && feed.failure === undefined) return;
      this.#waiting.shift();
      if (event !== undefined) first.resolve({ done: false, value: event });
      else this.#end(first);
    }
  }

  /** The failure is told once: the watch is closed by that. */
  #end({ resolve, reject }: Waiting): void {
    const failure = this.#feed.isOpen ? this.#feed.failure : undefined;
    void this.#feed.close().then(() => {
      if (failure === undefined) resolve({ done: true, value: undefined });
      else reject(failure);
    });
  }
}
