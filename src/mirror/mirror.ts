// mirror/: composes a running mirror out of the other rooms, and is the only one that knows them all:
// tree thread -> reader thread -> sessions -> links -> agents.

import { MessageChannel } from 'node:worker_threads';
import { type Controlled, serveControl } from '../control/server.ts';
import type { MirrorStatus, WaitResult } from '../control/status.ts';
import type { Seq } from '../core/attributes.ts';
import { FamError, isDiskFull, stateIsFull } from '../core/errors.ts';
import { bytesOfText } from '../core/name.ts';
import type { Log } from '../runtime/log.ts';
import { packageVersion } from '../runtime/version.ts';
import type { ReaderData } from '../source/reader-messages.ts';
import { ReaderThread } from '../source/reader-thread.ts';
import { ReadingTurn } from '../source/reading-turn.ts';
import type { SessionOptions } from '../source/session.ts';
import type { Condition } from '../source/tree-messages.ts';
import { type TreeEvent, TreeThread } from '../source/tree-thread.ts';
import type { Transport } from '../transport/transport.ts';
import { Descent } from './descent.ts';
import { logProblem } from './log-problem.ts';
import type { Prepared } from './prepare.ts';
import { ReplicaRunner } from './replica-runner.ts';

/** Quiet time after which a file that is held open is sent. An upload that pauses for longer is seen as far as it has come. */
const settleMs = 500;
/** Changes that are forgotten together. */
const pruneEvery = 20_000;
/** So often is looked where the source's own tree comes from. */
const descentLookMs = 2000;
/** A file that is written to all the time is sent this often. */
const hotFileMaxDelayMs = 2000;

/** What remains true after it was logged, and so belongs in the status. */
const lastingConditions: ReadonlySet<Condition['code']> = new Set([
  'unreported',
  'other-monitor',
  'watch-limit',
]);

export interface MirrorOptions {
  /** Consent to move what the source lacks to the replicas' trash (I5). */
  readonly init: boolean;
  /** Each replica is compared as a whole at the first contact of this run; with `init` it always is. Default false. */
  readonly compare?: boolean;
  readonly monitor: 'fanotify' | 'inotify' | undefined;
  readonly durability: SessionOptions['durability'];
  /** Accept an empty or replaced source root, and any number of deletions (I4). */
  readonly trustSource: boolean;
  /** Bytes a second at most: to each replica, to all together. */
  readonly bandwidth?: number | undefined;
  readonly bandwidthTotal?: number | undefined;
  readonly attributeRules?: SessionOptions['attributeRules'];
  readonly log: Log;
  /** Called whenever something that `status` tells has changed. */
  readonly onChange?: () => void;
}

/** A running mirror. `close` ends it in order. */
export class Mirror implements Controlled {
  readonly source: string;
  readonly stateDir: string;
  readonly #options: MirrorOptions;
  readonly #inherited: Prepared['inherited'];
  readonly #place: Prepared['place'];
  readonly #descent: Descent;
  readonly #descentTimer: NodeJS.Timeout;
  readonly #tree: TreeThread;
  readonly #reader: ReaderThread;
  readonly #runners: ReplicaRunner[] = [];
  #runs: Promise<void>[] = [];
  #closeControl: () => Promise<void> = () => Promise.resolve();
  #head: Seq = 0;
  #inodes = 0;
  #prunedTo: Seq = 0;
  #scanning = true;
  #waiters = new Set<() => void>();
  /** By condition and path. */
  readonly #warnings = new Map<string, string>();
  readonly #failure: { readonly promise: Promise<never>; reject(error: Error): void };

