// The applier's thread: owns the lock, the store and every write to the replica.

import { type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import { FamError } from '../core/errors.ts';
import { check, resizePipe } from '../kernel/sys.ts';
import { workerFile } from '../runtime/worker-file.ts';
import { TreeStore } from '../tree/store.ts';
import { decodeToAgent, encode } from '../wire/codec.ts';
import type { ToSource } from '../wire/messages.ts';
import { type Home, openHome } from './home.ts';
import { killStep } from './kill-step.ts';
import { ReplicaSession } from './session.ts';
import type {
  ApplierData,
  FromApplier,
  SyncData,
  SyncReply,
  SyncRequest,
  ToApplier,
} from './thread-messages.ts';

/** A predecessor whose link is half open is found out and ends; until then it holds the lock. */
const lockWaitMs = 10_000;
const lockRetryMs = 50;
/** Under load the source hears of progress this often. */
const flushIntervalMs = 3;

async function serve(port: MessagePort, data: ApplierData): Promise<void> {
  let out: Uint8Array[] = [];
  let syncThread: Worker | undefined;
  let home: Home | undefined;
  let store: TreeStore | undefined;
  let session: ReplicaSession | undefined;
  let ended = false;
  let isWorking = false;

  function post(message: FromApplier): void {
    port.postMessage(message);
  }

  function send(message: ToSource): void {
    out.push(encode(message));
  }

  function drain(ready: boolean): void {
    if (out.length === 0 && !ready) return;
    const frames = out;
    out = [];
    post({ type: 'send', frames, ready });
  }

  function end(error: unknown): void {
    if (ended) return;
    ended = true;
    let failure = error;
    try {
      session?.close();
      store?.close();
      home?.close();
    } catch (closing) {
      failure ??= closing;
    }
    void syncThread?.terminate();
    if (failure === undefined) {
      drain(false);
      post({ type: 'end', failure: undefined });
    } else {
      const { code, message, retryable } = asFamError(failure);
      send({ type: 'failed', code, message, retryable });
      drain(false);
      post({ type: 'end', failure: { code, message } });
    }
    port.close();
  }

  function asFamError(error: unknown): FamError {
    if (error instanceof FamError) return error;
    if (error instanceof Error && /No space left|ENOSPC|EDQUOT/.test(error.message)) {
      // The state's database and the trash's list are on the same file system.
      const message = `cannot write the state of ${data.root}: the file system is full: make room there`;
      return new FamError('DISK_FULL', message, { cause: error, retryable: true });
    }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return new FamError('INTERNAL', `the agent failed: ${text}`, { cause: error, retryable: true });
  }

  function sync(cursor: number): void {
    if (syncThread === undefined) {
      const syncData: SyncData = { fd: home?.rootFd ?? -1 };
      syncThread = new Worker(workerFile('replica/sync-thread'), { workerData: syncData });
      syncThread.on('message', (reply: SyncReply) => {
        guarded(() => {
          check(reply.result, 'sync');
          session?.synced(reply.cursor);
          drain(false);
        });
      });
      syncThread.on('error', end);
    }
    const request: SyncRequest = { cursor };
    syncThread.postMessage(request);
  }

  function guarded(action: () => void): void {
    if (ended) return;
    try {
      action();
    } catch (error) {
      end(error);
    }
  }

  function take(frames: readonly Uint8Array[]): void {
    let flushedAt = performance.now();
    for (const frame of frames) {
      const message = decodeToAgent(frame);
      session?.receive(message, frame.length);
      if (message.type === 'bye') {
        end(undefined);
        return;
      }
      const now = performance.now();
      if (now - flushedAt < flushIntervalMs) continue;
      flushedAt = now;
      session?.flush(false);
      drain(false);
    }
    session?.flush(false);
    drain(true);
    // After the answer is out: what nobody waits for.
    setImmediate(() => guarded(() => session?.flush(true)));
    work();
  }

  /** What takes long is done in slices, with a look for messages in between. */
  function work(): void {
    if (isWorking) return;
    isWorking = true;
    setImmediate(() => {
      isWorking = false;
      guarded(() => {
        const more = session?.work() ?? false;
        drain(false);
        if (more) work();
      });
    });
  }

  async function openLocked(): Promise<Home> {
    const deadline = performance.now() + lockWaitMs;
    for (;;) {
      try {
        return openHome(data.root);
      } catch (error) {
        const isBusy = error instanceof FamError && error.code === 'REPLICA_BUSY';
        if (!isBusy || performance.now() > deadline || ended) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, lockRetryMs));
    }
  }

  port.on('message', (message: ToApplier) => {
    guarded(() => {
      if (message.type === 'stop') end(undefined);
      else take(message.frames);
    });
  });

  // What the source sends waits in the kernel, where sshd (which copies its queue about) can put it and go on.
  resizePipe(0, 1024 * 1024);
  try {
    home = await openLocked();
    if (ended) home.close();
    else {
      store = TreeStore.open(home.state, { journal: false });
      const step = killStep(process.env['FAM_KILL_AT']);
      const options = { version: data.version, send, sync };
      session = new ReplicaSession(home, store, step === undefined ? options : { ...options, step });
      send(session.hello());
      session.flush(false);
      drain(true);
    }
  } catch (error) {
    end(error);
  }
}

if (parentPort !== null) await serve(parentPort, workerData as ApplierData);
