// The applier's thread: takes the source's frames, and owns the lock, the store and every write to the replica. It waits in poll,
// for the source or for a word from one of the agent's other threads.
//
// Latency path: one poll, one read, the batch; whoever reads the replica sees it before anything else is done.

import {
  MessageChannel,
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  type TransferListItem,
  workerData,
} from 'node:worker_threads';
import { FamError, isDiskFull, stackOf } from '../core/errors.ts';
import { check, drainEventfd, poll, resizePipe, SysError } from '../kernel/sys.ts';
import { TreeStore } from '../tree/store.ts';
import { decodeToAgent, encode } from '../wire/codec.ts';
import { isAlive } from '../wire/frame-type.ts';
import { heartbeatMs, type ToSource } from '../wire/messages.ts';
import { FrameInput } from './frame-input.ts';
import { type Home, hasNoRoom, leadsToRoot, openHome } from './home.ts';
import { killStep } from './kill-step.ts';
import { refuseUnmounted } from './mount-note.ts';
import { ReplicaSession } from './session.ts';
import type { ApplierData, FromApplier, SyncReply, SyncRequest, ToApplier } from './thread-messages.ts';

/** A source that has said nothing for so long, in beats of its own, is given up: another one may be waiting for the replica. */
const silentBeatsMax = 4;
/** A predecessor whose link is half open finds that out and ends; until then it holds the lock. */
const lockWaitMs = (silentBeatsMax + 2) * heartbeatMs;
const lockRetryMs = 50;
/** Where nothing happens at all, what is done once a day has its turn so often. */
const idleMs = 60 * 60 * 1000;
/** What the root's path leads to is looked at when something comes from the source, a beat included, but no more often. */
const rootLookMs = 1000;
/** Under load the source hears of progress this often. */
const flushIntervalMs = 3;
/** ... or when it has consumed so much: half of what the source has on its way to it (source/in-flight.ts). */
const untoldBytesMax = 512 * 1024;

class ApplierThread {
  readonly #port: MessagePort;
  readonly #data: ApplierData;
  readonly #input: FrameInput;
  #out: Uint8Array[] = [];
  /** To the thread that makes things durable; made when there is something to. */
  #syncPort: MessagePort | undefined;
  #home: Home | undefined;
  #store: TreeStore | undefined;
  #session: ReplicaSession | undefined;
  /** Told to stop, or the source has said bye or hung up. */
  #isStopping = false;
  #flushedAt = 0;
  #rootSeenAt = performance.now();
  #silentBeats = 0;

  constructor(port: MessagePort, data: ApplierData) {
    this.#port = port;
    this.#data = data;
    this.#input = new FrameInput(data.inputFd);
  }

  async run(): Promise<void> {
    let failure: unknown;
    try {
      await this.#serve();
    } catch (error) {
      failure = error;
    }
    this.#end(failure);
  }

