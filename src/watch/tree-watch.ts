// Turns one tree's kernel events into watch events, by looking at what they hint at and comparing it with a shadow of the
// tree. Synchronous, for the watch thread. It reads the tree and never writes to it.
//
// This file: the life of it, the root that may go and come back, and which event leads to what. Single names are the affair of
// name-changes.ts, whole directories of tree-reader.ts.

import { FamError } from '../core/errors.ts';
import type { ByteString, Name } from '../core/name.ts';
import { below, under } from '../core/under.ts';
import { AT_FDCWD, EMFILE, O_DIRECTORY, O_PATH } from '../kernel/constants.ts';
import { close, openat } from '../kernel/entry-calls.ts';
import {
  type DirectoryTag,
  Hint,
  type KernelEvent,
  type MountEvent,
  type MountedFileEvent,
} from '../kernel/event-source.ts';
import type { OpenedEventSource } from '../kernel/open-event-source.ts';
import { Stat, statx } from '../kernel/stat.ts';
import { errnoName, isStarved } from '../kernel/sys-error.ts';
import { watchLimitAdvice } from '../kernel/watch-limit.ts';
import { Doubts } from './doubts.ts';
import { identityOf } from './entry-code.ts';
import type { NoticeCode, RescanReason } from './event.ts';
import type { FdList } from './fd-list.ts';
import { FollowedLinks } from './followed-links.ts';
import { Interest, type InterestFilter } from './interest.ts';
import { NameChanges } from './name-changes.ts';
import type { Outbox } from './outbox.ts';
import { Settling } from './settling.ts';
import { type Directory, Shadow } from './shadow.ts';
import { Starvation } from './starvation.ts';
import { Teller } from './teller.ts';
import type { TreeParts } from './tree-parts.ts';
import { TreeReader } from './tree-reader.ts';
import { unwatchable } from './unwatchable.ts';
import { WatchedRoot } from './watched-root.ts';

/** Tables that were changed are made small again after so much quiet. */
const packAfterMs = 10_000;

/** A root that is replaced again and again while it is attached. */
const maxAttachTries = 16;

export interface TreeWatchOptions {
  /** Absolute, without a trailing slash. */
  readonly path: ByteString;
  readonly filter: InterestFilter;
  readonly settleMs: number;
  /** Symlinks: the root's own, and those to files that lie in the tree. */
  readonly followSymlinks: boolean;
  /** Opens the kernel's events for a root (O_PATH); called again when the root was replaced. */
  readonly open: (rootFd: number) => OpenedEventSource;
  /** A path that cannot be watched, and why: told once, the rest goes on. */
  readonly onProblem: (path: ByteString, code: string) => void;
  /** It needs a turn though no descriptor of its own is readable: another one has read what is its. */
  readonly onTold?: () => void;
  /** In ms since 1970: none of the descriptors was readable at this moment, and it had nothing else to do. */
  readonly sleptUntil?: () => number;
  /** Throws when the watch was closed meanwhile. Asked while a tree is listed or compared; default: it goes on. */
  readonly mustGoOn?: () => void;
  /** Something about the file system that a path is on, for people: told once. */
  readonly onNotice: (code: NoticeCode, path: ByteString, message: string) => void;
}

export class TreeWatch implements Disposable {
  readonly path: ByteString;
  readonly shadow = new Shadow();
  readonly outbox: Outbox;
  readonly filter: InterestFilter;
  readonly #options: TreeWatchOptions;
  readonly #root: WatchedRoot;
  readonly #links: FollowedLinks;
  readonly #settling: Settling;
  readonly #doubts = new Doubts();
  readonly #starvation = new Starvation();
  readonly #teller: Teller;
  readonly #names: NameChanges;
  readonly #reader: TreeReader;
  readonly #stat = new Stat();
  /** At paths that are not known as they are: what leads there may be told after them, in the same read. */
  #mounts: MountEvent[] = [];
  #hasOverflowed = false;
  #lastTurn = 0;

