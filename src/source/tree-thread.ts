// The main thread's handle on the tree's thread (tree-worker.ts).

import type { MessagePort, Worker } from 'node:worker_threads';
import type { Seq } from '../core/attributes.ts';
import { FamError } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';
import type { Inheritance } from '../core/succession.ts';
import * as sys from '../kernel/sys.ts';
import { startThread } from '../runtime/start-thread.ts';
import type { Condition, FromTree, HeadMoved, ScanTotals, ToTree, TreeData } from './tree-messages.ts';

export interface TreeThreadOptions {
  /** The source's root, absolute. */
  readonly root: ByteString;
  /** Where the store lies; made if it does not exist. */
  readonly stateDir: string;
  /** Only this one; default: the best that can be had. */
  readonly monitor?: 'fanotify' | 'inotify' | undefined;
  /** Milliseconds of quiet after which a file that is held open is recorded. Default 200. */
  readonly settleMs?: number;
  /** Milliseconds after which one that never rests is recorded all the same. Default 2000. */
  readonly hotFileMaxDelayMs?: number;
  /** The reader thread's end is elsewhere: what is posted here is each new head. */
  readonly readerPort?: MessagePort | undefined;
  /** Of the `ReadingTurn` with the reader thread. */
  readonly readingTurn?: SharedArrayBuffer | undefined;
  /** What the root has from being or having been a replica. */
  readonly inherited?: Inheritance | undefined;
  /** I4: take the source as it is, however much of it is missing. Default false. */
  readonly trustSource?: boolean;
}

export type TreeEvent =
  /** The tree has got this far; coalesced. */
  | HeadMoved
  | ScanTotals
  | { readonly type: 'problem'; readonly problem: Problem }
  | Condition
  /** Recording has ended: SOURCE_DOUBTFUL, or a defect. Nothing follows. */
  | { readonly type: 'failed'; readonly error: FamError };

interface Waiter {
  resolve(seq: Seq): void;
  reject(error: Error): void;
}

/** A running tree. Events come on the main thread's loop. `stop` ends it; so does `failed`. */
export class TreeThread implements AsyncDisposable {
  readonly monitor: 'fanotify' | 'inotify';
  /** Why this monitor and not the other, for people. */
  readonly monitorReason: string;
  readonly sourceId: string;
  readonly epoch: number;
  readonly #worker: Worker;
  readonly #wakeFd: number;
  readonly #onEvent: (event: TreeEvent) => void;
  readonly #barriers = new Map<number, Waiter>();
  readonly #ended: Promise<void>;
  #nextBarrier = 1;
  #head: Seq;
  #over = false;

  private constructor(
    worker: Worker,
    wakeFd: number,
    ready: Extract<FromTree, { type: 'ready' }>,
    onEvent: (event: TreeEvent) => void,
  ) {
    this.monitor = ready.monitor;
    this.monitorReason = ready.monitorReason;
    this.sourceId = ready.sourceId;
    this.epoch = ready.epoch;
    this.#head = ready.head;
    this.#worker = worker;
    this.#wakeFd = wakeFd;
    this.#onEvent = onEvent;
    worker.on('message', (message: FromTree) => this.#receive(message));
    worker.on('error', (error) => this.#fail(new FamError('INTERNAL', String(error), { cause: error })));
    this.#ended = new Promise((resolve) => {
      worker.on('exit', () => {
        this.#end(new FamError('NOT_RUNNING', 'the tree is no longer recorded'));
        sys.close(wakeFd);
        resolve();
      });
    });
  }

