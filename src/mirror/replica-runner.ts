// One replica's life: connect, serve the session, reconnect with backoff. One slow, broken or absent replica costs
// the others nothing.

import type { ReplicaStatus } from '../control/status.ts';
import type { Seq } from '../core/attributes.ts';
import { FamError } from '../core/errors.ts';
import { type ByteString, displayBytes } from '../core/name.ts';
import { oneLine } from '../core/one-line.ts';
import { isMendable, type Problem } from '../core/problem.ts';
import type { Log } from '../runtime/log.ts';
import type { SessionNumber } from '../source/reader-messages.ts';
import type { ReaderThread, SessionEnd } from '../source/reader-thread.ts';
import type { SessionEvent, SessionOptions, SessionProgress } from '../source/session.ts';
import { Backoff } from '../transport/backoff.ts';
import type { Connection, Transport } from '../transport/transport.ts';
import { logProblem } from './log-problem.ts';
import { Outage } from './outage.ts';

/** Something that only a person can mend is tried again this rarely. */
const hopelessRetryMs = 30_000;
/** So often an agent may die before it says a word (killed, out of memory), before that counts as how it is. */
const silentDeaths = 5;
/** Problems of one session that are logged one by one; the rest is counted in the status. */
const problemLines = 20;

export interface RunnerOptions {
  /** What a session is to be like that begins now. */
  readonly session: () => SessionOptions;
  readonly log: Log;
  /** Something of its status has changed. */
  readonly onProgress: () => void;
  /** This (relative to the root) has not been where it is recorded for seconds. */
  readonly onMissing: (path: ByteString) => void;
  /** The source's newest seq, or undefined while it is being scanned: nobody can be said to have everything then. */
  readonly wholeHead: () => Seq | undefined;
}

export class ReplicaRunner {
  readonly #transport: Transport;
  readonly #reader: ReaderThread;
  readonly #options: RunnerOptions;
  readonly #log: Log;
  readonly #backoff = new Backoff();
  readonly #outage = new Outage();
  readonly #stop = new AbortController();
  /** While it is connected. */
  #session: SessionNumber | undefined;
  #state: ReplicaStatus['state'] = 'connecting';
  #progress: SessionProgress | undefined;
  #met = false;
  #everInSync = false;
  /** Attempts that ended before the replica was met, one after another. */
  #unmet = 0;
  #inSyncLogged = false;
  #firstSync: { readonly startedAt: number } | undefined;
  #target: Seq | undefined;
  #equalAt: number | undefined;
  #problems = 0;
  #failed = 0;
  /** Of those, what somebody can mend; the replica says itself how much of that is left, once it has said so. */
  #mendable = 0;
  #failing: number | undefined;
  #lacks: readonly string[] = [];
  #lastError: FamError | undefined;
  #retryAt: number | undefined;
  /** The session in hand is ended by us, for another one to begin. */
  #isRenewing = false;

  constructor(transport: Transport, reader: ReaderThread, options: RunnerOptions) {
    this.#transport = transport;
    this.#reader = reader;
    this.#options = options;
    this.#log = options.log.child({ replica: transport.label });
  }

  get label(): string {
    return this.#transport.label;
  }

  /** Everything up to here is visible on the replica. */
  get applied(): Seq {
    return this.#progress?.applied ?? 0;
  }

  /** Everything up to here is on the replica's disk; 0 until it has been met. */
  get durable(): Seq {
    return this.#progress?.durable ?? 0;
  }

  /** Its comparison is over and its link is up. */
  get live(): boolean {
    return this.#state === 'live';
  }

  /** Why it was lost; undefined once it has been in sync again. */
  get lastError(): FamError | undefined {
    return this.#lastError;
  }

