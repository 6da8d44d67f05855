// One watch inside the watch thread: its trees, and what it hands out as the consumer takes it.

import { dirname } from 'node:path/posix';
import { asName, type ByteString, type Name } from '../core/name.ts';
import { AT_FDCWD, AT_NO_AUTOMOUNT, ENOTDIR } from '../kernel/constants.ts';
import { type Execution, Executions, type ExecutionsLost } from '../kernel/executions.ts';
import { openEventSource } from '../kernel/open-event-source.ts';
import { Stat, statx } from '../kernel/stat.ts';
import { commandOf } from './command-of.ts';
import { type WatchEventType, watchEventTypes } from './event.ts';
import type { FdList } from './fd-list.ts';
import { pushFlat } from './flat-events.ts';
import { InterestFilter } from './interest.ts';
import type { Outbox } from './outbox.ts';
import { TreeListing } from './tree-listing.ts';
import { TreeWatch } from './tree-watch.ts';
import { unwatchable } from './unwatchable.ts';
import type {
  FlatEvents,
  FromWatchThread,
  ThreadOptions,
  ThreadRequest,
  WatchNumber,
} from './watch-messages.ts';

/** Pages under way: one that is consumed, one that waits behind it. */
const maxPagesUnderWay = 2;
const maxEventsPerPage = 4096;

interface SessionTree {
  readonly tree: TreeWatch;
  readonly executions: Executions | undefined;
  listing: TreeListing | undefined;
  /** The root's own `exists` has not been sent. */
  isRootOwed: boolean;
  /** What was asked for, relative to the root: '' or names in it. Each gets its `endExist`. */
  readonly requested: readonly ByteString[];
}

/** A page under way, and what counts once the consumer is done with it. */
interface Page {
  /** What each outbox has given out by then. */
  readonly confirms: Map<Outbox, number>;
  /** The outbox whose tree's initial listing it ends. */
  readonly releases?: Outbox;
}

/** A request about a directory, or about names in one. */
interface Target {
  readonly root: ByteString;
  readonly recursive: boolean;
  readonly names: Name[] | undefined;
  readonly filter: readonly string[];
}

export class Session implements Disposable {
  readonly #number: WatchNumber;
  readonly #options: ThreadOptions;
  readonly #post: (message: FromWatchThread) => void;
  readonly #mustGoOn: () => void;
  readonly #wanted: ReadonlySet<WatchEventType>;
  readonly #trees: SessionTree[] = [];
  /** The oldest first. */
  readonly #underWay: Page[] = [];
  /** Pages that were taken: what they confirm counts once all that the kernel had to tell by then has been read. */
  readonly #toConfirm: Page[] = [];
  /** The tree that is asked first for the next page: the one after that which had the last. */
  #nextTree = 0;
  #isSuspended = false;

