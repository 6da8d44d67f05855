// The reader thread: hosts the sessions of all replicas, reads the tree and the contents for them. Everything
// in it is synchronous and done in small steps, so that no replica waits for another one's large file.

import { parentPort, workerData } from 'node:worker_threads';
import { FamError } from '../core/errors.ts';
import { TreeStore } from '../tree/store.ts';
import { decodeToSource, encode } from '../wire/codec.ts';
import { Bandwidth } from './bandwidth.ts';
import { BlockLedger } from './block-ledger.ts';
import { Contents } from './contents.ts';
import type { FromReader, ReaderData, SessionNumber, ToReader } from './reader-messages.ts';
import { Session, type SessionOutput, type SharedReading } from './session.ts';
import type { HeadMoved } from './tree-messages.ts';

const port = parentPort;
if (port === null) throw new Error('reader-worker is a thread entry');
const { root, stateDir, bandwidth, treePort }: ReaderData = workerData;

const store = TreeStore.open(stateDir, { role: 'reader' });
const contents = new Contents(store, root);
const ledger = new BlockLedger(stateDir, store.epoch);
const shared: SharedReading = { batch: undefined, ledger, scanning: true };
const allTogether = bandwidth === undefined ? [] : [new Bandwidth(bandwidth, performance.now())];
const sessions = new Map<SessionNumber, Session>();

/** Frames of this turn, posted together: a frame that several sessions sent crosses the threads once. */
let outgoing = new Map<Uint8Array, SessionNumber[]>();
let scheduled = false;
let wakeTimer: NodeJS.Timeout | undefined;

function post(message: FromReader, transfer: ArrayBuffer[] = []): void {
  port?.postMessage(message, transfer);
}

function outputOf(session: SessionNumber): SessionOutput {
  return {
    send(message) {
      const frame = encode(message);
      outgoing.set(frame, [session]);
      return frame;
    },
    sendFrame(frame) {
      const to = outgoing.get(frame);
      if (to === undefined) outgoing.set(frame, [session]);
      else to.push(session);
    },
    event(event) {
      post({ type: 'event', session, event });
    },
  };
}

function flush(): void {
  if (outgoing.size === 0) return;
  // A frame that was handed over is not ours to send once more.
  shared.batch = undefined;
  for (const [frame, to] of outgoing) {
    const { buffer } = frame;
    // Small frames are cheaper to copy than to transfer; nothing else lives in a large one's buffer.
    const transfer = frame.length > 4096 && buffer instanceof ArrayBuffer ? [buffer] : [];
    post({ type: 'frame', sessions: to, frame }, transfer);
  }
  outgoing = new Map();
}

function guarded(number: SessionNumber, act: () => boolean): boolean {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof FamError)) throw error;
    sessions.get(number)?.close();
    sessions.delete(number);
    post({ type: 'broken', session: number, code: error.code, message: error.message });
    return false;
  }
}

/** One step for each session, again and again, with a turn of the event loop in between. */
function run(): void {
  scheduled = false;
  const now = performance.now();
  let more = false;
  for (const [number, session] of sessions) more = guarded(number, () => session.pump(now)) || more;
  flush();
  if (more) {
    schedule();
    return;
  }
  contents.releaseMounts();
  armTimer(now);
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setImmediate(run);
}

function armTimer(now: number): void {
  clearTimeout(wakeTimer);
  let at: number | undefined;
  for (const session of sessions.values()) {
    const wake = session.wakeAt;
    if (wake !== undefined && (at === undefined || wake < at)) at = wake;
  }
  if (at !== undefined) wakeTimer = setTimeout(schedule, Math.max(1, at - now));
}

port.on('message', (message: ToReader) => {
  switch (message.type) {
    case 'attach': {
      const { session, options } = message;
      const own =
        options.bandwidth === undefined ? [] : [new Bandwidth(options.bandwidth, performance.now())];
      sessions.set(
        session,
        new Session(store, contents, shared, outputOf(session), options, [...own, ...allTogether]),
      );
      return;
    }
    case 'frame': {
      const session = sessions.get(message.session);
      if (session === undefined) return;
      guarded(message.session, () => {
        session.receive(decodeToSource(message.frame));
        return true;
      });
      break;
    }
    case 'detach':
      sessions.get(message.session)?.close();
      sessions.delete(message.session);
      post({ type: 'detached', session: message.session });
      return;
    case 'stop':
      for (const session of sessions.values()) session.close();
      sessions.clear();
      clearTimeout(wakeTimer);
      contents.closeAll();
      ledger.close();
      store.close();
      post({ type: 'stopped' });
      treePort.close();
      port.close();
      return;
  }
  if (!scheduled) run();
});

treePort.on('message', (moved: HeadMoved) => {
  shared.scanning = moved.scanning;
  store.refresh();
  if (!scheduled) run();
});