  /** Set while there is no reason to believe that another attempt will do better than the last one. */
  get hopeless(): FamError | undefined {
    const error = this.#lastError;
    if (this.#everInSync || error === undefined || this.#state !== 'lost') return undefined;
    if (!mayMend(error)) return error;
    if (error.code === 'AGENT_FAILED' && this.#unmet < silentDeaths) return undefined;
    return this.#met ? undefined : error;
  }

  status(head: Seq): ReplicaStatus {
    const progress = this.#progress;
    const applied = progress?.applied ?? 0;
    const equal = this.#state === 'live' && applied >= head;
    return {
      replica: this.label,
      state: this.#state,
      applied,
      durable: progress?.durable ?? 0,
      behind: Math.max(0, head - applied),
      owedFiles: progress?.owedFiles ?? 0,
      lagSeconds: equal ? 0 : this.#equalAt === undefined ? null : (performance.now() - this.#equalAt) / 1000,
      files: progress?.files ?? 0,
      bytes: progress?.bytes ?? 0,
      problems: this.#problems,
      failed: this.#failed + (this.#failing ?? this.#mendable),
      lacks: [...this.#lacks],
      lastError: this.#lastError?.message ?? null,
      retryInSeconds:
        this.#retryAt === undefined ? null : Math.max(0, (this.#retryAt - performance.now()) / 1000),
    };
  }

  /** Runs until `stop`. Never rejects. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#state = 'connecting';
      this.#retryAt = undefined;
      try {
        const connection = await this.#transport.connect(this.#stop.signal);
        this.#backoff.connected(performance.now());
        const error = await this.#serve(connection);
        if (this.#stop.signal.aborted) break;
        if (this.#isRenewing) continue;
        this.#lose(error);
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        this.#lose(asFamError(error, this.label));
      }
      const backoffMs = this.#backoff.failed(performance.now());
      const delay = this.#lastError !== undefined && !mayMend(this.#lastError) ? hopelessRetryMs : backoffMs;
      this.#retryAt = performance.now() + delay;
      const message = oneLine(this.#lastError?.message ?? 'the link ended', this.label);
      if (this.#outage.isNews(message, performance.now())) {
        this.#log.warn(
          { event: 'lost', code: this.#lastError?.code, retryInSeconds: delay / 1000 },
          `lost: ${message}; retry in ${(delay / 1000).toFixed(1)} s`,
        );
      }
      this.#options.onProgress();
      await pause(delay, this.#stop.signal);
    }
    this.#state = 'stopped';
  }

  /**
   * Ends it: what was sent is applied and recorded by the replica first when `graceful`.
   */
  stop(graceful: boolean): void {
    this.#stop.abort();
    if (this.#session !== undefined) this.#reader.close(this.#session, graceful);
  }

  /** Begins another session, with what `session` says now; what is under way is brought to its end. */
  renew(): void {
    if (this.#session === undefined) return;
    this.#isRenewing = true;
    this.#reader.close(this.#session, true);
  }

  /** The source has recorded more; `head` is its newest seq. */
  headMoved(head: Seq): void {
    if (this.#progress !== undefined && this.#progress.applied < head) this.#equalAt ??= performance.now();
  }

  async #serve(connection: Connection): Promise<FamError> {
    this.#isRenewing = false;
    this.#met = false;
    this.#inSyncLogged = false;
    this.#problems = 0;
    this.#failed = 0;
    this.#mendable = 0;
    this.#failing = undefined;
    let failure: FamError | undefined;
    const { how, error } = await new Promise<SessionEnd>((resolve) => {
      const session = this.#options.session();
      const compares = session.compares === true && !this.#everInSync;
      this.#session = this.#reader.attach({ ...session, compares }, connection, {
        event: (event) => {
          failure = this.#event(event) ?? failure;
        },
        ended: resolve,
      });
      if (this.#stop.signal.aborted) this.#reader.close(this.#session, true);
    });
    this.#session = undefined;
    const why = await connection.ended(how);
    return failure ?? why ?? error ?? unexpectedEnd();
  }

  #event(event: SessionEvent): FamError | undefined {
    switch (event.type) {
      case 'met':
        this.#met = true;
        this.#outage.end();
        this.#unmet = 0;
        this.#progress = undefined;
        this.#lacks = event.lacks;
        this.#failing = event.failing;
        this.#state = event.mode === 'resume' ? 'live' : 'comparing';
        this.#target = undefined;
        this.#firstSync = event.mode === 'reconcile' ? { startedAt: performance.now() } : undefined;
        this.#log.info(
          { event: 'connected', mode: event.mode, lacks: event.lacks, cursor: event.cursor },
          event.mode === 'resume' ? 'connected, catching up' : 'connected, comparing',
        );
        if (event.lacks.length > 0) {
          this.#log.warn(
            { event: 'lacks', lacks: event.lacks },
            `cannot keep there: ${event.lacks.join(', ')}`,
          );
        }
        return undefined;
      case 'progress':
        this.#advance(event);
        return undefined;
      case 'problems':
        for (const problem of event.problems) {
          this.#problems += 1;
          if (isMendable(problem.code)) this.#mendable += 1;
          else if (isFailure(problem) && !this.#comesAgain(problem)) this.#failed += 1;
          if (this.#problems <= problemLines) logProblem(this.#log, problem);
        }
        return undefined;
      case 'extras': {
        const paths = event.extras.paths.map(displayBytes);
        const { count } = event.extras;
        this.#log.warn(
          { event: 'extras', count, paths },
          `${count} names that the source lacks were kept (${firstOf(paths, count)}); --init moves such to the trash`,
        );
        return undefined;
      }
      case 'kept': {
        const { count, trash } = event.kept;
        const paths = event.kept.paths.map(displayBytes);
        this.#log.warn(
          { event: 'kept', count, paths, trash },
          `${count} names that fam had not put there, or that were changed since, gave way (${firstOf(paths, count)}): kept in ${trash}`,
        );
        return undefined;
      }
      case 'failing': {
        const { count, mended } = event.failing;
        const paths = event.failing.paths.map(displayBytes);
        this.#failing = count;
        this.#options.onProgress();
        if (mended === 0) return undefined;
        this.#log.info(
          { event: 'mended', mended, paths, failing: count },
          `${mended} names that had failed are as they should be (${firstOf(paths, mended)})`,
        );
        return undefined;
      }
      case 'missing':
        this.#options.onMissing(event.path);
        return undefined;
      case 'failed':
        return new FamError(event.failed.code, event.failed.message, { retryable: event.failed.retryable });
    }
  }

