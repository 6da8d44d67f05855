// Turns one tree's kernel events into watch events, by looking at what they hint at and comparing it with a shadow of the
// tree. Synchronous, for the watch thread. It reads the tree and never writes to it.

import { FamError } from '../core/errors.ts';
import { type ByteString, displayBytes, type Name } from '../core/name.ts';
import {
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  EACCES,
  ELOOP,
  EMFILE,
  ENOENT,
  ENOTDIR,
  O_DIRECTORY,
  O_PATH,
  SEEK_SET,
} from '../kernel/constants.ts';
import { lseek } from '../kernel/content-calls.ts';
import { readDirectory } from '../kernel/directory.ts';
import { close, openat } from '../kernel/entry-calls.ts';
import { type DirectoryTag, type EventSource, Hint, type KernelEvent } from '../kernel/event-source.ts';
import { describeFileSystem } from '../kernel/file-system.ts';
import { pathOf } from '../kernel/mounts.ts';
import type { OpenedEventSource } from '../kernel/open-event-source.ts';
import { fstat, Stat, statx } from '../kernel/stat.ts';
import { check, errnoName, SysError } from '../kernel/sys-error.ts';
import { unreportedAdvice } from '../kernel/unreported.ts';
import { countDirectories, isWatchLimit, watchLimitAdvice } from '../kernel/watch-limit.ts';
import { commandOf } from './command-of.ts';
import { DirectoryFds } from './directory-fds.ts';
import {
  type EntryCode,
  EntryKind,
  entryCode,
  entryValue,
  identityOf,
  isDirectoryCode,
  kindName,
  kindOf,
  kindOfListed,
  kindOfType,
} from './entry-code.ts';
import { packEntry } from './entry-table.ts';
import type { NoticeCode, RescanReason } from './event.ts';
import { Interest, type InterestFilter } from './interest.ts';
import { Outbox, type TreeEvent } from './outbox.ts';
import { Route } from './route.ts';
import { Settling } from './settling.ts';
import { type Directory, Shadow } from './shadow.ts';
import { unwatchable } from './unwatchable.ts';

/** File systems whose directories list the inode numbers that stat shows, of files and directories alike. */
const exactListings: ReadonlySet<string> = new Set(['ext4', 'xfs', 'tmpfs', 'ramfs', 'f2fs']);
/** ... of files only: a nested btrfs subvolume is listed with another number than it has. */
const exactFileListings: ReadonlySet<string> = new Set(['btrfs']);

/** A rename shows on disk a moment before its event is in the queue: names are compared again after this long. */
const verifyDelayMs = 2;
/** So often, after longer and longer: 2 s in all. Then it is gone for us: too long a path, or no right to look. */
const maxTries = 9;
/** Inode change times are at most this much behind the clock (HZ=100 ticks; 1 s resolution on old file systems). */
const changeTimeSlackMs = 2000;
/** While a large tree is listed, inotify's queue (16,384 events) is emptied after so many directories. */
const directoriesPerDrain = 64;
/** Tables that were changed are made small again after so much quiet. */
const packAfterMs = 10_000;

/** Errors that say: what the names meant has changed since it was listed. */
const goneErrnos: ReadonlySet<number> = new Set([-ENOENT, -ENOTDIR, -ELOOP]);

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
  /** Something about the file system that a path is on, for people: told once. */
  readonly onNotice: (code: NoticeCode, path: ByteString, message: string) => void;
}

/** A name to look at again when the queue is empty. */
interface Doubt {
  readonly directory: Directory;
  readonly name: Name;
  hints: number;
  readonly pid: number;
  readonly due: number;
  tries: number;
}

export class TreeWatch implements Disposable {
  readonly path: ByteString;
  readonly shadow = new Shadow();
  readonly outbox: Outbox;
  readonly #options: TreeWatchOptions;
  readonly filter: InterestFilter;
  readonly #settling: Settling;
  readonly #stat = new Stat();
  #source: EventSource | undefined;
  #reasons: string[] = [];
  #fds: DirectoryFds;
  #rootDevType = '';
  #backlog: KernelEvent[] = [];
  readonly #doubts = new Map<string, Doubt>();
  #route: Route | undefined;
  /** Followed links: absolute path to what its target was like. */
  readonly #links = new Map<
    ByteString,
    { readonly directory: Directory; readonly name: Name; state: string }
  >();
  #drainedAt = Date.now();
  #hasOverflowed = false;
  #isFirstScan = false;
  #lastTurn = 0;

  constructor(options: TreeWatchOptions) {
    this.#options = options;
    this.path = options.path;
    this.filter = options.filter;
    this.#settling = new Settling(options.settleMs);
    this.#fds = new DirectoryFds(options.path, this.shadow.root);
    this.outbox = new Outbox(this.shadow, (path, isDirectory) => this.isTold(path, isDirectory));
  }