  private constructor(
    options: MirrorOptions,
    { source, place, stateDir, inherited }: Pick<Prepared, 'source' | 'place' | 'stateDir' | 'inherited'>,
    tree: TreeThread,
    reading: Pick<ReaderData, 'treePort' | 'readingTurn'>,
  ) {
    this.#options = options;
    this.source = source;
    this.stateDir = stateDir;
    this.#inherited = inherited;
    this.#place = place;
    this.#descent = new Descent(source);
    this.#descentTimer = setInterval(() => void this.#lookAtDescent(), descentLookMs);
    this.#tree = tree;
    let reject: (error: Error) => void = () => {};
    const promise = new Promise<never>((_, no) => {
      reject = no;
    });
    // Whoever awaits `failed` sees it; until somebody does it is not an unhandled rejection.
    promise.catch(() => {});
    this.#failure = { promise, reject };
    const data = {
      root: bytesOfText(source),
      stateDir,
      formerState: inherited?.formerState,
      ...reading,
      bandwidth: options.bandwidthTotal,
    };
    this.#reader = new ReaderThread(data, (error) =>
      reject(isDiskFull(error) ? stateIsFull(stateDir, error) : error),
    );
  }

  /** Places the mark and opens the state; returns when the tree is being watched. Abandons what was prepared if that fails. */
  static async start(options: MirrorOptions, prepared: Prepared): Promise<Mirror> {
    const { source, stateDir, inherited, transports } = prepared;
    let onEvent: (event: TreeEvent) => void = () => {};
    const { port1: readerPort, port2: treePort } = new MessageChannel();
    const readingTurn = new ReadingTurn().memory;
    const tree = await TreeThread.start(
      {
        root: bytesOfText(source),
        inherited,
        stateDir,
        monitor: options.monitor,
        settleMs,
        hotFileMaxDelayMs,
        trustSource: options.trustSource,
        readerPort,
        readingTurn,
      },
      (event) => onEvent(event),
    ).catch(async (error: unknown) => {
      await prepared.abandon();
      throw error;
    });
    const mirror = new Mirror(options, prepared, tree, { treePort, readingTurn });
    onEvent = (event) => mirror.#treeEvent(event);
    mirror.#head = tree.head;
    options.log.info(
      { event: 'watching', source, monitor: tree.monitor, reason: tree.monitorReason },
      `watching ${source} by ${tree.monitorReason === '' ? tree.monitor : tree.monitorReason}`,
    );
    try {
      mirror.#closeControl = await serveControl(stateDir, mirror);
    } catch (error) {
      await prepared.abandon();
      await mirror.close(false);
      throw error;
    }
    for (const transport of transports) mirror.#addReplica(transport);
    return mirror;
  }

  /** Rejects when the mirror as a whole cannot go on: nothing to watch, a thread died, no replica can be reached at all. */
  get failed(): Promise<never> {
    return this.#failure.promise;
  }

  status(): MirrorStatus {
    return {
      version: packageVersion(),
      pid: process.pid,
      source: this.source,
      monitor: this.#tree.monitor,
      monitorReason: this.#tree.monitorReason,
      warnings: [...this.#warnings.values()],
      scanning: this.#scanning,
      files: this.#inodes,
      head: this.#head,
      replicas: this.#runners.map((runner) => runner.status(this.#head)),
    };
  }

  /** True when every replica has everything that has been recorded. */
  get inSync(): boolean {
    return !this.#scanning && this.#runners.every((runner) => runner.status(this.#head).lagSeconds === 0);
  }

  /**
   * The barrier: everything that had happened before the call is on the replicas, or the time is over.
   * @throws FamError NOT_RUNNING when the mirror ends meanwhile
   */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<WaitResult> {
    const deadline = performance.now() + timeoutMs;
    const late = (): boolean => signal.aborted || performance.now() >= deadline;
    let seq: Seq | undefined;
    let ended: Error | undefined;
    this.#tree.barrier().then(
      (reached) => {
        seq = reached;
        this.#changed();
      },
      (error: Error) => {
        ended = error;
        this.#changed();
      },
    );
    const behind = (): string[] =>
      this.#runners
        .filter((runner) => !runner.live || runner.applied < (seq ?? 0))
        .map((runner) => runner.label);
    const reached = (): boolean => seq !== undefined && behind().length === 0;
    while (!reached() && !late() && ended === undefined)
      await this.#change(deadline - performance.now(), signal);
    if (ended !== undefined) throw ended;
    return {
      reached: reached(),
      seq: seq ?? 0,
      behind: seq === undefined ? this.#runners.map((r) => r.label) : behind(),
    };
  }

  /**
   * Ends it: what is in flight is applied and acknowledged, state is flushed. `graceful` false: at once.
   */
  async close(graceful = true): Promise<void> {
    clearInterval(this.#descentTimer);
    for (const runner of this.#runners) runner.stop(graceful);
    await Promise.all(this.#runs);
    await this.#reader.stop();
    await this.#tree.stop();
    await this.#closeControl();
    this.#changed();
  }

  /**
   * Ends it at once: no replica is waited for, only our own threads, which finish the transaction that they are in. A thread that is ended
   * in the middle of one keeps the process from exiting for ever (lmdb: its cleanup waits for the lock that this thread has left behind).
   */
  async abandon(): Promise<void> {
    clearInterval(this.#descentTimer);
    for (const runner of this.#runners) runner.stop(false);
    await this.#reader.stop();
    await this.#tree.stop();
  }

  #addReplica(transport: Transport): void {
    const runner = new ReplicaRunner(transport, this.#reader, {
      session: () => ({
        version: packageVersion(),
        init: this.#options.init,
        // Consent is of no use where only what changes is looked at.
        compares: this.#options.init || this.#options.compare === true,
        durability: this.#options.durability,
        trusted: this.#options.trustSource,
        hotFileMaxDelayMs,
        bandwidth: this.#options.bandwidth,
        attributeRules: this.#options.attributeRules,
        promotedAt: this.#inherited?.promotedAt,
        follows: this.#inherited?.follows,
        descent: this.#descent.trees,
        place: this.#place,
      }),
      log: this.#options.log,
      wholeHead: () => (this.#scanning ? undefined : this.#head),
      onProgress: () => {
        this.#prune();
        this.#changed();
        this.#giveUpIfSuperseded();
        this.#giveUpIfHopeless();
      },
      onMissing: (path) => this.#tree.missing(path),
    });
    this.#runners.push(runner);
    this.#runs.push(runner.run());
  }

  /** Replicas are told in the welcome only, so they are met anew. */
  async #lookAtDescent(): Promise<void> {
    if (!(await this.#descent.hasChanged())) return;
    this.#options.log.info(
      { event: 'descent' },
      'the source gets its tree from elsewhere than before: connecting again, to tell the replicas',
    );
    for (const runner of this.#runners) runner.renew();
  }

  /** What every replica has on its disk need not be remembered change by change; an absent one stops that. */
  #prune(): void {
    const durable = Math.min(...this.#runners.map((runner) => runner.durable));
    if (durable < this.#prunedTo + pruneEvery) return;
    this.#prunedTo = durable;
    this.#tree.prune(durable);
  }

  /** I9: one replica that knows a later main is enough, at any time. Whoever went on would keep the others from following it. */
  #giveUpIfSuperseded(): void {
    for (const { label, lastError } of this.#runners)
      if (lastError?.code === 'SUPERSEDED') this.#failure.reject(saidOf(label, lastError));
  }

  /** At the start only: when no replica can be reached at all, the command ends and says why. */
  #giveUpIfHopeless(): void {
    const errors = this.#runners.map(({ label, hopeless }) => hopeless && saidOf(label, hopeless));
    const first = errors.find((error) => error?.retryable === false) ?? errors[0];
    if (first !== undefined && errors.every((error) => error !== undefined)) this.#failure.reject(first);
  }

  #treeEvent(event: TreeEvent): void {
    const { log } = this.#options;
    switch (event.type) {
      case 'head':
        this.#head = event.seq;
        this.#inodes = event.inodes;
        for (const runner of this.#runners) runner.headMoved(event.seq);
        break;
      case 'scan':
        if (event.done) {
          this.#scanning = false;
          for (const runner of this.#runners) runner.scanned();
          const { files, directories, sockets } = event;
          log.info(
            { event: 'scanned', entries: files, directories, sockets },
            `scanned ${files} names in ${directories} folders${sockets === 0 ? '' : `, sockets left out: ${sockets}`}`,
          );
        }
        break;
      case 'problem':
        logProblem(log, event.problem);
        break;
      case 'condition':
        this.#noteCondition(event);
        log.warn({ event: 'condition', condition: event.code }, event.message);
        break;
      case 'failed':
        this.#failure.reject(event.error);
        break;
    }
    this.#changed();
  }

  #noteCondition({ code, path = '', message }: Condition): void {
    if (lastingConditions.has(code)) this.#warnings.set(`${code} ${path}`, message);
    else if (code === 'unmounted') {
      for (const lasting of lastingConditions) this.#warnings.delete(`${lasting} ${path}`);
    }
  }

  #changed(): void {
    for (const wake of this.#waiters) wake();
    this.#options.onChange?.();
  }

  /** Resolves at the next change, after `timeoutMs`, or when the signal fires. */
  #change(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, timeoutMs));
      this.#waiters.add(done);
      signal.addEventListener('abort', done);
    });
  }
}

/** The replica's side knows its path only: which of them it was is for us to say. */
function saidOf(replica: string, error: FamError): FamError {
  if (error.message.includes(replica)) return error;
  const { code, message, retryable } = error;
  return new FamError(code, `${replica}: ${message}`, { cause: error, retryable });
}