  /** Somebody has moved or removed something there, and it is asked for: only what is missed while it is compared is not. */
  #comesAgain({ code }: Problem): boolean {
    return this.#state === 'live' && absences.has(code);
  }

  #advance(progress: SessionProgress): void {
    this.#progress = progress;
    this.#declare(progress);
    this.#equalAt = progress.applied >= progress.head ? undefined : (this.#equalAt ?? performance.now());
    this.#options.onProgress();
  }

  /** The source's scan is over. */
  scanned(): void {
    if (this.#session !== undefined && this.#progress !== undefined) this.#declare(this.#progress);
  }

  /** Says when the first sync is done, and when everything that there was at the beginning has arrived. */
  #declare(progress: SessionProgress): void {
    if (progress.reconciling || progress.owedFiles > 0) return;
    this.#target ??= this.#options.wholeHead();
    if (this.#target === undefined || progress.applied < this.#target) return;
    if (this.#state === 'comparing') {
      this.#state = 'live';
      const seconds = (performance.now() - (this.#firstSync?.startedAt ?? 0)) / 1000;
      this.#log.info(
        { event: 'first-sync', files: progress.files, bytes: progress.bytes, seconds },
        `first sync done: ${progress.files} files, ${progress.bytes} B, ${seconds.toFixed(2)} s`,
      );
    }
    this.#everInSync = true;
    this.#lastError = undefined;
    if (this.#inSyncLogged) return;
    this.#inSyncLogged = true;
    this.#log.info({ event: 'in-sync', seq: progress.applied }, 'in sync');
  }

  #lose(error: FamError): void {
    this.#state = 'lost';
    if (!this.#met) this.#unmet += 1;
    this.#lastError = error;
    this.#equalAt ??= performance.now();
  }
}

/** For a line: the first three of so many. */
function firstOf(paths: readonly string[], count: number): string {
  return `${paths.slice(0, 3).join(', ')}${count > 3 ? ', ...' : ''}`;
}

/** The path is not as it is at the source: more than that some of what belongs to it cannot be kept there. */
function isFailure({ action, code }: Problem): boolean {
  return !notFailures.has(code) && action !== 'go on where it was';
}

/** Reported once by name, as a capability that is lacking; sent as it was read. */
const notFailures: ReadonlySet<string> = new Set(['unsupported', 'changing']);

/** What was to be changed is not there, or what leads to it is not. */
const absences: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP']);

/** Trying again soon may help without anybody doing anything. A full disk is somebody's to clear. */
function mayMend(error: FamError): boolean {
  return error.retryable && error.code !== 'DISK_FULL';
}

function unexpectedEnd(): FamError {
  return new FamError('HOST_UNREACHABLE', 'the agent ended the connection', { retryable: true });
}

function asFamError(error: unknown, label: string): FamError {
  if (error instanceof FamError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new FamError('AGENT_FAILED', `${label}: ${text}`, { cause: error, retryable: true });
}

/** Resolves after `delayMs`, or at once when the signal fires. */
function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