  /**
   * Watches everything that was asked for. Throws a FamError.
   * @param mustGoOn throws when the watch was closed meanwhile
   */
  constructor(
    number: WatchNumber,
    options: ThreadOptions,
    post: (message: FromWatchThread) => void,
    mustGoOn: () => void = () => {},
  ) {
    this.#number = number;
    this.#mustGoOn = mustGoOn;
    this.#options = options;
    this.#post = post;
    this.#wanted = new Set(options.events.length === 0 ? watchEventTypes : options.events);
    try {
      for (const target of targetsOf(options.requests)) this.#open(target);
    } catch (error) {
      this.close();
      throw error;
    }
    post({ type: 'ready', watch: number, reasons: this.#trees.flatMap(({ tree }) => tree.reasons) });
  }

  #open({ root, recursive, names, filter }: Target): void {
    const { settleMs, followSymlinks } = this.#options;
    // One watch of one directory is less for the kernel to do than a whole file system.
    const monitor = this.#options.monitor ?? (recursive ? undefined : 'inotify');
    const tree = new TreeWatch({
      path: root,
      filter: new InterestFilter({ recursive, names, filter }),
      settleMs,
      followSymlinks,
      mustGoOn: this.#mustGoOn,
      open: (fd) => {
        const opened = openEventSource({
          root: fd,
          sharesInstance: !recursive,
          ...(monitor && { monitor }),
        });
        if (this.#options.monitor !== undefined || recursive) return opened;
        return { ...opened, reason: 'inotify: no more than one directory' };
      },
      onNotice: (code, path, message) =>
        this.#post({ type: 'notice', watch: this.#number, path, code, message }),
      onProblem: (path, code) => this.#post({ type: 'problem', watch: this.#number, path, code }),
    });
    const executions = this.#options.executions ? new Executions(root) : undefined;
    this.#trees.push({ tree, executions, listing: undefined, isRootOwed: false, requested: names ?? [''] });
    tree.start();
    const last = this.#trees.at(-1);
    if (this.#options.initial && last !== undefined) {
      last.listing = new TreeListing(tree.shadow, tree.filter);
      tree.outbox.hold(true);
      // The root has no entry in the listing.
      last.isRootOwed = names === undefined;
    }
  }

  get fdLists(): readonly FdList[] {
    return this.#trees.flatMap(({ tree, executions }) =>
      executions === undefined ? tree.fdLists : [...tree.fdLists, executions.fds],
    );
  }

  get deadline(): number | undefined {
    const deadlines = this.#trees.map(({ tree }) => tree.deadline).filter((at) => at !== undefined);
    return deadlines.length === 0 ? undefined : Math.min(...deadlines);
  }

  woke(): void {
    for (const { tree } of this.#trees) tree.woke();
  }

  /** True when there may be more to do at once. Throws a FamError when the watch cannot go on. */
  turn(): boolean {
    let more = false;
    for (const { tree, executions } of this.#trees) {
      more = tree.turn() || more;
      for (const execution of executions?.read() ?? []) tellExecution(tree, execution);
      tree.outbox.compact();
    }
    if (!more && this.#trees.every(({ tree }) => tree.isQuiet)) {
      for (const page of this.#toConfirm.splice(0)) confirm(page);
    }
    this.send();
    return more;
  }

  taken(): void {
    const page = this.#underWay.shift();
    if (page !== undefined) this.#toConfirm.push(page);
    this.send();
  }

  suspend(): void {
    this.#isSuspended = true;
  }

  resume(): void {
    this.#isSuspended = false;
    this.send();
  }

  /** Hands out what waits, as far as the consumer has room: a page of each tree in turn, lest a busy one starve the others. */
  send(): void {
    if (this.#isSuspended) return;
    while (this.#underWay.length < maxPagesUnderWay) {
      const count = this.#trees.length;
      const found = this.#trees.findIndex((_, i) => this.#hasPage((this.#nextTree + i) % count));
      if (found < 0) return;
      const at = (this.#nextTree + found) % count;
      this.#nextTree = (at + 1) % count;
      const entry = this.#trees[at];
      if (entry?.listing !== undefined) this.#sendListing(entry, entry.listing);
      else if (entry !== undefined) this.#sendEvents(entry.tree);
    }
  }

  #hasPage(at: number): boolean {
    const entry = this.#trees[at];
    return entry !== undefined && (entry.listing !== undefined || !entry.tree.outbox.isEmpty);
  }

  /** The root's own entry, or some directories, or the end of the listing. */
  #sendListing(entry: SessionTree, listing: TreeListing): void {
    const { outbox, path: root } = entry.tree;
    if (entry.isRootOwed) {
      entry.isRootOwed = false;
      if (this.#wanted.has('exists')) this.#sendEach('exists', entry, { confirms: new Map() });
      return;
    }
    const directories = listing.take();
    if (directories.length === 0) {
      entry.listing = undefined;
      // Also where nobody wants to hear of it: what comes before it has been seen when it has.
      this.#sendEach('endExist', entry, { confirms: new Map(), releases: outbox });
    } else if (this.#wanted.has('exists')) {
      this.#send({ type: 'listing', watch: this.#number, root, directories }, { confirms: new Map() });
    }
  }

  #sendEvents({ outbox, path: root }: TreeWatch): void {
    const events: FlatEvents = [];
    for (const event of outbox.take(maxEventsPerPage)) {
      if (this.#wanted.has(event.type)) pushFlat(events, event);
    }
    const { given } = outbox;
    if (events.length > 0) {
      const page = { confirms: new Map([[outbox, given]]) };
      this.#send({ type: 'events', watch: this.#number, root, events }, page);
      return;
    }
    // Nobody looks at anything for these; but what was handed out before may not have been looked at.
    const before = this.#underWay.at(-1) ?? this.#toConfirm.at(-1);
    if (before === undefined) outbox.confirm(given);
    else before.confirms.set(outbox, given);
  }

  /** One event for each path that was asked for. */
  #sendEach(type: 'exists' | 'endExist', { tree, requested }: SessionTree, page: Page): void {
    const events: FlatEvents = [];
    if (this.#wanted.has(type))
      for (const path of requested) pushFlat(events, { type, path, kind: 'directory' });
    this.#send({ type: 'events', watch: this.#number, root: tree.path, events }, page);
  }

  #send(message: FromWatchThread, page: Page): void {
    this.#underWay.push(page);
    this.#post(message);
  }

  close(): void {
    for (const { tree, executions } of this.#trees) {
      tree.close();
      executions?.close();
    }
    this.#trees.length = 0;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function confirm({ confirms, releases }: Page): void {
  for (const [outbox, given] of confirms) outbox.confirm(given);
  releases?.hold(false);
}

function tellExecution(tree: TreeWatch, execution: Execution | ExecutionsLost): void {
  if (execution.type === 'lost') {
    tree.outbox.add({ type: 'rescan', path: '', kind: 'directory', why: 'overflow' });
    return;
  }
  const { type, path, pid } = execution;
  const relative = tree.relative(path);
  if (relative === undefined || !tree.isTold(relative, false)) return;
  const command = commandOf(pid);
  const event = { type, path: relative, kind: 'file', pid } as const;
  tree.outbox.add(command === undefined ? event : { ...event, command });
}

/** Files are watched as names in their directory, so that they can be replaced; several in one directory share a watch. */
function targetsOf(requests: readonly ThreadRequest[]): Target[] {
  const targets: Target[] = [];
  const byDirectory = new Map<ByteString, Target>();
  const stat = new Stat();
  for (const { path, recursive, filter } of requests) {
    const result = statx(AT_FDCWD, path, stat, AT_NO_AUTOMOUNT);
    if (result === 0 && stat.isDirectory) {
      targets.push({ root: path, recursive, names: undefined, filter });
      continue;
    }
    const directory = dirname(path);
    const name = asName(path.slice(path.lastIndexOf('/') + 1));
    const parent = statx(AT_FDCWD, directory, stat, AT_NO_AUTOMOUNT);
    if (name === undefined || parent < 0 || !stat.isDirectory) {
      throw unwatchable(path, result < 0 ? result : ENOTDIR);
    }
    const known = byDirectory.get(directory);
    if (known?.names !== undefined) known.names.push(name);
    else {
      const target = { root: directory, recursive: false, names: [name], filter: [] };
      byDirectory.set(directory, target);
      targets.push(target);
    }
  }
  return targets;
}