  /** Which monitors run and why: the root's, then those of file systems below it that need another one. */
  get reasons(): readonly string[] {
    return this.#reasons;
  }

  get monitor(): 'fanotify' | 'inotify' {
    return this.#source?.monitor ?? 'inotify';
  }

  /** To poll for reading. */
  get fds(): readonly number[] {
    return [...(this.#source?.fds ?? []), ...(this.#route?.fds ?? [])];
  }

  /** Nothing that was read is still to be told: no half of a move, no name in doubt. */
  get isQuiet(): boolean {
    return this.#doubts.size === 0 && this.#source?.pendingUntil === undefined;
  }

  /** When `turn` should be called though nothing is readable, in ms of `performance.now()`. */
  get deadline(): number | undefined {
    let at = this.#settling.deadline ?? Infinity;
    for (const source of [this.#source, this.#route]) {
      at = Math.min(at, source?.pendingUntil ?? Infinity);
    }
    for (const { due } of this.#doubts.values()) at = Math.min(at, due);
    if (this.shadow.hasOpened) at = Math.min(at, this.#lastTurn + packAfterMs);
    return at === Infinity ? undefined : at;
  }

  /** Places the mark, then lists the tree. Throws a FamError when the root is not there or cannot be watched. */
  start(): void {
    const fd = openat(AT_FDCWD, this.path, O_PATH | O_DIRECTORY);
    if (fd < 0) throw unwatchable(this.path, fd);
    this.#attach(fd);
    this.#isFirstScan = true;
    this.#scan(this.shadow.root, { told: false, complete: true, pid: 0 });
    this.#isFirstScan = false;
    this.#doubtReplaced();
    if (this.#options.followSymlinks) this.#followRoot();
    this.#settleDown();
  }

  /**
   * The first listing opens directories by name without checking that they are still those that were listed (it would take
   * a fifth longer). Where that may have gone wrong, the kernel has told so meanwhile: those are compared once more.
   */
  #doubtReplaced(): void {
    this.#readSource(this.#backlog);
    for (const event of this.#backlog) {
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
    if (child.parent !== undefined) this.#doubt(child.parent, name, 0, 0);
  }

  /** Frees everything; idempotent. */
  close(): void {
    this.#source?.close();
    this.#route?.close();
    this.#source = undefined;
    this.#route = undefined;
    this.#fds.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Reads what the kernel has, and does what is due. True when more may wait: call it again, after what is urgent. */
  turn(now = performance.now()): boolean {
    this.shadow.recycleTags();
    if (this.#lastTurn + packAfterMs <= now && this.#lastTurn > 0) this.shadow.pack();
    const events = this.#backlog;
    this.#backlog = [];
    this.#readSource(events);
    for (const event of events) this.#handle(event);
    if (this.#hasOverflowed) {
      // Once for all that has been read: whatever was lost had happened before.
      this.#hasOverflowed = false;
      this.#rescan(this.shadow.root, 'overflow', this.#drainedAt - changeTimeSlackMs);
    }
    if (this.#route !== undefined) this.#readRoute(this.#route);
    for (const { directory, name, pid } of this.#settling.due(now)) this.#tellChanged(directory, name, pid);
    if (events.length > 0) {
      this.#lastTurn = now;
      return true;
    }
    this.#drainedAt = Date.now();
    this.shadow.index();
    this.#verify(now);
    this.#fds.release();
    return this.#backlog.length > 0;
  }

  /** Appends what the kernel has to tell of the tree; what it says of file systems is passed on at once. */
  #readSource(out: KernelEvent[]): void {
    for (const event of this.#source?.read() ?? []) {
      if (event.type === 'unreported') {
        const path = this.#absolute(event.path);
        if (event.path === '' || this.filter.recursive)
          this.#options.onNotice('unreported', path, unreportedAdvice(path, event.fileSystem));
      } else if (event.type === 'other-monitor') {
        const path = this.#absolute(event.path);
        const reason = `${displayBytes(path)}: ${event.reason}`;
        this.#reasons.push(reason);
        this.#options.onNotice('otherMonitor', path, reason);
      } else out.push(event);
    }
  }

  /** The thread has slept until now: nothing had happened before. */
  woke(): void {
    this.#drainedAt = Date.now();
  }

  // --- the root ---

  /** Opens the events of the directory that `fd` (consumed) refers to, as the root. */
  #attach(fd: number): void {
    try {
      const opened = this.#options.open(fd);
      this.#source = opened.source;
      this.#reasons = [opened.reason];
      check(fstat(fd, this.#stat), 'stat', this.path);
      this.shadow.identify(this.shadow.root, identityOf(this.#stat.inoHigh, this.#stat.inoLow));
      this.#rootDevType = describeFileSystem(fd).type;
      // The way to it as it is now: a symlink on it that is swapped does not silently lead elsewhere.
      this.#fds.release();
      this.#fds = new DirectoryFds(pathOf(fd), this.shadow.root);
      this.shadow.isRootPresent = true;
    } finally {
      close(fd);
    }
  }

  #detach(): void {
    this.#source?.close();
    this.#source = undefined;
    this.#backlog = [];
    this.#fds.release();
  }

  /** The root may be another directory by now, or none. */
  #lookAtRoot(): void {
    const root = this.shadow.root;
    const path = this.#options.followSymlinks || !this.shadow.isRootPresent ? this.path : this.#fds.rootPath;
    let fd = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY);
    if (fd < 0) {
      // RACE: it may come back between the look and the watch; so watch its way, then look again.
      this.#openRoute().follow(this.path, true);
      fd = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY);
    }
    if (fd < 0) {
      if (!this.shadow.isRootPresent) return;
      this.#detach();
      this.#tell({ type: 'deleted', path: '', kind: 'directory' });
      root.each((name, code) => this.#forget(root, name, code));
      this.shadow.isRootPresent = false;
      return;
    }
    check(fstat(fd, this.#stat), 'stat', this.path);
    const isSame = identityOf(this.#stat.inoHigh, this.#stat.inoLow) === root.identity;
    if (isSame && this.#source !== undefined && this.shadow.isRootPresent && !this.#isRootGone) {
      close(fd);
      return;
    }
    this.#isRootGone = false;
    const wasPresent = this.shadow.isRootPresent;
    this.#detach();
    this.#attach(fd);
    if (wasPresent) {
      this.#rescan(root, 'replaced', -Infinity);
    } else {
      this.#tell({ type: 'created', path: '', kind: 'directory' });
      this.#scan(root, { told: true, complete: true, pid: 0 });
    }
    this.#route?.unfollow(this.path);
    if (this.#options.followSymlinks) this.#followRoot();
  }
  #isRootGone = false;

  // --- events ---

  #handle(event: KernelEvent): void {
    switch (event.type) {
      case 'name': {
        const directory = this.shadow.get(event.directory);
        if (directory === undefined) return;
        if (event.name === '') this.#selfEvent(directory, event.hints, event.pid);
        else this.#look(directory, event.name, event.hints, event.pid);
        return;
      }
      case 'rename': {
        const from = this.shadow.get(event.fromDirectory);
        const to = this.shadow.get(event.toDirectory);
        const directory = event.isDirectory ? Hint.directory : 0;
        if (from !== undefined && to !== undefined) {
          this.#rename(from, event.fromName, to, event.toName, event.isDirectory, event.pid);
        } else if (from !== undefined) {
          this.#look(from, event.fromName, Hint.vanished | Hint.moved | directory, event.pid);
        } else if (to !== undefined) {
          this.#look(to, event.toName, Hint.appeared | Hint.moved | directory, event.pid);
        }
        return;
      }
      case 'overflow':
        this.#hasOverflowed = true;
        return;
      case 'mounted':
      case 'unmounted':
        this.#mountChanged(event.path, event.type);
        return;
      case 'root-gone':
        this.#isRootGone = true;
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
      if (this.isTold('', true)) this.#tell({ type: 'attributes', path: '', kind: 'directory' }, pid);
    } else if (this.monitor === 'fanotify' && this.filter.of(parent, name, true) === Interest.told) {
      this.#tell({ type: 'attributes', path: directory.path, kind: 'directory' }, pid);
    }
  }

  /**
   * Looks at a name and tells what is new about it. Hints say what may have happened; what counts is what is there.
   * @param isCertain the queue was empty after the hint: nothing that is still to come explains a missing name
   */
  #look(directory: Directory, name: Name, hints: number, pid: number, isCertain = false): boolean {
    const code = directory.get(name);
    if (code === undefined && (hints & (Hint.appeared | Hint.vanished | Hint.moved)) === 0 && !isCertain) {
      if (this.filter.of(directory, name, (hints & Hint.directory) !== 0) === Interest.none) return true;
    }
    const fd = this.#fds.open(directory);
    if (fd < 0) {
      // It was moved or deleted, which is told by an event that is still to come.
      this.#doubt(directory, name, hints, pid);
      return false;
    }
    const stat = this.#stat;
    const result = statx(fd, name, stat);
    if (result < 0) {
      if (code === undefined) return true;
      if (!goneErrnos.has(result))
        this.#options.onProblem(this.#absolute(directory.pathOf(name)), errnoName(result));
      else if (isCertain || (hints & Hint.vanished) !== 0) this.#gone(directory, name, code, pid);
      else {
        if ((hints & Hint.closedWrite) !== 0)
          this.#settling.closedElsewhere(directory, name, pid, performance.now());
        this.#doubt(directory, name, hints, pid);
      }
      return true;
    }
    const kind = kindOfType(stat.type);
    const identity = identityOf(stat.inoHigh, stat.inoLow);
    if (code !== undefined && plainKind(code) !== kind) {
      this.#gone(directory, name, code, pid);
      this.#appear(directory, name, kind, identity, hints, pid);
    } else if (code === undefined) {
      this.#appear(directory, name, kind, identity, hints, pid);
    } else if (kind === EntryKind.closed) {
      this.#lookAtDirectory(directory, name, code, identity, stat.isMountRoot, hints);
      this.#tellAttributes(directory, name, kind, hints, pid);
    } else {
      const isOther = entryValue(code) !== identity;
      if (isOther) this.shadow.set(directory, name, entryCode(kind, identity));
      const isComplete = (hints & (isOther ? Hint.closedWrite | Hint.moved : Hint.closedWrite)) !== 0;
      if (kind === EntryKind.file) {
        if (isOther && isCertain) this.#content(directory, name, true, pid);
        else if (isOther || (hints & (Hint.vanished | Hint.modified | Hint.closedWrite)) !== 0) {
          this.#content(directory, name, isComplete, pid);
        }
      } else if (isOther || (hints & Hint.vanished) !== 0) {
        this.#tellChanged(directory, name, pid);
        if (kind === EntryKind.symlink) this.#follow(directory, name);
      }
      this.#tellAttributes(directory, name, kind, hints, pid);
    }
    return true;
  }

  /** A directory is where one was: it may be another one. */
  #lookAtDirectory(
    parent: Directory,
    name: Name,
    code: EntryCode,
    identity: number,
    isMountRoot: boolean,
    hints: number,
  ): void {
    const child = this.shadow.entered(code);
    if (child === undefined) {
      if (entryValue(code) !== identity) this.shadow.set(parent, name, entryCode(EntryKind.closed, identity));
      return;
    }
    const isOther = child.identity !== identity && !isMountRoot;
    if (!isOther && child.isListed && (hints & Hint.vanished) === 0) return;
    this.#reidentify(parent, name, code, child, isOther ? identity : child.identity);
  }

  /** The directory at a name is another one, or may be: an inode number that was given out again looks the same. */
  #reidentify(parent: Directory, name: Name, code: EntryCode, child: Directory, identity: number): void {
    if (child.identity !== identity && this.shadow.identified(identity) !== undefined) {
      // One that is known from elsewhere has come here.
      this.#gone(parent, name, code, 0);
      if (parent.isLive) this.#appear(parent, name, EntryKind.closed, identity, Hint.moved, 0);
      return;
    }
    this.#fds.forget(child);
    this.shadow.identify(child, identity);
    this.#reconcile(child, -Infinity);
  }

  #appear(
    directory: Directory,
    name: Name,
    kind: EntryKind,
    identity: number,
    hints: number,
    pid: number,
  ): void {
    const isDirectory = kind === EntryKind.closed;
    const interest = this.filter.of(directory, name, isDirectory);
    if (interest === Interest.none) return;
    if (isDirectory && this.filter.recursive && this.#arrived(directory, name, identity, pid)) return;
    const isTold = interest === Interest.told;
    const complete = (hints & (Hint.moved | Hint.closedWrite)) !== 0;
    if (isTold) this.#tell({ type: 'created', path: directory.pathOf(name), kind: kindName(kind) }, pid);
    if (isDirectory && this.filter.recursive) {
      const child = this.shadow.enter(directory, name, identity);
      this.shadow.set(directory, name, entryCode(EntryKind.entered, child.tag));
      this.#scan(child, { told: true, complete: (hints & Hint.moved) !== 0, pid });
      return;
    }
    this.shadow.set(directory, name, entryCode(kind, identity));
    if (kind === EntryKind.file) this.#content(directory, name, complete, pid);
    else if (kind === EntryKind.symlink) this.#follow(directory, name);
  }

  /** A directory that was found where none was known may be one that is known from elsewhere: then it has moved here. */
  #arrived(parent: Directory, name: Name, identity: number, pid: number): boolean {
    const known = this.shadow.identified(identity);
    const { parent: formerParent, name: formerName } = known ?? {};
    if (known === undefined || formerParent === undefined || formerName === undefined || formerName === '')
      return false;
    const code = formerParent.get(formerName);
    if (code === undefined) return false;
    const fd = this.#fds.open(formerParent);
    if (fd >= 0 && statx(fd, formerName, this.#stat) === 0) {
      // Still there: two inodes whose numbers fold to the same.
      if (identityOf(this.#stat.inoHigh, this.#stat.inoLow) === identity) return false;
    }
    const isPlain =
      !parent.isWithin(known) &&
      !this.filter.dependsOnPath &&
      this.filter.of(formerParent, formerName, true) === this.filter.of(parent, name, true);
    if (!isPlain) {
      this.#gone(formerParent, formerName, code, pid);
      return !parent.isLive;
    }
    this.#moveEntry(formerParent, formerName, code, parent, name, false, pid);
    // Its number may have been given out again: what it holds is compared.
    this.#fds.forget(known);
    this.#reconcile(known, this.#drainedAt - changeTimeSlackMs);
    return true;
  }

  /** A name is no more. */
  #gone(directory: Directory, name: Name, code: EntryCode, pid: number): void {
    const isDirectory = isDirectoryCode(code);
    const interest = this.filter.of(directory, name, isDirectory);
    if (interest === Interest.told) {
      this.#tell({ type: 'deleted', path: directory.pathOf(name), kind: kindName(kindOf(code)) }, pid);
    } else if (interest === Interest.through) {
      this.#eachTold(code, (path, kind) => this.#tell({ type: 'deleted', path, kind: kindName(kind) }, pid));
    }
    this.#forget(directory, name, code);
  }

  #forget(directory: Directory, name: Name, code: EntryCode): void {
    const child = this.shadow.entered(code);
    this.shadow.delete(directory, name);
    this.#settling.forget(directory, name);
    if (kindOf(code) === EntryKind.symlink) this.#unfollow(directory, name);
    if (child === undefined) return;
    this.shadow.drop(child, (dropped) => {
      this.#fds.forget(dropped);
      this.#source?.remove(dropped.tag);
    });
    for (const [path, link] of this.#links) {
      if (link.directory.isLive) continue;
      this.#links.delete(path);
      this.#route?.unfollow(path);
    }
  }

  /** Every name below a directory's entry that the request is about. */
  #eachTold(code: EntryCode, each: (path: ByteString, kind: number) => void): void {
    const top = this.shadow.entered(code);
    if (top === undefined) return;
    for (const directory of this.shadow.below(top)) {
      directory.each((name, inner) => {
        if (this.filter.of(directory, name, isDirectoryCode(inner)) === Interest.told) {
          each(directory.pathOf(name), kindOf(inner));
        }
      });
    }
  }

  /**
   * A rename inside the tree. It is believed at once, and both names are looked at when the queue is empty: renames that
   * are repeated (or exchange two names) merge in the kernel, and their order is lost.
   */
  #rename(
    from: Directory,
    fromName: Name,
    to: Directory,
    toName: Name,
    isDirectory: boolean,
    pid: number,
  ): void {
    const moved = Hint.moved | (isDirectory ? Hint.directory : 0);
    const code = from.get(fromName);
    if (code === undefined || isDirectoryCode(code) !== isDirectory) {
      this.#look(from, fromName, Hint.vanished | moved, pid);
      this.#look(to, toName, Hint.appeared | moved, pid);
      return;
    }
    const child = this.shadow.entered(code);
    const interest = this.filter.of(to, toName, isDirectory);
    const isPlain =
      interest === this.filter.of(from, fromName, isDirectory) &&
      !(child !== undefined && (to.isWithin(child) || this.filter.dependsOnPath));
    if (!isPlain) {
      if (from.isLive) this.#gone(from, fromName, code, pid);
      if (to.isLive) this.#look(to, toName, Hint.appeared | moved, pid);
      this.#doubt(from, fromName, 0, pid);
      return;
    }
    const replaced = to.get(toName);
    if (replaced !== undefined) this.#forget(to, toName, replaced);
    if (from.isLive && to.isLive) {
      this.#moveEntry(from, fromName, code, to, toName, replaced !== undefined, pid);
    }
    this.#doubt(from, fromName, 0, pid);
    this.#doubt(to, toName, 0, pid);
  }

  /** Records a move between two names of the same interest, and tells it. The new name is free. */
  #moveEntry(
    from: Directory,
    fromName: Name,
    code: EntryCode,
    to: Directory,
    toName: Name,
    replaced: boolean,
    pid: number,
  ): void {
    const child = this.shadow.entered(code);
    const interest = this.filter.of(to, toName, isDirectoryCode(code));
    const fromPath = from.pathOf(fromName);
    const fromPaths: ByteString[] = [];
    if (interest === Interest.through) this.#eachTold(code, (path) => fromPaths.push(path));
    if (kindOf(code) === EntryKind.symlink) this.#unfollow(from, fromName);
    if (child !== undefined) this.shadow.move(child, to, toName);
    else {
      this.shadow.delete(from, fromName);
      this.shadow.set(to, toName, code);
    }
    const isComplete = this.#settling.rename(from, fromName, to, toName);
    const kind = kindName(kindOf(code));
    if (interest === Interest.told) {
      this.#tell({ type: 'moved', path: to.pathOf(toName), kind, from: fromPath, replaced }, pid);
    } else {
      let next = 0;
      this.#eachTold(code, (path, innerKind) => {
        const was = fromPaths[next++];
        if (was !== undefined) this.#tell({ type: 'moved', path, kind: kindName(innerKind), from: was }, pid);
      });
    }
    if (isComplete) this.#tellChanged(to, toName, pid);
    if (kindOf(code) === EntryKind.symlink) this.#follow(to, toName);
  }

  // --- content and attributes ---

  #content(directory: Directory, name: Name, isComplete: boolean, pid: number): void {
    if (isComplete) this.#tellChanged(directory, name, pid);
    else this.#settling.touch(directory, name, pid, performance.now());
  }

  #tellChanged(directory: Directory, name: Name, pid: number): void {
    this.#settling.forget(directory, name);
    const code = directory.get(name);
    if (code === undefined || this.filter.of(directory, name, false) !== Interest.told) return;
    this.#tell({ type: 'changed', path: directory.pathOf(name), kind: kindName(kindOf(code)) }, pid);
  }

  #tellAttributes(directory: Directory, name: Name, kind: EntryKind, hints: number, pid: number): void {
    if ((hints & Hint.attributes) === 0) return;
    if (this.filter.of(directory, name, kind === EntryKind.closed) !== Interest.told) return;
    this.#tell({ type: 'attributes', path: directory.pathOf(name), kind: kindName(kind) }, pid);
  }

  /** Whether the request is about a path (relative to the root) that is there. */
  isTold(path: ByteString, isDirectory: boolean): boolean {
    if (path === '') return !this.filter.hasNames;
    const slash = path.lastIndexOf('/');
    const parent =
      slash < 0 ? this.shadow.root : this.shadow.entered(this.shadow.lookup(path.slice(0, slash)));
    // A name that a lookup has found is a name.
    return (
      parent !== undefined &&
      this.filter.of(parent, path.slice(slash + 1) as Name, isDirectory) === Interest.told
    );
  }

  /** A real path (as the kernel shows it) relative to the root, or undefined when it is not below it. */
  relative(realPath: ByteString): ByteString | undefined {
    const root = this.#fds.rootPath;
    const prefix = root === '/' ? '/' : `${root}/`;
    return realPath.startsWith(prefix) ? realPath.slice(prefix.length) : undefined;
  }

  #tell(event: TreeEvent, pid = 0): void {
    if (pid === 0) this.outbox.add(event);
    else {
      const command = commandOf(pid);
      this.outbox.add(command === undefined ? { ...event, pid } : { ...event, pid, command });
    }
  }

