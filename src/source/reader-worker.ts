// The reader thread: hosts the sessions of all replicas and their links, reads the tree and the contents for them. Everything
// in it is synchronous and done in small steps, so that no replica waits for another one's large file.

import { parentPort, workerData } from 'node:worker_threads';
import type { Seq } from '../core/attributes.ts';
import { FamError, stackOf } from '../core/errors.ts';
import { TreeStore } from '../tree/store.ts';
import { decodeToSource, encode } from '../wire/codec.ts';
import { aliveFrame, isAlive } from '../wire/frame-type.ts';
import type { HowEnded, Link, Pipes } from '../wire/link.ts';
import { heartbeatMs } from '../wire/messages.ts';
import { linkOver } from '../wire/pipe-link.ts';
import { Bandwidth } from './bandwidth.ts';
import { BlockLedger } from './block-ledger.ts';
import { Contents } from './contents.ts';
import { FormerNames } from './former-names.ts';
import type { FromReader, ReaderData, SessionNumber, ToReader } from './reader-messages.ts';
import { ReadingTurn } from './reading-turn.ts';
import { Session, type SessionOptions, type SessionOutput, type SharedReading } from './session.ts';
import type { HeadMoved } from './tree-messages.ts';

/** A link on which nothing came for so many of the agent's heartbeats is given up. */
const silentBeatsMax = 3;

/** A replica that is connected. */
interface Served {
  readonly session: Session;
  readonly link: Link;
  /**
   * Beats are counted, not milliseconds: after a time in which this process did not run (a suspended machine) what has come meanwhile
   * is still to be read.
   */
  silentBeats: number;
  /** How its link ends: `lost` unless our side has a reason. */
  how: HowEnded;
  error: FamError | undefined;
}

const port = parentPort;
if (port === null) throw new Error('reader-worker is a thread entry');
const { root, stateDir, formerState, bandwidth, treePort, readingTurn }: ReaderData = workerData;

const store = TreeStore.open(stateDir, { role: 'reader' });
const contents = new Contents(store, root);
const ledger = new BlockLedger(stateDir, store.epoch);
const former = formerState === undefined ? undefined : FormerNames.open(formerState);
const shared: SharedReading = { batch: undefined, ledger, former, scanning: true };
const allTogether = bandwidth === undefined ? [] : [new Bandwidth(bandwidth, performance.now())];
const sessions = new Map<SessionNumber, Served>();
const turn = new ReadingTurn(readingTurn);
/** What the tree's thread has told last. */
let head: Seq = 0;

let scheduled = false;
let wakeTimer: NodeJS.Timeout | undefined;

function post(message: FromReader): void {
  port?.postMessage(message);
}

function attach(number: SessionNumber, options: SessionOptions, pipes: Pipes): void {
  const link = linkOver(pipes);
  const output: SessionOutput = {
    send(message) {
      const frame = encode(message);
      const room = message.type === 'stream' ? message.room : undefined;
      link.send(frame, room && (() => contents.giveBack(room)));
      return frame;
    },
    sendFrame: (frame) => void link.send(frame),
    event: (event) => post({ type: 'event', session: number, event }),
  };
  const now = performance.now();
  const own = options.bandwidth === undefined ? [] : [new Bandwidth(options.bandwidth, now)];
  const session = new Session(store, contents, shared, output, options, [...own, ...allTogether]);
  const served: Served = { session, link, silentBeats: 0, how: 'lost', error: undefined };
  sessions.set(number, served);
  link.onFrame = (frame) => {
    served.silentBeats = 0;
    if (isAlive(frame) || served.how === 'cut') return;
    guarded(served, () => {
      session.receive(decodeToSource(frame));
      return true;
    });
    schedule();
  };
  void link.ended.then(({ error }) => {
    session.close();
    sessions.delete(number);
    post({ type: 'ended', session: number, how: served.how, error: told(served.error ?? error) });
  });
}

/** Ends the link at once. */
function cut(served: Served, error?: FamError): void {
  served.how = 'cut';
  served.error ??= error;
  served.link.close(false);
}

function told(error: Error | undefined): Extract<FromReader, { type: 'ended' }>['error'] {
  if (error === undefined) return undefined;
  if (!(error instanceof FamError)) return { code: 'AGENT_FAILED', message: error.message, retryable: true };
  return { code: error.code, message: error.message, retryable: error.retryable };
}

/** A defect, or no memory: it may have to do with one replica or with what that one is sent, and must not end the others' sessions. */
function asSessionError(error: unknown): FamError {
  if (error instanceof FamError) return error;
  return new FamError('INTERNAL', `internal error: ${stackOf(error)}`, { cause: error, retryable: true });
}

function guarded(served: Served, act: () => boolean): boolean {
  try {
    return act();
  } catch (error) {
    cut(served, asSessionError(error));
    return false;
  }
}

/** One step for each session, again and again, with a turn of the event loop in between. */
function run(): void {
  scheduled = false;
  const now = performance.now();
  let more = false;
  for (const served of sessions.values()) {
    if (served.how !== 'lost') continue;
    more = guarded(served, () => served.session.pump(now)) || more;
  }
  // Not kept for longer than a turn: it may be large.
  shared.batch = undefined;
  if (more) {
    schedule();
    return;
  }
  // The slowest replica does not keep the others from what is new.
  const met = [...sessions.values()].filter(({ session }) => session.hasMet);
  if (met.length === 0 || met.some(({ session }) => !session.awaitsReplica)) turn.done(head);
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
  for (const { session } of sessions.values()) {
    const wake = session.wakeAt;
    if (wake !== undefined && (at === undefined || wake < at)) at = wake;
  }
  if (at !== undefined) wakeTimer = setTimeout(schedule, Math.max(1, at - now));
}

/** Half-open connections say nothing, in either direction. */
const watch = setInterval(() => {
  for (const served of sessions.values()) {
    if (served.session.isToBeat && served.how === 'lost') served.link.send(aliveFrame);
    served.silentBeats += 1;
    if (served.silentBeats <= silentBeatsMax) continue;
    const message = `nothing heard for ${(silentBeatsMax * heartbeatMs) / 1000} s`;
    cut(served, new FamError('HOST_UNREACHABLE', message, { retryable: true }));
  }
}, heartbeatMs);

port.on('message', (message: ToReader) => {
  switch (message.type) {
    case 'attach':
      attach(message.session, message.options, message.pipes);
      break;
    case 'close': {
      const served = sessions.get(message.session);
      if (served === undefined) break;
      if (!message.graceful) cut(served);
      else if (served.how === 'lost') {
        served.how = 'asked';
        served.link.send(encode({ type: 'bye' }));
        served.link.close(true);
      }
      break;
    }
    case 'stop':
      for (const served of sessions.values()) cut(served);
      clearInterval(watch);
      clearTimeout(wakeTimer);
      for (const { session } of sessions.values()) session.close();
      contents.closeAll();
      ledger.close();
      former?.close();
      store.close();
      treePort.close();
      port.close();
      break;
  }
});

treePort.on('message', (moved: HeadMoved) => {
  shared.scanning = moved.scanning;
  head = moved.seq;
  store.refresh();
  if (!scheduled) run();
});
