// watch/: the public library: what imon and SGI::FAM were. A thread waits for the kernel and compares what it hints at with
// a shadow of the tree; the consumer takes typed events at its own speed. May import wire, tree, kernel, runtime, core.
// This file is its door.

import { setMaxListeners } from 'node:events';
import { FamError } from '../core/errors.ts';
import { type WatchEvent, type WatchEventType, type WatchNotice, watchEventTypes } from './event.ts';
import { EventIterator } from './event-iterator.ts';
import { aboutPath, eventsOf } from './flat-events.ts';
import { requestedPath } from './requested-path.ts';
import type { ThreadOptions } from './watch-messages.ts';
import { type FromSession, threadFor, type WatchThread } from './watch-thread.ts';

/** What to watch: a path, as text or as bytes where it is not UTF-8; or a path with its own options. */
export type WatchTarget = string | Uint8Array | WatchRequest;

/** One path of a watch, where it differs from the watch's options. */
export interface WatchRequest {
  /** Absolute, or relative to the working directory. */
  readonly path: string | Uint8Array;
  readonly recursive?: boolean;
  readonly filter?: string | readonly string[];
}

export interface WatchOptions {
  /** Directories: with everything below them. Default true. A file is watched by its name in either case. */
  readonly recursive?: boolean;
  /**
   * Globs; only names that match one of them are told of, and nothing that matches one with a leading `!`. A glob without a
   * slash is matched with a name, one with a slash with the path below the watched directory. Default: everything.
   */
  readonly filter?: string | readonly string[];
  /** Only events of these types. Default: all. */
  readonly events?: readonly WatchEventType[];
  /** Begin with `exists` for everything that is there, then `endExist`. Default false. */
  readonly initial?: boolean;
  /** Also tell when programs below the path begin and cease to run. Needs root. Default false. */
  readonly executions?: boolean;
  /** A file that stays open counts as changed after so many milliseconds without a write. Default 500. */
  readonly settleMs?: number;
  /**
   * The target of a symlink is watched too: another target, or a change of the target, is a `changed` of the link; a
   * watched directory that is reached through a symlink is compared with its successor. Default false.
   */
  readonly followSymlinks?: boolean;
  /** Only this kernel interface, or it fails. Default: fanotify for recursive watches where it can be had, else inotify. */
  readonly monitor?: 'fanotify' | 'inotify';
  /** Ends the watch, as `close` does. */
  readonly signal?: AbortSignal;
  /** Called for each path that cannot be watched, with the errno's name; the rest is watched. Default: ignored. */
  readonly onProblem?: (path: string, code: string) => void;
  /**
   * Called once for each file system that can change without this kernel knowing (NFS, FUSE and the like), and for each below the watched
   * directory that needs another kernel interface; again when one is mounted later. Default: ignored.
   */
  readonly onNotice?: (notice: WatchNotice) => void;
}

const defaultSettleMs = 500;
const monitors = ['fanotify', 'inotify'] as const;

/** Called with each event; the next one comes when what it returns has settled. */
export type WatchCallback = (event: WatchEvent) => void | Promise<void>;

/**
 * Watches files and directories until it is closed, aborted, or left by its `for await`.
 *
 * One consumer: either `for await`, or `listen` with a callback. A consumer that is slower than the changes is told the last state of
 * each path. Throws, from the iteration and from `ready`, a FamError: SOURCE_MISSING, SOURCE_UNREADABLE, MONITOR_UNAVAILABLE; at once
 * USAGE for options that do not exist, and SOURCE_MISSING for a relative path where the working directory is gone.
 */
export function watch(target: WatchTarget | readonly WatchTarget[], options: WatchOptions = {}): Watcher {
  return new Watcher(threadOptions(isList(target) ? target : [target], options), options);
}

function isList(target: WatchTarget | readonly WatchTarget[]): target is readonly WatchTarget[] {
  return Array.isArray(target);
}

function threadOptions(targets: readonly WatchTarget[], options: WatchOptions): ThreadOptions {
  const settleMs = options.settleMs ?? defaultSettleMs;
  if (targets.length === 0) throw new FamError('USAGE', 'watch: no path was given');
  if (!(settleMs >= 0))
    throw new FamError('USAGE', `watch: settleMs must be a number of milliseconds: ${settleMs}`);
  for (const type of options.events ?? []) mustBeOneOf('events', type, watchEventTypes);
  if (options.monitor !== undefined) mustBeOneOf('monitor', options.monitor, monitors);
  return {
    requests: targets.map((target) => {
      const own: WatchRequest =
        typeof target === 'string' || target instanceof Uint8Array ? { path: target } : target;
      return {
        path: requestedPath(own.path),
        recursive: own.recursive ?? options.recursive ?? true,
        filter: listOf(own.filter ?? options.filter),
      };
    }),
    events: options.events ?? [],
    initial: options.initial ?? false,
    executions: options.executions ?? false,
    settleMs,
    followSymlinks: options.followSymlinks ?? false,
    monitor: options.monitor,
  };
}

/** For callers without types. */
function mustBeOneOf(option: string, given: string, valid: readonly string[]): void {
  if (valid.includes(given)) return;
  throw new FamError('USAGE', `watch: ${option}: unknown "${given}"; there are: ${valid.join(', ')}`);
}

