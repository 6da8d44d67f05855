// The main thread's handle on a watch thread. Recursive watches have one each; the others share one.

import { closeSync, statSync, writeSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { FamError } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';
import { startThread } from '../runtime/start-thread.ts';
import type { FromWatchThread, ThreadOptions, ToWatchThread, WatchNumber } from './watch-messages.ts';

export type FromSession = Exclude<FromWatchThread, { readonly type: 'started' }>;

const wakeCount = new BigUint64Array([1n]);

/** One listener of the process for all of them: Node.js takes the eleventh for a leak. */
const running = new Set<WatchThread>();

function endAll(): void {
  for (const thread of running) thread.end();
}

/** Ends itself when its last watch has closed. */
export class WatchThread {
  readonly #worker: Worker;
  readonly #listeners = new Map<WatchNumber, (message: FromSession) => void>();
  readonly #ended: () => void;
  #wakeFd: number | undefined;
  #last: WatchNumber = 0;
  #isEnding = false;

  /** @param ended called when it takes no more watches */
  constructor(ended: () => void) {
    this.#ended = ended;
    this.#worker = startThread('watch/watch-worker');
    this.#worker.on('message', (message: FromWatchThread) => this.#message(message));
    this.#worker.on('error', (error) => this.#failed(error));
    this.#worker.on('exit', () => this.#exited());
    // A thread that sleeps in a system call would keep process.exit from returning.
    if (running.size === 0) process.on('exit', endAll);
    running.add(this);
  }

  /** It ends as soon as it can, whatever it watches. */
  end(): void {
    this.#post({ type: 'end' });
  }

  open(options: ThreadOptions, listener: (message: FromSession) => void): WatchNumber {
    this.#last += 1;
    this.#listeners.set(this.#last, listener);
    this.#post({ type: 'open', watch: this.#last, options });
    return this.#last;
  }

  send(type: 'taken' | 'suspend' | 'resume' | 'close', watch: WatchNumber): void {
    if (this.#listeners.has(watch)) this.#post({ type, watch });
  }

  #post(message: ToWatchThread): void {
    this.#worker.postMessage(message);
    this.#wake();
  }

  #wake(): void {
    if (this.#wakeFd !== undefined) writeSync(this.#wakeFd, wakeCount);
  }

  #message(message: FromWatchThread): void {
    if (message.type === 'started') {
      this.#wakeFd = message.wakeFd;
      // What was posted before the thread had told how to wake it.
      this.#wake();
      return;
    }
    const listener = this.#listeners.get(message.watch);
    if (message.type === 'closed' || message.type === 'failed') this.#forget(message.watch);
    listener?.(message);
  }

  #forget(watch: WatchNumber): void {
    this.#listeners.delete(watch);
    if (this.#listeners.size > 0 || this.#isEnding) return;
    this.#isEnding = true;
    this.#ended();
    this.end();
  }

  #failed(error: Error): void {
    const message = `the watch thread failed: ${error.message}`;
    for (const [watch, listener] of [...this.#listeners]) {
      listener({ type: 'failed', watch, code: 'INTERNAL', message, retryable: false });
    }
    this.#listeners.clear();
  }

  #exited(): void {
    running.delete(this);
    if (running.size === 0) process.off('exit', endAll);
    if (this.#wakeFd !== undefined) closeSync(this.#wakeFd);
    this.#wakeFd = undefined;
    this.#ended();
    if (this.#listeners.size > 0) this.#failed(new FamError('INTERNAL', 'it ended early'));
  }
}

let shared: WatchThread | undefined;

/**
 * The thread for a new watch. A file is no tree, though nobody has said so: a program that watches a thousand of them, each for itself, has no
 * room for a thread of 10 MB each. One look for each file here is less than a message to a thread; whatever it says is a matter of speed only.
 */
export function threadFor(options: ThreadOptions): WatchThread {
  if (options.requests.some(({ recursive, path }) => recursive && !isFile(path)))
    return new WatchThread(() => {});
  shared ??= new WatchThread(() => {
    shared = undefined;
  });
  return shared;
}

function isFile(path: ByteString): boolean {
  try {
    return statSync(Buffer.from(path, 'latin1'), { throwIfNoEntry: false })?.isFile() === true;
  } catch {
    return false; // Not ours to see: the thread finds out what that means.
  }
}
