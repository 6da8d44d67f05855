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
import type { Member, Turns } from './turns.ts';
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

/** One tree of a watch, which takes turns with the others of the thread. */
export class SessionTree implements Member {
  readonly session: Session;
  readonly tree: TreeWatch;
  readonly executions: Executions | undefined;
  listing: TreeListing | undefined;
  /** The root's own `exists` has not been sent. */
  isRootOwed = false;
  /** The number of its last page among those of the watch. */
  lastPage = 0;
  /** What was asked for, relative to the root: '' or names in it. Each gets its `endExist`. */
  readonly requested: readonly ByteString[];

  constructor(
    session: Session,
    tree: TreeWatch,
    executions: Executions | undefined,
    requested: readonly ByteString[],
  ) {
    this.session = session;
    this.tree = tree;
    this.executions = executions;
    this.requested = requested;
  }

  get fdLists(): readonly FdList[] {
    const { tree, executions } = this;
    return executions === undefined ? tree.fdLists : [...tree.fdLists, executions.fds];
  }

  get deadline(): number | undefined {
    return this.tree.deadline;
  }

  get hasPage(): boolean {
    return this.listing !== undefined || !this.tree.outbox.isEmpty;
  }
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
  readonly number: WatchNumber;
  readonly #options: ThreadOptions;
  readonly #post: (message: FromWatchThread) => void;
  readonly #mustGoOn: () => void;
  readonly #turns: Turns<SessionTree>;
  readonly #wanted: ReadonlySet<WatchEventType>;
  readonly #trees: SessionTree[] = [];
  /** Those that may have a page to send. */
  readonly #sending = new Set<SessionTree>();
  /** The oldest first. */
  readonly #underWay: Page[] = [];
  /** Pages that were taken: what they confirm counts once all that the kernel had to tell by then has been read. */
  readonly #taken: Page[] = [];
  /** Of these it has been asked since, what there was to tell. */
  readonly #toConfirm: Page[] = [];
  #pages = 0;
  #isSuspended = false;

  /**
   * Watches everything that was asked for. Throws a FamError.
   * @param turns its trees take part in them until it is closed
   * @param mustGoOn throws when the watch was closed meanwhile
   */
  constructor(
    number: WatchNumber,
    options: ThreadOptions,
    turns: Turns<SessionTree>,
    post: (message: FromWatchThread) => void,
    mustGoOn: () => void = () => {},
  ) {
    this.number = number;
    this.#turns = turns;
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
    const onTold = (): void => this.#turns.call(entry);
    const tree = new TreeWatch({
      path: root,
      filter: new InterestFilter({ recursive, names, filter }),
      settleMs,
      followSymlinks,
      mustGoOn: this.#mustGoOn,
      onTold,
      sleptUntil: () => this.#turns.sleptUntil,
      open: (fd) => {
        const opened = openEventSource({
          root: fd,
          sharesInstance: !recursive,
          onTold,
          ...(monitor && { monitor }),
        });
        if (this.#options.monitor !== undefined || recursive) return opened;
        return { ...opened, reason: 'inotify: no more than one directory' };
      },
      onNotice: (code, path, message) =>
        this.#post({ type: 'notice', watch: this.number, path, code, message }),
      onProblem: (path, code) => this.#post({ type: 'problem', watch: this.number, path, code }),
    });
    const executions = this.#options.executions ? new Executions(root) : undefined;
    const entry = new SessionTree(this, tree, executions, names ?? ['']);
    this.#trees.push(entry);
    tree.start();
    if (this.#options.initial) {
      entry.listing = new TreeListing(tree.shadow, tree.filter);
      tree.outbox.hold(true);
      // The root has no entry in the listing.
      entry.isRootOwed = names === undefined;
      this.#sending.add(entry);
    }
    this.#turns.update(entry);
    // What was read while it was listed is still to be looked at.
    this.#turns.call(entry);
  }

  /** True when there may be more to do at once, and it is due. Throws a FamError when the watch cannot go on. */
  turn(entry: SessionTree): boolean {
    const { tree, executions } = entry;
    const more = tree.turn();
    for (const execution of executions?.read() ?? []) tellExecution(tree, execution);
    tree.outbox.compact();
    if (entry.hasPage) this.#sending.add(entry);
    this.#turns.update(entry);
    if (more) this.#turns.call(entry);
    return more;
  }

  /** Of what was taken until now, the kernel is asked next what had happened before. True when that is anything. */
  askAbout(): boolean {
    const asked = this.#taken.splice(0);
    this.#toConfirm.push(...asked);
    return asked.length > 0;
  }

  get isDue(): boolean {
    return this.#trees.some((entry) => this.#turns.isDue(entry));
  }

  /** All that the kernel had to tell has been read. True when nothing is left that was taken and does not count yet. */
  confirm(): boolean {
    if (this.#trees.every(({ tree }) => tree.isQuiet)) {
      for (const page of this.#toConfirm.splice(0)) confirm(page);
      this.send();
    }
    return this.#toConfirm.length + this.#taken.length === 0;
  }

  taken(): void {
    const page = this.#underWay.shift();
    if (page !== undefined) this.#taken.push(page);
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
      let entry: SessionTree | undefined;
      for (const one of this.#sending) if (entry === undefined || one.lastPage < entry.lastPage) entry = one;
      if (entry === undefined) return;
      this.#sending.delete(entry);
      if (!entry.hasPage) continue;
      entry.lastPage = ++this.#pages;
      if (entry.listing !== undefined) this.#sendListing(entry, entry.listing);
      else this.#sendEvents(entry.tree);
      if (entry.hasPage) this.#sending.add(entry);
    }
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
      this.#send({ type: 'listing', watch: this.number, root, directories }, { confirms: new Map() });
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
      this.#send({ type: 'events', watch: this.number, root, events }, page);
      return;
    }
    // Nobody looks at anything for these; but what was handed out before may not have been looked at.
    const before = this.#underWay.at(-1) ?? this.#taken.at(-1) ?? this.#toConfirm.at(-1);
    if (before === undefined) outbox.confirm(given);
    else before.confirms.set(outbox, given);
  }

  /** One event for each path that was asked for. */
  #sendEach(type: 'exists' | 'endExist', { tree, requested }: SessionTree, page: Page): void {
    const events: FlatEvents = [];
    if (this.#wanted.has(type))
      for (const path of requested) pushFlat(events, { type, path, kind: 'directory' });
    this.#send({ type: 'events', watch: this.number, root: tree.path, events }, page);
  }

  #send(message: FromWatchThread, page: Page): void {
    this.#underWay.push(page);
    this.#post(message);
  }

  close(): void {
    for (const entry of this.#trees) {
      this.#turns.remove(entry);
      entry.tree.close();
      entry.executions?.close();
    }
    this.#trees.length = 0;
    this.#sending.clear();
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