function listOf(filter: string | readonly string[] | undefined): readonly string[] {
  if (filter === undefined) return [];
  return typeof filter === 'string' ? [filter] : filter;
}

type State = 'open' | 'closed';

/** A running watch. `close` is idempotent. */
export class Watcher implements AsyncIterable<WatchEvent>, AsyncDisposable {
  /** Settles when the watch is in place: whatever happens from then on is told. Rejects when it could not be. */
  readonly ready: Promise<void>;
  readonly #thread: WatchThread;
  readonly #number: number;
  readonly #onProblem: WatchOptions['onProblem'];
  readonly #onNotice: WatchOptions['onNotice'];
  readonly #signal: AbortSignal | undefined;
  readonly #closing: Promise<void>;
  #resolveReady: () => void = () => {};
  #rejectReady: (error: FamError) => void = () => {};
  #resolveClosing: () => void = () => {};
  /** Which monitors run and why, one for each watched directory. */
  #reasons: readonly string[] = [];
  readonly #pages: Iterator<WatchEvent>[] = [];
  #iterator: EventIterator | undefined;
  #failure: FamError | undefined;
  #state: State = 'open';
  #isSuspended = false;

  /** Use `watch`. */
  constructor(options: ThreadOptions, { signal, onProblem, onNotice }: WatchOptions) {
    this.#onProblem = onProblem;
    this.#onNotice = onNotice;
    this.#signal = signal;
    this.ready = new Promise((resolveReady, rejectReady) => {
      this.#resolveReady = resolveReady;
      this.#rejectReady = rejectReady;
    });
    // Whoever iterates learns of a failure there; nobody has to await this as well.
    this.ready.catch(() => {});
    this.#closing = new Promise((resolveClosing) => {
      this.#resolveClosing = resolveClosing;
    });
    this.#thread = threadFor(options);
    this.#number = this.#thread.open(options, (message) => this.#message(message));
    if (signal?.aborted === true) this.#end();
    else if (signal !== undefined) {
      // One may end any number of watches: Node.js would take the eleventh for a leak.
      setMaxListeners(0, signal);
      signal.addEventListener('abort', this.#onAbort, { once: true });
    }
  }

  readonly #onAbort = (): void => this.#end();

  /** Why each watched directory is watched the way it is; known once `ready`. */
  get reasons(): readonly string[] {
    return this.#reasons;
  }

  /** Events from now on, one after the other. The watch ends when the loop is left. Throws a FamError USAGE the second time. */
  [Symbol.asyncIterator](): EventIterator {
    if (this.#iterator !== undefined) throw new FamError('USAGE', 'watch: it has a consumer already');
    const watcher = this;
    this.#iterator = new EventIterator({
      get isOpen() {
        return watcher.#state === 'open';
      },
      get failure() {
        return watcher.#isSuspended ? undefined : watcher.#failure;
      },
      take: () => (this.#isSuspended ? undefined : this.#next()),
      close: () => this.close(),
    });
    return this.#iterator;
  }

  /** The next event that is here. A page that was read to its end makes room for another one. */
  #next(): WatchEvent | undefined {
    for (let page = this.#pages[0]; page !== undefined; page = this.#pages[0]) {
      const { done, value } = page.next();
      if (done !== true) return value;
      this.#pages.shift();
      this.#thread.send('taken', this.#number);
    }
    return undefined;
  }

  /** Calls back with each event. What the callback throws, and what ends the watch, rejects the promise that is returned. */
  async listen(callback: WatchCallback): Promise<void> {
    for await (const event of this) {
      const result = callback(event);
      if (result !== undefined) await result;
    }
  }

  /** Events, and what ends the watch by itself, wait until `resume`: as the last state of each path, if they are many. */
  suspend(): void {
    this.#isSuspended = true;
    this.#thread.send('suspend', this.#number);
  }

  resume(): void {
    this.#isSuspended = false;
    this.#iterator?.wake();
    this.#thread.send('resume', this.#number);
  }

  /** Ends the watch; what has not been taken is dropped. Resolves when the kernel's resources are free. */
  async close(): Promise<void> {
    this.#end();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #end(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#pages.length = 0;
    if (this.#failure === undefined) this.#thread.send('close', this.#number);
    else this.#resolveClosing();
    this.#iterator?.wake();
  }

  #message(message: FromSession): void {
    switch (message.type) {
      case 'ready':
        this.#reasons = message.reasons;
        this.#resolveReady();
        return;
      case 'events':
      case 'listing':
        if (this.#state === 'closed') return;
        this.#pages.push(eventsOf(message));
        this.#iterator?.wake();
        return;
      case 'problem':
        this.#onProblem?.(Buffer.from(message.path, 'latin1').toString('utf8'), message.code);
        return;
      case 'notice': {
        const { code, path, message: text } = message;
        if (code === 'otherMonitor' && this.#reasons.length > 0) this.#reasons = [...this.#reasons, text];
        this.#onNotice?.({ code, ...aboutPath(path), message: text });
        return;
      }
      case 'failed':
        this.#failure = new FamError(message.code, message.message, { retryable: message.retryable });
        this.#rejectReady(this.#failure);
        this.#resolveClosing();
        this.#iterator?.wake();
        return;
      case 'closed':
        this.#rejectReady(new FamError('INTERNAL', 'the watch was closed before it was ready'));
        this.#resolveClosing();
        return;
    }
  }
}