  async #serve(): Promise<void> {
    const { inputFd, wakeFd } = this.#data;
    // What the source sends waits in the kernel, where sshd (which copies its queue about) can put it and go on.
    resizePipe(inputFd, 1024 * 1024);
    const session = this.#open();
    if (session === undefined) return;
    this.#send(session.hello());
    session.flush(false);
    this.#drain();
    let hasMore = false;
    while (!this.#isStopping) {
      const { aliveMs } = session;
      const ready = poll([wakeFd, inputFd], hasMore ? 0 : (aliveMs ?? idleMs));
      if (typeof ready === 'number') throw new SysError(ready, 'poll');
      // A half-open link says nothing. Beats are counted, not milliseconds: this machine may have been suspended.
      if (ready.includes(1)) this.#silentBeats = 0;
      else if (ready.length === 0 && !hasMore && aliveMs !== undefined) this.#silentBeats += 1;
      if (this.#silentBeats >= silentBeatsMax) return;
      if (ready.includes(0)) this.#hear();
      if (ready.includes(1) && !this.#isStopping) this.#take(session);
      if (this.#isStopping) return;
      this.#checkRoot();
      // After the answer is out: what nobody waits for, and a slice of what takes long.
      session.flush(true);
      hasMore = session.work();
      this.#drain();
      // lmdb sets a timer for each snapshot that is read (measured: 155 bytes for ever if the event loop never turns).
      await turnOfEventLoop();
    }
  }

  /** undefined: told to stop before the replica was free. */
  #open(): ReplicaSession | undefined {
    const { version } = this.#data;
    const home = this.#openLocked();
    if (home === undefined) return undefined;
    this.#home = home;
    this.#store = TreeStore.open(home.state, { journal: false });
    const step = killStep(process.env['FAM_KILL_AT']);
    this.#session = new ReplicaSession(home, this.#store, {
      version,
      send: (message) => this.#send(message),
      sync: (cursor) => this.#syncSoon(cursor),
      ...(step === undefined ? {} : { step }),
    });
    return this.#session;
  }

  #openLocked(): Home | undefined {
    const deadline = performance.now() + lockWaitMs;
    while (!this.#isStopping) {
      try {
        return openHome(this.#data.root);
      } catch (error) {
        const isBusy = error instanceof FamError && error.code === 'REPLICA_BUSY';
        if (!isBusy || performance.now() > deadline) throw error;
      }
      poll([this.#data.wakeFd], lockRetryMs);
      this.#hear();
    }
    return undefined;
  }

  /** Whoever looks at the replica by its path would see nothing of what comes, and the source would be told that all is well. */
  #checkRoot(): void {
    const now = performance.now();
    if (now - this.#rootSeenAt < rootLookMs || this.#home === undefined) return;
    this.#rootSeenAt = now;
    const { root } = this.#data;
    if (leadsToRoot(root, this.#home)) return;
    refuseUnmounted(root);
    const message = `${root} is another folder than a moment ago, or gone (was it moved, removed, or something mounted there?): it is opened anew`;
    throw new FamError('DESTINATION_UNWRITABLE', message, { retryable: true });
  }

  /** What the agent's other threads say. */
  #hear(): void {
    drainEventfd(this.#data.wakeFd);
    const stop: { message: ToApplier } | undefined = receiveMessageOnPort(this.#port);
    if (stop !== undefined) this.#isStopping = true;
    if (this.#syncPort === undefined) return;
    for (;;) {
      const received: { message: SyncReply } | undefined = receiveMessageOnPort(this.#syncPort);
      if (received === undefined) return;
      const { result, cursor } = received.message;
      check(result, 'sync');
      this.#session?.synced(cursor);
      this.#drain();
    }
  }

  /** Takes what is there, for a moment at most: the agent's other threads are to be heard, too. */
  #take(session: ReplicaSession): void {
    this.#flushedAt = performance.now();
    const until = this.#flushedAt + flushIntervalMs;
    do {
      const goesOn = this.#input.take((frame) => {
        if (!this.#isStopping) this.#receive(session, frame);
      });
      if (!goesOn) this.#isStopping = true;
      if (this.#isStopping) return;
    } while (performance.now() < until && this.#hasInput());
    session.flush(false);
    this.#drain();
  }

  #receive(session: ReplicaSession, frame: Uint8Array): void {
    if (isAlive(frame)) return;
    const message = decodeToAgent(frame);
    session.receive(message, frame.length);
    // Of all messages this one is written out, and nothing of it kept.
    if (message.type === 'stream') this.#input.recycle();
    if (message.type === 'bye') this.#isStopping = true;
    const now = performance.now();
    if (now - this.#flushedAt < flushIntervalMs && session.untoldBytes < untoldBytesMax) return;
    this.#flushedAt = now;
    session.flush(false);
    this.#drain();
  }

  #hasInput(): boolean {
    const ready = poll([this.#input.fd], 0);
    return typeof ready !== 'number' && ready.length > 0;
  }

  #send(message: ToSource): void {
    this.#out.push(encode(message));
  }

  #drain(): void {
    if (this.#out.length === 0) return;
    const frames = this.#out;
    this.#out = [];
    this.#post({ type: 'send', frames });
  }

  #post(message: FromApplier, transfer: readonly TransferListItem[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  #syncSoon(cursor: number): void {
    this.#syncPort ??= this.#startSync();
    const request: SyncRequest = { cursor };
    this.#syncPort.postMessage(request);
  }

  #startSync(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#post({ type: 'sync', fd: this.#home?.rootFd ?? -1, port: port2 }, [port2]);
    return port1;
  }

  #end(error: unknown): void {
    let failure = error;
    try {
      this.#session?.close();
      this.#store?.close();
      this.#home?.close();
    } catch (closing) {
      failure ??= closing;
    }
    this.#syncPort?.close();
    const told = failure === undefined ? undefined : this.#asFamError(failure);
    if (told !== undefined) {
      const { code, message, retryable } = told;
      this.#send({ type: 'failed', code, message, retryable });
    }
    this.#drain();
    this.#post({ type: 'end', failure: told && { code: told.code, message: told.message } });
  }

  #asFamError(error: unknown): FamError {
    if (error instanceof FamError) return error;
    if (isDiskFull(error) || (this.#home !== undefined && hasNoRoom(this.#home.path))) {
      // The state's database and the trash's list are on the same file system.
      const message = `cannot write the state of ${this.#data.root}: the file system is full: make room there`;
      return new FamError('DISK_FULL', message, { cause: error, retryable: true });
    }
    return new FamError('INTERNAL', `the agent failed: ${stackOf(error)}`, { cause: error, retryable: true });
  }
}

const turnOfEventLoop = (): Promise<void> => new Promise(setImmediate);

if (parentPort !== null) void new ApplierThread(parentPort, workerData).run();
