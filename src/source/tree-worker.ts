// The tree's thread: waits for the kernel, looks at what it hints at, records, and says how far the tree is. It is
// synchronous throughout and the only writer of the store; it never writes to the watched tree.
//
// Latency path: one poll, one read, one transaction, one message.

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { Seq } from '../core/attributes.ts';
import { FamError, isDiskFull, stackOf, stateIsFull } from '../core/errors.ts';
import { type ByteString, displayBytes } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';
import { under } from '../core/under.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../kernel/constants.ts';
import type { ConditionEvent, EventSource } from '../kernel/event-source.ts';
import { ForeignPause } from '../kernel/foreign-pause.ts';
import { openEventSource } from '../kernel/open-event-source.ts';
import * as sys from '../kernel/sys.ts';
import { unreportedAdvice } from '../kernel/unreported.ts';
import { watchLimitAdvice } from '../kernel/watch-limit.ts';
import { nameOf } from '../tree/name-of.ts';
import { Recorder } from '../tree/recorder.ts';
import { admitRoot } from '../tree/source-check.ts';
import { sourceIdOf } from '../tree/source-id.ts';
import { TreeStore } from '../tree/store.ts';
import { succeed } from '../tree/succeed.ts';
import { ReadingTurn } from './reading-turn.ts';
import type { Condition, FromTree, HeadMoved, ToTree, TreeData } from './tree-messages.ts';

/** The same problem is not reported again; beyond this many different ones the memory of them starts anew. */
const maxRemembered = 1000;
/** Events that one `read` of a source returns at least, if so many wait. */
const surelyReadAtOnce = 4096;
/** Journal records forgotten at a time: some milliseconds. */
const pruneSlice = 2000;
/** The smallest event, in bytes as FIONREAD counts: inotify's header (fanotify counts 24 for each event). */
const smallestEventBytes = 16;

/** After a round that took less, the reader gets its turn anyway. */
const shortRoundMs = 10;
/** The longest turn of the reader: what happens meanwhile is recorded so much later. A longer one brought nothing (churn, docs/performance.md). */
const maxTurnMs = 1500;
/** How often the kernel's queue is emptied meanwhile: inotify's holds 16,384 events. */
const gatherMs = 5;

/** How often a scan says how far it is. */
const scanReportMs = 100;

/** Steps after which resident memory is given back: when there is nothing else to do, and at the latest. */
const quietSteps = 500;
const busySteps = 5000;

function post(message: FromTree): void {
  parentPort?.postMessage(message);
}

/** A barrier that has been asked for. */
interface Barrier {
  readonly id: number;
  /** Round by which all that was queued has been looked at. */
  round: number;
  /** The files that were found being written have been told to settle. */
  settled: boolean;
}

/** How to close what was opened, in the order of opening. */
type Resources = (() => void)[];

class TreeWorker {
  readonly #data: TreeData;
  readonly #rootFd: number;
  readonly #store: TreeStore;
  readonly #source: EventSource;
  readonly #recorder: Recorder;
  readonly #fds: number[];
  readonly #foreignPause: ForeignPause;
  readonly #turn: ReadingTurn | undefined;
  #roundBeganAt = performance.now();
  /** In this round nothing could be sent for some time. */
  #wasMoving = false;
  #barriers: Barrier[] = [];
  #head: Seq;
  #isMoving = false;
  #scanning = true;
  #scanReportedAt = -Infinity;
  #stopping = false;
  #pruneTo: Seq | undefined;
  /** Since resident memory was last given back. */
  #steps = 0;
  readonly #remembered = new Set<string>();

