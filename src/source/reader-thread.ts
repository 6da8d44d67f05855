// The main thread's handle on the reader thread.

import type { Worker } from 'node:worker_threads';
import { FamError } from '../core/errors.ts';
import { startThread } from '../runtime/start-thread.ts';
import type { HowEnded, Pipes } from '../wire/link.ts';
import type { FromReader, ReaderData, SessionNumber, ToReader } from './reader-messages.ts';
import type { SessionEvent, SessionOptions } from './session.ts';

/** How a session's link ended. */
export interface SessionEnd {
  readonly how: HowEnded;
  readonly error: FamError | undefined;
}

/** Where a session's news go. */
export interface SessionListener {
  event(event: SessionEvent): void;
  /** Called once, last. */
  ended(end: SessionEnd): void;
}

/** Main thread only. `onFailure` is told if the thread dies; `stop` ends it in order and is idempotent. */
export class ReaderThread {
  readonly #worker: Worker;
  readonly #listeners = new Map<SessionNumber, SessionListener>();
  readonly #ended: Promise<void>;
  #over = false;
  #last: SessionNumber = 0;

  /** @param onFailure the thread ended by an exception: a defect, or the state has become unreadable */
  constructor(data: ReaderData, onFailure: (error: Error) => void) {
    this.#worker = startThread('source/reader-worker', {
      workerData: data,
      transferList: [data.treePort],
    });
    this.#worker.on('message', (message: FromReader) => this.#message(message));
    this.#worker.on('error', onFailure);
    this.#ended = new Promise((resolve) =>
      this.#worker.once('exit', () => {
        this.#over = true;
        for (const listener of this.#listeners.values()) listener.ended(gone());
        this.#listeners.clear();
        resolve();
      }),
    );
  }

  /** Opens a session with the agent at the other end of the pipes, which are the reader thread's from here on. */
  attach(options: SessionOptions, pipes: Pipes, listener: SessionListener): SessionNumber {
    this.#last += 1;
    if (this.#over) {
      listener.ended(gone());
      return this.#last;
    }
    this.#listeners.set(this.#last, listener);
    const { inputFd, outputFd, received } = pipes;
    this.#post({ type: 'attach', session: this.#last, options, pipes: { inputFd, outputFd, received } });
    return this.#last;
  }

  /** Ends a session's link; the listener is told when it has ended. `graceful`: after a `bye`, and all that the agent still says. */
  close(session: SessionNumber, graceful: boolean): void {
    this.#post({ type: 'close', session, graceful });
  }

  async stop(): Promise<void> {
    this.#post({ type: 'stop' });
    await this.#ended;
  }

  #post(message: ToReader): void {
    this.#worker.postMessage(message);
  }

  #message(message: FromReader): void {
    const listener = this.#listeners.get(message.session);
    if (message.type === 'event') {
      listener?.event(message.event);
      return;
    }
    this.#listeners.delete(message.session);
    const { how, error } = message;
    listener?.ended({
      how,
      error: error && new FamError(error.code, error.message, { retryable: error.retryable }),
    });
  }
}

function gone(): SessionEnd {
  return { how: 'cut', error: new FamError('INTERNAL', 'the reader thread has ended') };
}
