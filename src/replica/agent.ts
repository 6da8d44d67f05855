// The agent's main thread: frames in and out, heartbeats answered whatever the applier is doing, and an orderly end.

import { Worker } from 'node:worker_threads';
import { FamError } from '../core/errors.ts';
import { workerFile } from '../runtime/worker-file.ts';
import { encode } from '../wire/codec.ts';
import { heartbeatOf } from '../wire/frame-type.ts';
import type { ApplierData, FromApplier, ToApplier } from './thread-messages.ts';

/** What the agent needs of a link (transport/link.ts). */
export interface AgentLink {
  send(frame: Uint8Array): boolean;
  onFrame: (frame: Uint8Array) => void;
  readonly ended: Promise<unknown>;
  close(graceful: boolean): void;
}

export interface AgentOptions {
  /** The replica's root: made if only its last component is missing. */
  readonly root: string;
  readonly version: string;
  /** Aborted: finish the batch in hand, commit, end. */
  readonly signal?: AbortSignal;
}

/**
 * Serves one source over the link until it says `bye`, the link ends, or `signal` is aborted; closes the link.
 * Sets the process's umask to 0 meanwhile.
 * @returns the exit code: 0, or that of the failure that the source was told
 */
export async function runAgent(link: AgentLink, options: AgentOptions): Promise<number> {
  const umask = process.umask(0);
  try {
    return await new Agent(link, options).run();
  } finally {
    process.umask(umask);
  }
}

class Agent {
  readonly #link: AgentLink;
  readonly #signal: AbortSignal | undefined;
  readonly #worker: Worker;
  #waiting: Uint8Array[] = [];
  #isReady = false;
  #isStopping = false;
  #failure: FamError | undefined;

  constructor(link: AgentLink, { root, version, signal }: AgentOptions) {
    this.#link = link;
    this.#signal = signal;
    const workerData: ApplierData = { root, version };
    this.#worker = new Worker(workerFile('replica/applier-thread'), { workerData });
  }

  async run(): Promise<number> {
    const exited = new Promise<void>((resolve) => {
      this.#worker.on('exit', () => resolve());
    });
    this.#worker.on('message', (message: FromApplier) => this.#fromApplier(message));
    this.#worker.on('error', (error) => this.#crashed(error));
    this.#link.onFrame = (frame) => this.#fromSource(frame);
    const stop = (): void => this.#stop();
    this.#signal?.addEventListener('abort', stop, { once: true });
    if (this.#signal?.aborted === true) stop();
    void this.#link.ended.then(stop);
    await exited;
    this.#signal?.removeEventListener('abort', stop);
    this.#link.close(true);
    await this.#link.ended;
    return this.#failure?.exitCode ?? 0;
  }

  #fromSource(frame: Uint8Array): void {
    const heartbeat = heartbeatOf(frame);
    if (heartbeat !== undefined) {
      if (heartbeat === 'ping') this.#link.send(pong);
      return;
    }
    // A frame that has its buffer to itself can be handed to the other thread; what is a view of a larger one is copied.
    const isAlone = frame.length === frame.buffer.byteLength;
    this.#waiting.push(isAlone ? frame : new Uint8Array(frame));
    this.#forward();
  }

  /** What gathers while the applier works goes to it in one message. The source's window bounds it. */
  #forward(): void {
    if (!this.#isReady || this.#waiting.length === 0 || this.#isStopping) return;
    const frames = this.#waiting;
    this.#waiting = [];
    this.#isReady = false;
    const message: ToApplier = { type: 'frames', frames };
    this.#worker.postMessage(
      message,
      frames.map((frame) => frame.buffer as ArrayBuffer),
    );
  }

  #fromApplier(message: FromApplier): void {
    if (message.type === 'end') {
      const { failure } = message;
      if (failure !== undefined) this.#failure = new FamError(failure.code, failure.message);
      return;
    }
    for (const frame of message.frames) this.#link.send(frame);
    if (!message.ready) return;
    this.#isReady = true;
    this.#forward();
  }

  #stop(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const message: ToApplier = { type: 'stop' };
    this.#worker.postMessage(message);
  }

  #crashed(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const failure = new FamError('INTERNAL', `the agent failed: ${text}`, { cause: error, retryable: true });
    this.#failure = failure;
    const { code, message, retryable } = failure;
    this.#link.send(encode({ type: 'failed', code, message, retryable }));
  }
}

const pong = encode({ type: 'pong' });