  /** Places the mark before anything is looked at, so that nothing is missed. */
  constructor(data: TreeData, resources: Resources) {
    this.#data = data;
    const rootFd = openRoot(data.root);
    resources.push(() => sys.close(rootFd));
    this.#rootFd = rootFd;
    const { inherited } = data;
    const store = TreeStore.open(data.stateDir, { sourceId: inherited?.sourceId ?? sourceIdOf(data.root) });
    resources.push(() => store.close());
    this.#store = store;
    const hasSucceeded = succeed(store, inherited?.promotedAt ?? 0);
    const { source, reason } = openEventSource({
      root: rootFd,
      ...(data.monitor === undefined ? {} : { monitor: data.monitor }),
      nameOf: nameOf(store),
    });
    resources.push(() => source.close());
    this.#source = source;
    assertInPlace(data.root, rootFd);
    this.#fds = [data.wakeFd, ...source.fds];
    this.#foreignPause = new ForeignPause(data.wakeFd);
    this.#turn = data.readingTurn === undefined ? undefined : new ReadingTurn(data.readingTurn);
    this.#recorder = new Recorder({
      store: this.#store,
      rootFd: this.#rootFd,
      source,
      settleMs: data.settleMs,
      hotFileMaxDelayMs: data.hotFileMaxDelayMs,
      hidden: inherited?.hidden,
      onProblem: (problem) => this.#problem(problem),
      onCondition: (condition) => this.#condition(condition),
    });
    const recorder = this.#recorder;
    resources.push(() => recorder.close());
    const isFirst = admitRoot(this.#store, this.#rootFd, data.root, data.trustSource);
    // What another main has removed since is gone for good.
    this.#recorder.startScan(isFirst, data.trustSource || hasSucceeded);
    this.#head = this.#store.head;
    post({
      type: 'ready',
      head: this.#head,
      monitor: source.monitor,
      monitorReason: reason,
      sourceId: this.#store.sourceId,
      epoch: this.#store.epoch,
    });
    this.#reportFresh();
  }

  #reportFresh(): void {
    const { fresh } = this.#store;
    if (fresh === 'power-loss') {
      const message = 'the machine went down while fam ran: its records are made anew, and replicas compared';
      post({ type: 'condition', code: fresh, message });
    } else if (fresh === 'format') {
      const message = 'the records are of another version of fam: they are made anew, and replicas compared';
      post({ type: 'condition', code: fresh, message });
    }
  }

  /** Until `stop`, or until a FamError says why not. */
  run(): void {
    while (!this.#stopping) {
      const timeout = this.#timeout();
      this.#trim(timeout !== 0);
      const ready = sys.poll(this.#fds, timeout);
      if (typeof ready === 'number') throw new sys.SysError(ready, 'poll');
      if (ready.includes(0)) this.#receive();
      if (!this.#recorder.busy) this.#roundBeganAt = performance.now();
      const events = this.#source.read();
      this.#recorder.feed(events);
      const { rounds } = this.#recorder;
      this.#advance();
      if (this.#recorder.rounds !== rounds) this.#endRound();
      if (events.length === 0 && timeout === undefined && !ready.includes(0)) this.#foreignPause.take();
    }
    this.#finish();
  }

  /** Keeps the database's pages from adding up in our resident memory (budget: 150 MB with a million files). */
  #trim(isQuiet: boolean): void {
    if (this.#steps < (isQuiet ? quietSteps : busySteps)) return;
    this.#steps = 0;
    this.#store.releaseMemory();
  }

  /**
   * Under load, leaves what is recorded to the reader thread until that has sent it, or somebody waits for us: after a round in which
   * directories were between places, so that nothing could be sent before its end. Otherwise both go on side by side.
   */
  #endRound(): void {
    const ended = performance.now();
    const hadNothing = this.#wasMoving && ended - this.#roundBeganAt >= shortRoundMs;
    this.#wasMoving = false;
    this.#roundBeganAt = ended;
    const isState = this.#store.isSettled && !this.#recorder.isMoving && !this.#recorder.scanning;
    if (this.#turn === undefined || !hadNothing || !isState) return;
    this.#turn.offer(this.#head);
    // RACE: what was told before may have been read before it was offered: then nobody would say that it has been.
    this.#postHead();
    const until = ended + maxTurnMs;
    for (let left = until - ended; left > 0; left = until - performance.now()) {
      this.#recorder.feed(this.#source.read());
      const isWanted = this.#barriers.length > 0 || !this.#recorder.busy || this.#isCalled;
      if (isWanted || this.#turn.wait(this.#head, Math.min(left, gatherMs))) break;
    }
    this.#turn.withdraw();
    this.#roundBeganAt = performance.now();
  }

  /** The main thread has something to say. */
  get #isCalled(): boolean {
    const ready = sys.poll([this.#data.wakeFd], 0);
    return typeof ready === 'number' || ready.length > 0;
  }

  #timeout(): number | undefined {
    if (this.#recorder.busy || this.#barriers.length > 0 || this.#pruneTo !== undefined) return 0;
    const hot = this.#recorder.deadline;
    const pending = this.#source.pendingUntil;
    if (hot === undefined && pending === undefined) return undefined;
    return Math.max(0, Math.min(hot ?? Infinity, pending ?? Infinity) - performance.now());
  }

  #advance(): void {
    this.#recorder.step();
    this.#steps += 1;
    const { head } = this.#store;
    const { isMoving } = this.#recorder;
    this.#wasMoving ||= isMoving;
    if (head !== this.#head || isMoving !== this.#isMoving) {
      this.#head = head;
      this.#isMoving = isMoving;
      this.#postHead();
    }
    if (this.#scanning || this.#recorder.scanning) this.#reportScan();
    if (this.#barriers.length > 0) this.#passBarriers();
    this.#prune();
  }

  #postHead(): void {
    const moved: HeadMoved = {
      type: 'head',
      seq: this.#head,
      inodes: this.#store.stats.inodes,
      scanning: this.#scanning,
    };
    this.#data.readerPort?.postMessage(moved);
    post(moved);
  }

  /** A slice of what is to be forgotten, when there is nothing better to do. */
  #prune(): void {
    if (this.#pruneTo === undefined || this.#recorder.busy || this.#recorder.scanning) return;
    if (this.#store.prune(this.#pruneTo, pruneSlice)) this.#pruneTo = undefined;
  }

  #reportScan(): void {
    this.#scanning = this.#recorder.scanning;
    const now = performance.now();
    if (this.#scanning && now < this.#scanReportedAt + scanReportMs) return;
    this.#scanReportedAt = now;
    if (!this.#scanning) {
      this.#store.releaseMemory();
      // A first scan records without moving the head; and whoever reads must not wait for what could not be listed.
      this.#postHead();
    }
    post({ type: 'scan', ...this.#recorder.scanned, done: !this.#scanning });
  }

  #receive(): void {
    sys.drainEventfd(this.#data.wakeFd);
    if (parentPort === null) return;
    for (;;) {
      const received: { message: ToTree } | undefined = receiveMessageOnPort(parentPort);
      if (received === undefined) return;
      const { message } = received;
      if (message.type === 'stop') this.#stopping = true;
      else if (message.type === 'prune') this.#pruneTo = message.seq;
      else if (message.type === 'missing') this.#missing(message.path);
      else this.#beginBarrier(message.id);
    }
  }

  /** Takes in all that is in the kernel's queue at this moment, however fast it is being filled. */
  #beginBarrier(id: number): void {
    this.#readQueue();
    const { pendingUntil } = this.#source;
    if (pendingUntil !== undefined) {
      // Half of a rename is held back; its other half comes within milliseconds or not at all.
      sys.poll([], Math.max(0, pendingUntil - performance.now()) + 1);
      this.#recorder.feed(this.#source.read());
    }
    this.#barriers.push({ id, round: this.#recorder.rounds + 2, settled: false });
  }

  #readQueue(): void {
    const waiting = this.#source.queued() / smallestEventBytes;
    for (let taken = 0; taken < waiting; taken += surelyReadAtOnce) {
      this.#recorder.feed(this.#source.read(surelyReadAtOnce));
    }
  }

  #passBarriers(): void {
    const waiting: Barrier[] = [];
    for (const barrier of this.#barriers) {
      const idle = !this.#recorder.busy && !this.#recorder.scanning;
      if (!idle && (this.#recorder.scanning || this.#recorder.rounds < barrier.round)) waiting.push(barrier);
      else if (!barrier.settled) {
        this.#recorder.settleAll(performance.now());
        waiting.push({ ...barrier, settled: true, round: this.#recorder.rounds + 2 });
      } else post({ type: 'barrier', id: barrier.id, seq: this.#store.head });
    }
    this.#barriers = waiting;
  }

  #missing(path: ByteString): void {
    if (!this.#recorder.suspect()) return;
    const message = `${displayBytes(path)} is not where it was recorded, and no event has told why: everything is compared`;
    post({ type: 'condition', code: 'missing', path, message });
  }

  #problem(problem: Problem): void {
    const key = `${problem.action} ${problem.code} ${problem.path}`;
    if (this.#remembered.has(key)) return;
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear();
    this.#remembered.add(key);
    post({ type: 'problem', problem });
  }

  #condition(event: ConditionEvent): void {
    const message = explain(event, this.#data.root);
    post({ type: 'condition', code: event.type, message, ...('path' in event ? { path: event.path } : {}) });
    if (event.type !== 'root-gone') return;
    throw new FamError(
      'SOURCE_DOUBTFUL',
      `${displayBytes(this.#data.root)} was ${event.why} while it was mirrored: nothing more is recorded, nothing was deleted. Bring it back and start again`,
    );
  }

  /** What is known to be half-written is recorded too, so that little is left for the next start's scan. */
  #finish(): void {
    if (this.#recorder.scanning) return;
    this.#recorder.settleAll(performance.now());
    while (this.#recorder.busy) this.#advance();
  }
}

function openRoot(root: string): number {
  const fd = sys.openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) return fd;
  const code = sys.errnoName(fd);
  const shown = displayBytes(root);
  if (code === 'ENOENT') throw new FamError('SOURCE_MISSING', `${shown} does not exist`);
  if (code === 'ENOTDIR') throw new FamError('SOURCE_NOT_DIRECTORY', `${shown} is not a folder`);
  throw new FamError('SOURCE_UNREADABLE', `${shown} cannot be opened: ${code}`);
}

/** RACE: it may have left its place before that was watched. If it does from here on, an event tells. */
function assertInPlace(root: string, rootFd: number): void {
  const stat = new sys.Stat();
  if (sys.fstat(rootFd, stat) === 0 && sys.leadsTo(root, stat)) return;
  const message = `${displayBytes(root)} was moved or replaced while the mirror started: nothing was recorded. Start again`;
  throw new FamError('SOURCE_DOUBTFUL', message);
}

function explain(event: ConditionEvent, root: ByteString): Condition['message'] {
  switch (event.type) {
    case 'overflow':
      return "the kernel's event queue overflowed: the whole tree is compared with its records";
    case 'mounted':
      if (event.isFile) return `a file was mounted over ${displayBytes(event.path)}`;
      return `a file system was mounted at ${displayBytes(event.path)}: what it holds is part of the tree`;
    case 'unmounted':
      if (event.isFile)
        return `the file that was mounted over ${displayBytes(event.path)} was unmounted: what it covered is there again`;
      return `the file system at ${displayBytes(event.path)} was unmounted: what it held is kept as it is until it is mounted again`;
    case 'root-gone':
      return `the root was ${event.why}`;
    case 'watch-limit':
      return `some folders are not watched: ${watchLimitAdvice(event.needed, event.limit)}; then start fam again`;
    case 'unreported':
      return unreportedAdvice(under(root, event.path), event.fileSystem);
    case 'other-monitor':
      return `${displayBytes(under(root, event.path))}: ${event.reason}`;
  }
}

function failure(error: unknown, stateDir: string): FromTree {
  const known = asFamError(error, stateDir);
  return { type: 'failed', error: { code: known.code, message: known.message, retryable: known.retryable } };
}

function asFamError(error: unknown, stateDir: string): FamError {
  if (error instanceof FamError) return error;
  if (isDiskFull(error)) return stateIsFull(stateDir, error);
  return new FamError('INTERNAL', `the tree's thread failed: ${stackOf(error)}`, { cause: error });
}

function main(data: TreeData): void {
  const resources: Resources = [];
  let failed: FromTree | undefined;
  try {
    new TreeWorker(data, resources).run();
  } catch (error) {
    failed = failure(error, data.stateDir);
  }
  // The last word comes after the store has been closed: whoever hears it may open it again.
  for (const close of resources.reverse()) close();
  if (failed !== undefined) post(failed);
}

main(workerData);