  /**
   * Resolves when the mark is placed and the store is open; the scan goes on.
   * @throws FamError SOURCE_*, STATE_IN_USE, STATE_UNUSABLE, MONITOR_UNAVAILABLE
   */
  static async start(options: TreeThreadOptions, onEvent: (event: TreeEvent) => void): Promise<TreeThread> {
    const wakeFd = sys.check(sys.eventfd(), 'eventfd');
    const data: TreeData = {
      root: options.root,
      inherited: options.inherited,
      stateDir: options.stateDir,
      monitor: options.monitor,
      settleMs: options.settleMs ?? 200,
      hotFileMaxDelayMs: options.hotFileMaxDelayMs ?? 2000,
      trustSource: options.trustSource ?? false,
      wakeFd,
      readerPort: options.readerPort,
      readingTurn: options.readingTurn,
    };
    const worker = startThread('source/tree-worker', {
      workerData: data,
      transferList: options.readerPort === undefined ? [] : [options.readerPort],
    });
    return await new Promise((resolve, reject) => {
      const fail = (error: FamError): void => {
        stopListening(worker);
        void worker.terminate().then(() => sys.close(wakeFd));
        reject(error);
      };
      worker.once('error', (error) => fail(new FamError('INTERNAL', String(error), { cause: error })));
      worker.once('exit', () =>
        fail(new FamError('INTERNAL', "the tree's thread ended before it was ready")),
      );
      worker.once('message', (message: FromTree) => {
        if (message.type === 'ready') {
          stopListening(worker);
          resolve(new TreeThread(worker, wakeFd, message, onEvent));
        } else if (message.type === 'failed') fail(famError(message.error));
        else fail(new FamError('INTERNAL', `the tree's thread began with ${message.type}`));
      });
    });
  }

  get head(): Seq {
    return this.#head;
  }

  /**
   * Resolves with the head when everything that had happened before the call is in the tree: the kernel's queue, the scan
   * if one runs, files still being written. Rejects when recording ends before.
   */
  barrier(): Promise<Seq> {
    if (this.#over) return Promise.reject(new FamError('NOT_RUNNING', 'the tree is no longer recorded'));
    return new Promise((resolve, reject) => {
      const id = this.#nextBarrier++;
      this.#barriers.set(id, { resolve, reject });
      this.#send({ type: 'barrier', id });
    });
  }

  /** Every replica that there is has everything up to here durably: the tree may forget single changes up to it. */
  prune(seq: Seq): void {
    if (!this.#over) this.#send({ type: 'prune', seq });
  }

  /** This (relative to the root) has not been where it is recorded for seconds: compares everything with its record, if no event explains it. */
  missing(path: ByteString): void {
    if (!this.#over) this.#send({ type: 'missing', path });
  }

  /** Ends it in order: what was seen is recorded, the store synced and marked clean. Idempotent. */
  async stop(): Promise<void> {
    if (!this.#over) this.#send({ type: 'stop' });
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #send(message: ToTree): void {
    this.#worker.postMessage(message);
    sys.signalEventfd(this.#wakeFd);
  }

  #receive(message: FromTree): void {
    switch (message.type) {
      case 'head':
        this.#head = message.seq;
        this.#onEvent(message);
        break;
      case 'barrier': {
        const waiter = this.#barriers.get(message.id);
        this.#barriers.delete(message.id);
        this.#head = Math.max(this.#head, message.seq);
        waiter?.resolve(message.seq);
        break;
      }
      case 'failed':
        this.#fail(famError(message.error));
        break;
      case 'scan':
      case 'problem':
      case 'condition':
        this.#onEvent(message);
        break;
      case 'ready':
        break;
    }
  }

  #fail(error: FamError): void {
    if (this.#over) return;
    this.#end(error);
    this.#onEvent({ type: 'failed', error });
  }

  #end(error: FamError): void {
    this.#over = true;
    for (const waiter of this.#barriers.values()) waiter.reject(error);
    this.#barriers.clear();
  }
}

function famError(error: {
  readonly code: FamError['code'];
  readonly message: string;
  readonly retryable: boolean;
}): FamError {
  return new FamError(error.code, error.message, { retryable: error.retryable });
}

/** Not removeAllListeners(): the Worker starts and stops its port by hearing of its own listeners. */
function stopListening(worker: Worker): void {
  for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event);
}