  #absolute(path: ByteString): ByteString {
    return path === '' ? this.path : this.path === '/' ? `/${path}` : `${this.path}/${path}`;
  }

  // --- names to look at again ---

  #doubt(directory: Directory, name: Name, hints: number, pid: number): void {
    const key = `${directory.tag}/${name}`;
    const known = this.#doubts.get(key);
    if (known !== undefined && known.directory === directory) known.hints |= hints;
    else {
      const due = performance.now() + verifyDelayMs;
      this.#doubts.set(key, { directory, name, hints, pid, due, tries: 0 });
    }
  }

  #verify(now: number): void {
    if (this.#doubts.size === 0) return;
    for (const [key, doubt] of [...this.#doubts]) {
      if (doubt.due > now) continue;
      this.#doubts.delete(key);
      const { directory, name, hints, pid } = doubt;
      if (!directory.isLive) continue;
      if (this.#look(directory, name, hints, pid, true)) continue;
      this.#doubts.delete(key);
      if (!directory.isLive || doubt.tries >= maxTries) continue;
      // Its directory is not where it was, and no event has said so yet: look at that one, and at the name again after it.
      const { parent, name: directoryName } = directory;
      if (parent !== undefined && directoryName !== '') this.#doubt(parent, directoryName, 0, 0);
      const due = now + verifyDelayMs * 2 ** doubt.tries;
      this.#doubts.set(key, { directory, name, hints, pid, due, tries: doubt.tries + 1 });
    }
  }

  // --- listing ---

  /** Watches a directory, then lists it, and so on below it. What is in the shadow below it is replaced. */
  #scan(
    top: Directory,
    how: { readonly told: boolean; readonly complete: boolean; readonly pid: number },
  ): void {
    const waiting = [top];
    let count = 0;
    for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
      if (++count % directoriesPerDrain === 0) this.#drain();
      const fd = this.#watch(directory);
      if (fd === undefined) continue;
      const here = directory;
      const entries: string[] = [];
      const arrivals: [Name, number][] = [];
      const firstChild = waiting.length;
      const result = readDirectory(fd, (name, type, inoHigh, inoLow) => {
        const listed = this.#listed(fd, name, type, inoHigh, inoLow);
        if (listed === undefined) return;
        const isDirectory = kindOf(listed) === EntryKind.closed;
        const interest = this.filter.of(here, name, isDirectory);
        if (interest === Interest.none) return;
        let code = listed;
        if (isDirectory && this.filter.recursive) {
          if (!this.#isFirstScan && this.shadow.identified(entryValue(listed)) !== undefined) {
            arrivals.push([name, entryValue(listed)]);
            return;
          }
          const child = this.shadow.enter(here, name, entryValue(listed));
          waiting.push(child);
          code = entryCode(EntryKind.entered, child.tag);
        }
        entries.push(packEntry(name, code));
        if (how.told && interest === Interest.told) {
          this.#tell({ type: 'created', path: here.pathOf(name), kind: kindName(kindOf(code)) }, how.pid);
          if (kindOf(code) === EntryKind.file && how.complete) {
            this.#tell({ type: 'changed', path: here.pathOf(name), kind: 'file' }, how.pid);
          }
        }
        if (how.told && !how.complete && kindOf(code) === EntryKind.file) {
          this.#settling.touch(here, name, how.pid, performance.now());
        }
        if (this.#options.followSymlinks && kindOf(code) === EntryKind.symlink)
          this.#toFollow.push([here, name]);
      });
      directory.load(entries.join(''));
      directory.isListed = true;
      for (const [name, identity] of arrivals) {
        if (directory.isLive && directory.get(name) === undefined) {
          this.#appear(directory, name, EntryKind.closed, identity, how.complete ? Hint.moved : 0, how.pid);
        }
      }
      if (result < 0) this.#options.onProblem(this.#absolute(directory.path), errnoName(result));
      // Those below are opened from this descriptor soon; a leaf's is not needed again.
      const isLeaf = waiting.length === firstChild;
      if (!this.#isFirstScan) {
        if (isLeaf) this.#fds.forget(directory);
      } else if (isLeaf) close(fd);
      else this.#fds.keep(directory, fd);
    }
    for (const [directory, name] of this.#toFollow.splice(0)) this.#follow(directory, name);
  }
  readonly #toFollow: [Directory, Name][] = [];

  /** Starts the events of a directory; its descriptor, or undefined when it is not there or not ours to see. */
  #watch(directory: Directory): number | undefined {
    const fd = this.#isFirstScan ? this.#fds.openOnce(directory) : this.#fds.open(directory);
    if (fd < 0) {
      const { parent, name } = directory;
      if (parent === undefined || name === '') this.#isRootGone = true;
      else if (goneErrnos.has(fd)) this.#doubt(parent, name, 0, 0);
      if (!goneErrnos.has(fd)) this.#refuse(directory, fd);
      return undefined;
    }
    try {
      this.#source?.add(fd, directory.tag);
    } catch (error) {
      if (this.#isFirstScan) close(fd);
      if (!(error instanceof SysError)) throw error;
      if (isWatchLimit(error)) throw this.#watchLimit(error);
      this.#refuse(directory, -error.errno);
      return undefined;
    }
    return fd;
  }

  #watchLimit(cause: SysError): FamError {
    const root = this.#fds.open(this.shadow.root);
    const needed = root < 0 ? this.shadow.size : countDirectories(root);
    return new FamError('MONITOR_UNAVAILABLE', watchLimitAdvice(needed), { cause });
  }

  /** A directory that cannot be listed is an entry like a file. */
  #refuse(directory: Directory, result: number): void {
    if (-result === EMFILE) throw new SysError(result, 'open', this.#absolute(directory.path));
    this.#options.onProblem(this.#absolute(directory.path), errnoName(result));
    const { parent, name } = directory;
    if (parent === undefined || name === '' || -result !== EACCES) return;
    this.#forget(parent, name, entryCode(EntryKind.entered, directory.tag));
    this.shadow.set(parent, name, entryCode(EntryKind.closed, directory.identity));
  }

  /** The code of a listed entry (a directory as `closed`); undefined when it has gone since. */
  #listed(fd: number, name: Name, type: number, inoHigh: number, inoLow: number): EntryCode | undefined {
    const kind = kindOfListed(type);
    const isExact =
      exactListings.has(this.#rootDevType) ||
      (kind !== EntryKind.closed && exactFileListings.has(this.#rootDevType));
    if (kind !== undefined && isExact) return entryCode(kind, identityOf(inoHigh, inoLow));
    if (statx(fd, name, this.#stat) < 0) return undefined;
    return entryCode(kindOfType(this.#stat.type), identityOf(this.#stat.inoHigh, this.#stat.inoLow));
  }

  /** Takes the kernel's events out of its queue, for later. */
  #drain(): void {
    this.#readSource(this.#backlog);
  }

  // --- comparing ---

  #rescan(directory: Directory, why: RescanReason, since: number): void {
    this.#tell({ type: 'rescan', path: directory.path, kind: 'directory', why });
    this.#reconcile(directory, since);
  }

  #mountChanged(path: ByteString, why: 'mounted' | 'unmounted'): void {
    const directory = this.shadow.entered(this.shadow.lookup(path));
    if (directory === undefined || directory.parent === undefined || directory.name === '') return;
    const fd = this.#fds.open(directory.parent);
    if (fd < 0 || statx(fd, directory.name, this.#stat) < 0) return;
    this.#fds.forget(directory);
    this.shadow.identify(directory, identityOf(this.#stat.inoHigh, this.#stat.inoLow));
    this.#rescan(directory, why, -Infinity);
  }

  /**
   * Compares a directory and all below it with the shadow, and tells the differences.
   * @param since files whose inode changed after this moment (ms since 1970) are told as changed; -Infinity: all of them
   */
  #reconcile(top: Directory, since: number): void {
    const waiting = [top];
    let count = 0;
    for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
      if (!directory.isLive) continue;
      if (++count % directoriesPerDrain === 0) this.#drain();
      const fd = this.#watch(directory);
      if (fd === undefined) continue;
      // It may have been listed before.
      lseek(fd, 0, SEEK_SET);
      const present = new Map<Name, EntryCode>();
      const result = readDirectory(fd, (name, type, inoHigh, inoLow) => {
        const listed = this.#listed(fd, name, type, inoHigh, inoLow);
        if (listed !== undefined) present.set(name, listed);
      });
      if (result < 0) {
        this.#options.onProblem(this.#absolute(directory.path), errnoName(result));
        continue;
      }
      const here = directory;
      here.isListed = true;
      here.each((name, code) => {
        if (!present.has(name)) this.#gone(here, name, code, 0);
      });
      for (const [name, listed] of present) {
        if (here.isLive) this.#compare(here, name, listed, since, waiting);
      }
    }
  }

  #compare(directory: Directory, name: Name, listed: EntryCode, since: number, waiting: Directory[]): void {
    const kind = kindOf(listed) as EntryKind;
    const identity = entryValue(listed);
    const code = directory.get(name);
    if (code === undefined || plainKind(code) !== kind) {
      if (code !== undefined) this.#gone(directory, name, code, 0);
      this.#appear(directory, name, kind, identity, Hint.moved, 0);
      return;
    }
    const child = this.shadow.entered(code);
    const isOther = (child === undefined ? entryValue(code) : child.identity) !== identity;
    const fd = this.#fds.open(directory);
    if (fd < 0 || statx(fd, name, this.#stat) < 0) {
      this.#doubt(directory, name, 0, 0);
      return;
    }
    const changedAt = this.#stat.ctimeS * 1000 + this.#stat.ctimeNs / 1e6;
    const isTouched = isOther || changedAt >= since;
    if (child !== undefined) {
      if (isOther && !this.#stat.isMountRoot) {
        this.#reidentify(directory, name, code, child, identityOf(this.#stat.inoHigh, this.#stat.inoLow));
        return;
      }
      waiting.push(child);
    } else if (isOther) this.shadow.set(directory, name, entryCode(kind, identity));
    if (!isTouched) return;
    if (kind !== EntryKind.closed) this.#tellChanged(directory, name, 0);
    this.#tellAttributes(directory, name, kind, Hint.attributes, 0);
    if (kind === EntryKind.symlink) this.#follow(directory, name);
  }

  // --- symlinks ---

  #openRoute(): Route {
    this.#route ??= new Route();
    return this.#route;
  }

  #followRoot(): void {
    this.#openRoute().follow(this.path, false);
    // RACE: it may have been swapped before its way was watched.
    this.#settleDown();
  }

  /** Keeps an eye on what a link leads to; a link that is followed already is looked at. */
  #follow(directory: Directory, name: Name): void {
    if (!this.#options.followSymlinks) return;
    if (this.filter.of(directory, name, false) !== Interest.told) return;
    const path = this.#absolute(directory.pathOf(name));
    this.#openRoute().follow(path, false);
    this.#links.set(path, { directory, name, state: this.#stateOf(path) });
  }

  #unfollow(directory: Directory, name: Name): void {
    const path = this.#absolute(directory.pathOf(name));
    if (this.#links.delete(path)) this.#route?.unfollow(path);
  }

  /** What a path leads to at this moment, to be compared with later. */
  #stateOf(path: ByteString): string {
    const stat = this.#stat;
    if (statx(AT_FDCWD, path, stat, AT_NO_AUTOMOUNT) < 0) return '';
    const { dev, inoHigh, inoLow, size, mtimeS, mtimeNs, ctimeS, ctimeNs } = stat;
    return [dev, inoHigh, inoLow, size, mtimeS, mtimeNs, ctimeS, ctimeNs].join(' ');
  }

  #readRoute(route: Route): void {
    for (const path of route.read()) {
      const link = this.#links.get(path);
      if (link === undefined) {
        this.#lookAtRoot();
        continue;
      }
      route.follow(path, false);
      const state = this.#stateOf(path);
      if (state === link.state) continue;
      link.state = state;
      this.#tellChanged(link.directory, link.name, 0);
    }
  }

  /** What was noticed while the tree was listed. */
  #settleDown(): void {
    if (this.#isRootGone) this.#lookAtRoot();
    this.#fds.release();
    this.#lastTurn = performance.now();
  }
}

/** A directory's kind is `closed`, whether it is watched or not. */
function plainKind(code: EntryCode): number {
  const kind = kindOf(code);
  return kind === EntryKind.entered ? EntryKind.closed : kind;
}
