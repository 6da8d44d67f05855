// The main thread's handle on the reader thread.

import { Worker } from 'node:worker_threads';
import { FamError } from '../core/errors.ts';
import { workerFile } from '../runtime/worker-file.ts';
import type { FromReader, ReaderData, SessionNumber, ToReader } from './reader-messages.ts';
import type { SessionEvent, SessionOptions } from './session.ts';

/** Where a session's frames and news go. */
export interface SessionListener {
  frame(frame: Uint8Array): void;
  event(event: SessionEvent): void;
  broken(error: FamError): void;
}

/** Main thread only. `failed` settles if the thread dies; `stop` ends it in order and is idempotent. */
export class ReaderThread {
  readonly #worker: Worker;
  readonly #listeners = new Map<SessionNumber, SessionListener>();
  readonly #detaching = new Map<SessionNumber, () => void>();
  readonly #ended: Promise<void>;
  #over = false;
  #last: SessionNumber = 0;

  /** @param onFailure the thread ended by an exception: a defect, or the state has become unreadable */
  constructor(data: ReaderData, onFailure: (error: Error) => void) {
    this.#worker = new Worker(workerFile('source/reader-worker'), {
      workerData: data,
      transferList: [data.treePort],
    });
    this.#worker.on('message', (message: FromReader) => this.#message(message));
    this.#worker.on('error', onFailure);
    this.#ended = new Promise((resolve) =>
      this.#worker.once('exit', () => {
        this.#over = true;
        resolve();
      }),
    );
  }

  /** Opens a session for a new connection. */
  attach(options: SessionOptions, listener: SessionListener): SessionNumber {
    this.#last += 1;
    this.#listeners.set(this.#last, listener);
    this.#post({ type: 'attach', session: this.#last, options });
    return this.#last;
  }

  /** A frame from the replica. */
  received(session: SessionNumber, frame: Uint8Array): void {
    this.#post({ type: 'frame', session, frame });
  }

  /** Resolves when the listener has been told everything. */
  async detach(session: SessionNumber): Promise<void> {
    if (!this.#over) {
      const detached = new Promise<void>((resolve) => this.#detaching.set(session, resolve));
      this.#post({ type: 'detach', session });
      await Promise.race([detached, this.#ended]);
    }
    this.#listeners.delete(session);
  }

  async stop(): Promise<void> {
    this.#post({ type: 'stop' });
    await this.#ended;
  }

  #post(message: ToReader): void {
    this.#worker.postMessage(message);
  }

  #message(message: FromReader): void {
    switch (message.type) {
      case 'frame':
        for (const session of message.sessions) this.#listeners.get(session)?.frame(message.frame);
        break;
      case 'event':
        this.#listeners.get(message.session)?.event(message.event);
        break;
      case 'broken':
        this.#listeners.get(message.session)?.broken(new FamError(message.code, message.message));
        break;
      case 'detached':
        this.#detaching.get(message.session)?.();
        this.#detaching.delete(message.session);
        break;
      case 'stopped':
        break;
    }
  }
}
