// A tree's root as it is at this moment: the kernel's events of it, and the descriptors of its directories. A directory that has
// taken the root's place is another root, and both begin anew.

import { type ByteString, displayBytes } from '../core/name.ts';
import { below, under } from '../core/under.ts';
import { close } from '../kernel/entry-calls.ts';
import type { DirectoryTag, EventSource, KernelEvent } from '../kernel/event-source.ts';
import { pathOf, readMounts } from '../kernel/mounts.ts';
import type { OpenedEventSource } from '../kernel/open-event-source.ts';
import { fstat, leadsTo, Stat } from '../kernel/stat.ts';
import { check } from '../kernel/sys-error.ts';
import { unreportedAdvice } from '../kernel/unreported.ts';
import { DirectoryFds } from './directory-fds.ts';
import { identityOf } from './entry-code.ts';
import type { NoticeCode } from './event.ts';
import { type FdList, noFds } from './fd-list.ts';
import type { Shadow } from './shadow.ts';
import { type Trust, TrustedListings } from './trusted-listings.ts';

/** Inode change times are at most this much behind the clock (HZ=100 ticks; 1 s resolution on old file systems). */
const changeTimeSlackMs = 2000;

export interface WatchedRootOptions {
  /** Absolute. */
  readonly path: ByteString;
  readonly shadow: Shadow;
  readonly isRecursive: boolean;
  /** Opens the kernel's events for a root (O_PATH). */
  readonly open: (rootFd: number) => OpenedEventSource;
  readonly onNotice: (code: NoticeCode, path: ByteString, message: string) => void;
  /** In ms since 1970: the queue was empty at this moment as well. */
  readonly sleptUntil: () => number;
}

/** `detach` frees everything; it is idempotent. */
export class WatchedRoot {
  /** It has left its place, as far as we know. It is looked for when there is time. */
  isGone = false;
  readonly #options: WatchedRootOptions;
  readonly #stat = new Stat();
  /** The directory that is attached, exactly: roots of file systems have the same inode number. */
  readonly #attached = new Stat();
  #source: EventSource | undefined;
  #reasons: string[] = [];
  #fds: DirectoryFds;
  #listings: TrustedListings | undefined;
  #backlog: KernelEvent[] = [];
  #drainedAt = Date.now();

  constructor(options: WatchedRootOptions) {
    this.#options = options;
    this.#fds = new DirectoryFds(options.path, options.shadow.root);
  }

  get fds(): DirectoryFds {
    return this.#fds;
  }

  /** What can be taken from the listing of a directory (by its descriptor). */
  trustOf(fd: number): Trust {
    return this.#listings?.of(fd) ?? 'nothing';
  }

  get monitor(): 'fanotify' | 'inotify' {
    return this.#source?.monitor ?? 'inotify';
  }

  /** Which monitors run and why: the root's, then those of file systems below it that need another one. */
  get reasons(): readonly string[] {
    return this.#reasons;
  }

  // --- which directory ---

  /** Opens the events of the directory that `fd` (consumed) refers to, as the root. */
  attach(fd: number): void {
    const { path, shadow } = this.#options;
    this.isGone = false;
    try {
      const opened = this.#options.open(fd);
      this.#source = opened.source;
      this.#reasons = [opened.reason];
      check(fstat(fd, this.#attached), 'stat', path);
      shadow.identify(shadow.root, identityOf(this.#attached.inoHigh, this.#attached.inoLow));
      this.#listings = new TrustedListings(fd, hasMountsBelow(pathOf(fd)));
      // The way to it as it is now: a symlink on it that is swapped does not silently lead elsewhere.
      this.#fds.release();
      this.#fds = new DirectoryFds(pathOf(fd), shadow.root);
      shadow.isRootPresent = true;
    } finally {
      close(fd);
    }
  }

  /** Whether `path` leads to what is attached, and so does the path without symlinks that is used from now on. */
  isAt(path: ByteString): boolean {
    return leadsTo(path, this.#attached) && leadsTo(this.#fds.rootPath, this.#attached);
  }

  detach(): void {
    this.#source?.close();
    this.#source = undefined;
    this.#backlog = [];
    this.#fds.release();
  }

  /** Whether this is the directory that is attached, and has been there all the time. */
  isAttachedTo(fd: number): boolean {
    const { path, shadow } = this.#options;
    check(fstat(fd, this.#stat), 'stat', path);
    const isSame = this.#stat.isSameInode(this.#attached);
    return isSame && this.#source !== undefined && shadow.isRootPresent && !this.isGone;
  }

  // --- its events ---

  /** To poll for reading. */
  get eventFds(): FdList {
    return this.#source?.fds ?? noFds;
  }

  get pendingUntil(): number | undefined {
    return this.#source?.pendingUntil;
  }

  /** Starts the events of a directory. Throws a SysError. */
  add(fd: number, tag: DirectoryTag): void {
    this.#source?.add(fd, tag);
  }

  remove(tag: DirectoryTag): void {
    this.#source?.remove(tag);
  }

  /** Takes the kernel's events out of its queue, for later: all that wait for `take`, so far. */
  drain(): readonly KernelEvent[] {
    this.#read(this.#backlog);
    return this.#backlog;
  }

  get hasDrained(): boolean {
    return this.#backlog.length > 0;
  }

  /** What was drained, then what the kernel has by now. */
  take(): KernelEvent[] {
    const events = this.#backlog;
    this.#backlog = [];
    this.#read(events);
    return events;
  }

  /** The queue is empty: whatever had happened by now has been read. */
  noteDrained(): void {
    this.#drainedAt = Date.now();
  }

  /** Changes of which no event was read are later than this by their inode's change time, in ms since 1970. */
  get seenUntil(): number {
    return Math.max(this.#drainedAt, this.#options.sleptUntil()) - changeTimeSlackMs;
  }

  /** Appends what the kernel has to tell of the tree; what it says of file systems is passed on at once. */
  #read(out: KernelEvent[]): void {
    for (const event of this.#source?.read() ?? []) {
      if (event.type === 'unreported') {
        const path = under(this.#options.path, event.path);
        if (event.path === '' || this.#options.isRecursive)
          this.#options.onNotice('unreported', path, unreportedAdvice(path, event.fileSystem));
      } else if (event.type === 'other-monitor') {
        const path = under(this.#options.path, event.path);
        const reason = `${displayBytes(path)}: ${event.reason}`;
        this.#reasons.push(reason);
        this.#options.onNotice('otherMonitor', path, reason);
      } else {
        if (event.type === 'mounted' || event.type === 'unmounted') this.#listings?.mountsChanged();
        out.push(event);
      }
    }
  }
}

function hasMountsBelow(root: ByteString): boolean {
  return readMounts().some(({ point }) => below(root, point) !== undefined);
}
