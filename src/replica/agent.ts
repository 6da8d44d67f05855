// The agent's main thread: says that the agent is alive whatever the applier is doing, takes frames to the source, and ends it
// in order. What the source sends goes to the applier's thread without it.

import type { Worker } from 'node:worker_threads';
import { FamError, stackOf } from '../core/errors.ts';
import { check, close, eventfd, signalEventfd } from '../kernel/sys.ts';
import { startThread } from '../runtime/start-thread.ts';
import { encode } from '../wire/codec.ts';
import { aliveFrame } from '../wire/frame-type.ts';
import { heartbeatMs } from '../wire/messages.ts';
import type { ApplierData, FromApplier, SyncData, ToApplier } from './thread-messages.ts';

/** What the agent needs of its link (transport/stdio.ts). */
export interface AgentLink {
  /** What the source sends; the applier's thread reads it. Its end is the end of the link. */
  readonly inputFd: number;
  send(frame: Uint8Array): boolean;
  /** Settles when nothing that is sent arrives any more. Never rejects. */
  readonly broken: Promise<void>;
  /** Resolves when what was sent is out, or cannot get out. */
  close(): Promise<void>;
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
  const wakeFd = check(eventfd(), 'eventfd');
  try {
    return await new Agent(link, wakeFd, options).run();
  } finally {
    close(wakeFd);
    process.umask(umask);
  }
}

class Agent {
  readonly #link: AgentLink;
  readonly #signal: AbortSignal | undefined;
  readonly #wakeFd: number;
  readonly #worker: Worker;
  #syncWorker: Worker | undefined;
  #failure: FamError | undefined;
  /** The applier's thread has ended. */
  #isOver = false;

  constructor(link: AgentLink, wakeFd: number, { root, version, signal }: AgentOptions) {
    this.#link = link;
    this.#signal = signal;
    this.#wakeFd = wakeFd;
    const workerData: ApplierData = { root, version, inputFd: link.inputFd, wakeFd };
    this.#worker = startThread('replica/applier-thread', { workerData });
  }

  async run(): Promise<number> {
    const exited = new Promise<void>((resolve) => {
      this.#worker.on('exit', () => resolve());
    });
    this.#worker.on('message', (message: FromApplier) => this.#fromApplier(message));
    this.#worker.on('error', (error) => this.#crashed(error));
    const stop = (): void => this.#stop();
    this.#signal?.addEventListener('abort', stop, { once: true });
    if (this.#signal?.aborted === true) stop();
    void this.#link.broken.then(stop);
    const heartbeat = setInterval(() => this.#link.send(aliveFrame), heartbeatMs);
    await exited;
    this.#isOver = true;
    clearInterval(heartbeat);
    this.#signal?.removeEventListener('abort', stop);
    await this.#syncWorker?.terminate();
    await this.#link.close();
    return this.#failure?.exitCode ?? 0;
  }

  #fromApplier(message: FromApplier): void {
    switch (message.type) {
      case 'send':
        for (const frame of message.frames) this.#link.send(frame);
        break;
      case 'sync':
        this.#startSync({ fd: message.fd, port: message.port, wakeFd: this.#wakeFd });
        break;
      case 'end': {
        const { failure } = message;
        if (failure !== undefined) this.#failure = new FamError(failure.code, failure.message);
        break;
      }
    }
  }

  #startSync(syncData: SyncData): void {
    this.#syncWorker = startThread('replica/sync-thread', {
      workerData: syncData,
      transferList: [syncData.port],
    });
    this.#syncWorker.on('error', (error) => {
      this.#crashed(error);
      this.#stop();
    });
  }

  #stop(): void {
    if (this.#isOver) return;
    const message: ToApplier = { type: 'stop' };
    this.#worker.postMessage(message);
    signalEventfd(this.#wakeFd);
  }

  #crashed(error: unknown): void {
    const failure = new FamError('INTERNAL', `the agent failed: ${stackOf(error)}`, {
      cause: error,
      retryable: true,
    });
    this.#failure = failure;
    const { code, message, retryable } = failure;
    this.#link.send(encode({ type: 'failed', code, message, retryable }));
  }
}