  constructor(options: TreeWatchOptions) {
    const { path, filter, open, onNotice } = options;
    const { shadow } = this;
    this.#options = options;
    this.path = path;
    this.filter = filter;
    this.#settling = new Settling(options.settleMs);
    this.#teller = new Teller({ shadow, filter, settling: this.#settling });
    this.outbox = this.#teller.outbox;
    this.#root = new WatchedRoot({
      path,
      shadow,
      isRecursive: filter.recursive,
      open,
      onNotice,
      sleptUntil: options.sleptUntil ?? (() => -Infinity),
    });
    this.#links = new FollowedLinks({
      path,
      filter,
      followsSymlinks: options.followSymlinks,
      onRoot: () => this.#lookAtRoot(),
      onChanged: (directory, name) => this.#teller.changed(directory, name, 0),
      onUnwatched: (directory, errno) => options.onProblem(directory, errnoName(errno)),
      onTold: options.onTold ?? (() => {}),
    });
    const parts: TreeParts = {
      path,
      shadow,
      filter,
      root: this.#root,
      teller: this.#teller,
      settling: this.#settling,
      doubts: this.#doubts,
      links: this.#links,
      problem: (relative, errno) => options.onProblem(under(path, relative), errnoName(errno)),
      mustGoOn: options.mustGoOn ?? (() => {}),
      starved: () => this.#starved(),
    };
    // A name that appears may be a directory, and a directory that is read is full of names.
    this.#names = new NameChanges({
      ...parts,
      enter: (directory, how) => this.#reader.enter(directory, how),
      compare: (directory, since) => this.#reader.compare(directory, since),
    });
    this.#reader = new TreeReader(parts, this.#names);
  }

  /** Which monitors run and why: the root's, then those of file systems below it that need another one. */
  get reasons(): readonly string[] {
    return this.#root.reasons;
  }

  /** To poll for reading. */
  get fdLists(): readonly FdList[] {
    return [this.#root.eventFds, this.#links.fds];
  }

  /** Nothing that was read is still to be told: no half of a move, no name in doubt or for which no descriptor was left. */
  get isQuiet(): boolean {
    return (
      this.#doubts.isEmpty && this.#root.pendingUntil === undefined && this.#starvation.deadline === undefined
    );
  }

  /** When `turn` should be called though nothing is readable, in ms of `performance.now()`. */
  get deadline(): number | undefined {
    const at = Math.min(
      this.#settling.deadline ?? Infinity,
      this.#root.pendingUntil ?? Infinity,
      this.#links.pendingUntil ?? Infinity,
      this.#doubts.deadline ?? Infinity,
      this.#starvation.deadline ?? Infinity,
      this.shadow.hasOpened ? this.#lastTurn + packAfterMs : Infinity,
    );
    return at === Infinity ? undefined : at;
  }

  /** Whether the request is about a path (relative to the root) that is there. */
  isTold(path: ByteString, isDirectory: boolean): boolean {
    return this.#teller.isTold(path, isDirectory);
  }

  /** A real path (as the kernel shows it) relative to the root, or undefined when it is not below it. */
  relative(realPath: ByteString): ByteString | undefined {
    return below(this.#root.fds.rootPath, realPath);
  }

  /** Places the mark, then lists the tree. Throws a FamError when the root is not there or cannot be watched. */
  start(): void {
    const result = this.#attach(this.path, openat(AT_FDCWD, this.path, O_PATH | O_DIRECTORY));
    if (result < 0) throw unwatchable(this.path, result);
    this.#reader.enterFirst();
    this.#doubtReplaced();
    if (this.#options.followSymlinks) this.#followRoot();
    this.#settleDown();
  }

  /** Where the first listing may have gone wrong, the kernel has told so meanwhile: those are compared once more. */
  #doubtReplaced(): void {
    for (const event of this.#root.drain()) {
      if (event.type === 'rename' && event.isDirectory) {
        this.#doubtListing(event.fromDirectory, event.fromName);
        this.#doubtListing(event.toDirectory, event.toName);
      } else if (event.type === 'name' && event.name !== '' && (event.hints & Hint.directory) !== 0) {
        this.#doubtListing(event.directory, event.name);
      }
    }
  }

  #doubtListing(parent: DirectoryTag, name: Name): void {
    const child = this.shadow.entered(this.shadow.get(parent)?.get(name));
    if (child === undefined) return;
    child.isListed = false;
    if (child.parent !== undefined) this.#doubts.add(child.parent, name, 0, 0);
  }

  /** Frees everything; idempotent. */
  close(): void {
    this.#root.detach();
    this.#links.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Reads what the kernel has, and does what is due. True when more may wait: call it again, after what is urgent. */
  turn(now = performance.now()): boolean {
    this.shadow.recycleTags();
    if (this.#lastTurn + packAfterMs <= now && this.#lastTurn > 0) this.shadow.pack();
    const events = this.#root.take();
    for (const event of events) this.#handle(event);
    if (this.#hasOverflowed) {
      // Once for all that has been read: whatever was lost had happened before.
      this.#hasOverflowed = false;
      this.#rescan(this.shadow.root, 'overflow', this.#root.seenUntil);
    }
    this.#links.read();
    for (const { directory, name, pid } of this.#settling.due(now))
      this.#teller.changed(directory, name, pid);
    if (events.length > 0) {
      this.#lastTurn = now;
      return true;
    }
    this.#root.noteDrained();
    this.shadow.index();
    this.#doubts.verify(
      now,
      (directory, name, hints, pid) => this.#names.look(directory, name, hints, pid, true),
      (directory) => {
        if (isStarved(this.#root.fds.open(directory))) this.#starved();
      },
    );
    this.#recover(now);
    this.#lookAtMounts();
    this.#root.fds.release();
    return this.#root.hasDrained;
  }

  // --- no descriptor left ---

  #starved(): void {
    if (this.#starvation.begin(performance.now())) this.#options.onProblem(this.path, errnoName(EMFILE));
  }

  /** Compares everything, as after an overflow, when there are descriptors for it. */
  #recover(now: number): void {
    const due = this.#starvation.deadline;
    if (due === undefined || due > now) return;
    this.#root.fds.release();
    if (!haveSpareDescriptors()) {
      this.#starvation.postpone(now);
      return;
    }
    this.#starvation.end(now);
    if (this.#root.isGone) this.#lookAtRoot();
    if (this.shadow.isRootPresent) this.#rescan(this.shadow.root, 'overflow', this.#starvation.lostSince);
  }

  // --- the root ---

  /** Attaches what `fd` (consumed; -errno: nothing) refers to, or what has taken its place at `path` meanwhile. 0 or -errno. */
  #attach(path: ByteString, fd: number): number {
    let found = fd;
    for (let tries = 1; found >= 0; tries++) {
      this.#root.attach(found);
      // RACE: it may have left its place before that was watched. If it does from here on, an event tells.
      if (tries === maxAttachTries || this.#root.isAt(path)) return 0;
      this.#root.detach();
      found = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY);
    }
    return found;
  }

  /** The root may be another directory by now, or none. */
  #lookAtRoot(): void {
    const { shadow } = this;
    const path = this.#options.followSymlinks || !shadow.isRootPresent ? this.path : this.#root.fds.rootPath;
    let fd = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY);
    if (isStarved(fd)) {
      this.#root.isGone = true;
      this.#starved();
      return;
    }
    if (fd < 0) {
      // RACE: it may come back between the look and the watch; so watch its way, then look again.
      this.#links.followRoot(true);
      fd = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY);
    }
    if (fd < 0) {
      if (!shadow.isRootPresent) return;
      this.#root.detach();
      this.#teller.tell({ type: 'deleted', path: '', kind: 'directory' });
      shadow.root.each((name, code) => this.#names.forget(shadow.root, name, code));
      shadow.isRootPresent = false;
      return;
    }
    if (this.#root.isAttachedTo(fd)) {
      close(fd);
      return;
    }
    const wasPresent = shadow.isRootPresent;
    this.#root.detach();
    if (this.#attach(path, fd) < 0) {
      shadow.isRootPresent = wasPresent;
      this.#lookAtRoot();
      return;
    }
    if (wasPresent) {
      this.#rescan(shadow.root, 'replaced', -Infinity);
    } else {
      this.#teller.tell({ type: 'created', path: '', kind: 'directory' });
      this.#reader.enter(shadow.root, { told: true, complete: true, pid: 0 });
    }
    this.#links.unfollowRoot();
    if (this.#options.followSymlinks) this.#followRoot();
  }

  #followRoot(): void {
    this.#links.followRoot(false);
    // RACE: it may have been swapped before its way was watched.
    this.#lookAtRoot();
    this.#settleDown();
  }

  /** What was noticed while the tree was listed. */
  #settleDown(): void {
    if (this.#root.isGone) this.#lookAtRoot();
    this.#root.fds.release();
    this.#lastTurn = performance.now();
  }

  // --- events ---

  #handle(event: KernelEvent): void {
    switch (event.type) {
      case 'name': {
        const directory = this.shadow.get(event.directory);
        if (directory === undefined) return;
        if (event.name === '') this.#selfEvent(directory, event.hints, event.pid);
        else this.#names.look(directory, event.name, event.hints, event.pid);
        return;
      }
      case 'rename': {
        const from = this.shadow.get(event.fromDirectory);
        const to = this.shadow.get(event.toDirectory);
        const directory = event.isDirectory ? Hint.directory : 0;
        if (from !== undefined && to !== undefined) {
          this.#names.rename(from, event.fromName, to, event.toName, event.isDirectory, event.pid);
        } else if (from !== undefined) {
          this.#names.look(from, event.fromName, Hint.vanished | Hint.moved | directory, event.pid);
        } else if (to !== undefined) {
          this.#names.look(to, event.toName, Hint.appeared | Hint.moved | directory, event.pid);
        }
        return;
      }
      case 'overflow':
        this.#hasOverflowed = true;
        return;
      case 'mounted':
      case 'unmounted':
        if (!this.#rescanMount(event)) this.#mounts.push(event);
        return;
      case 'mounted-file':
        this.#lookAtMountedFile(event);
        return;
      case 'root-gone':
        this.#root.isGone = true;
        this.#lookAtRoot();
        return;
      case 'watch-limit':
        throw new FamError('MONITOR_UNAVAILABLE', watchLimitAdvice(event.needed, event.limit));
      // Taken out when they were read.
      case 'unreported':
      case 'other-monitor':
        return;
    }
  }

  /** What happened to a directory itself. inotify tells it to its parent too: then the parent's word counts. */
  #selfEvent(directory: Directory, hints: number, pid: number): void {
    if ((hints & Hint.attributes) === 0) return;
    const { parent, name } = directory;
    if (parent === undefined || name === '') {
      if (this.isTold('', true)) this.#teller.tell({ type: 'attributes', path: '', kind: 'directory' }, pid);
    } else if (this.#root.monitor === 'fanotify' && this.filter.of(parent, name, true) === Interest.told) {
      this.#teller.tell({ type: 'attributes', path: directory.path, kind: 'directory' }, pid);
    }
  }

  /** False when the directory is not known, or is not the one that is known. */
  #rescanMount({ path, type }: MountEvent): boolean {
    const directory = this.shadow.entered(this.shadow.lookup(path));
    if (directory === undefined || directory.parent === undefined || directory.name === '') return false;
    const fd = this.#root.fds.open(directory.parent);
    if (fd < 0 || statx(fd, directory.name, this.#stat) < 0) return false;
    this.#root.fds.forget(directory);
    this.shadow.identify(directory, identityOf(this.#stat.inoHigh, this.#stat.inoLow));
    this.#rescan(directory, type, -Infinity);
    return true;
  }

  #lookAtMountedFile({ path, hints }: MountedFileEvent): void {
    const slash = path.lastIndexOf('/');
    const directory =
      slash < 0 ? this.shadow.root : this.shadow.entered(this.shadow.lookup(path.slice(0, slash)));
    // A part of a path is a name.
    if (directory !== undefined) this.#names.look(directory, path.slice(slash + 1) as Name, hints, 0);
    else if (this.filter.recursive) this.#mounts.push({ type: 'mounted', path });
  }

  /** What was queued before has been looked at: whatever is still unknown on the way to a mount is looked for now. */
  #lookAtMounts(): void {
    for (const mount of this.#mounts.splice(0)) {
      let directory: Directory | undefined = this.shadow.root;
      const parts = mount.path.split('/');
      for (const [i, part] of parts.entries()) {
        // A part of a path is a name.
        const name = part as Name;
        // What is mounted on a file is another content, however alike the files' inode numbers are.
        const hints = i === parts.length - 1 ? Hint.closedWrite | Hint.attributes : 0;
        this.#names.look(directory, name, hints, 0, true);
        directory = this.shadow.entered(directory.get(name));
        if (directory === undefined) break;
      }
      this.#rescanMount(mount);
    }
  }

  #rescan(directory: Directory, why: RescanReason, since: number): void {
    this.#teller.tell({ type: 'rescan', path: directory.path, kind: 'directory', why });
    this.#reader.compare(directory, since);
  }
}

/** For one directory after the other, each with the one that holds it. */
const spareDescriptors = 4;

function haveSpareDescriptors(): boolean {
  const fds: number[] = [];
  while (fds.length < spareDescriptors && (fds.at(-1) ?? 0) >= 0) fds.push(openat(AT_FDCWD, '/', O_PATH));
  for (const fd of fds) if (fd >= 0) close(fd);
  return (fds.at(-1) ?? -1) >= 0;
}
