// Listing directories: the first scan, the comparison after a time when nobody watched, the rescan after an overflow,
// and new directories are all the same: list, look at each name, note which names have gone, go down.

import { type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { ENOENT, ENOSPC, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../kernel/constants.ts';
import type { EventSource } from '../kernel/event-source.ts';
import * as sys from '../kernel/sys.ts';
import type { Directories } from './directories.ts';
import type { TreeEditor } from './editor.ts';
import { IdSet } from './id-set.ts';
import type { Look } from './look.ts';
import { namesAtOnce } from './pace.ts';
import type { EntryRecord, InodeRecord } from './records.ts';
import type { TreeStore } from './store.ts';

export interface ScannerOptions {
  readonly store: TreeStore;
  readonly editor: TreeEditor;
  readonly directories: Directories;
  readonly look: Look;
  readonly source: Pick<EventSource, 'add'>;
  /** A name that the store has and the listing lacks. */
  readonly onGone: (directory: InodeId, name: Name) => void;
  /** inotify: no watch can be had for this directory, nor for others. */
  readonly onWatchLimit: () => void;
  /** The directory could not be reached: it has gone, or has to be listed later. */
  readonly onUnlisted: (directory: InodeId) => void;
}

/** A directory in the middle of its listing. */
interface Listing {
  readonly id: InodeId;
  /** In byte order. */
  readonly names: readonly Name[];
  next: number;
  /** Names up to here have been compared with the store's. */
  reached: Name | '';
  /** The store has no entries of it yet but those that this listing has made. */
  isBlank: boolean;
  /** Seq of what is found here, without journal; undefined: each its own. */
  readonly base: Seq | undefined;
  readonly children: InodeId[];
}

/** One thread's scanner, a stack of directories: depth first, in name byte order. Inside a store transaction. */
export class Scanner {
  readonly #store: TreeStore;
  readonly #editor: TreeEditor;
  readonly #directories: Directories;
  readonly #look: Look;
  readonly #source: Pick<EventSource, 'add'>;
  readonly #onGone: (directory: InodeId, name: Name) => void;
  readonly #onWatchLimit: () => void;
  readonly #onUnlisted: (directory: InodeId) => void;
  readonly #stack: InodeId[] = [];
  /** Those that wait for their first listing: the store has no entries of them, for no event tells of a directory that is not watched. */
  readonly #blank = new Set<InodeId>();
  #listing: Listing | undefined;
  /** The pass that compares whole subtrees: directories it has listed. undefined: only new directories are listed. */
  #pass: IdSet | undefined;
  #isWhole = false;
  /** The first scan's seq, while that runs. */
  #base: Seq | undefined;
  /** Totals since the pass began. */
  files = 0;
  directories = 0;

  constructor(options: ScannerOptions) {
    this.#store = options.store;
    this.#editor = options.editor;
    this.#directories = options.directories;
    this.#look = options.look;
    this.#source = options.source;
    this.#onGone = options.onGone;
    this.#onWatchLimit = options.onWatchLimit;
    this.#onUnlisted = options.onUnlisted;
  }

  get busy(): boolean {
    return this.#listing !== undefined || this.#stack.length > 0;
  }

  /** True until `endPass`: known directories are listed again too. */
  get inPass(): boolean {
    return this.#pass !== undefined;
  }

  /** ... and the pass is one of everything. */
  get inWholePass(): boolean {
    return this.inPass && this.#isWhole;
  }

  /** Compares everything below a directory with the records. A pass that runs already begins anew, with this one besides. */
  startPass(top: InodeId): void {
    this.#isWhole = top === rootId || this.inWholePass;
    this.#base = undefined;
    if (this.#pass === undefined) {
      this.#pass = new IdSet();
      this.files = 0;
      this.directories = 0;
      this.#look.sockets = 0;
    } else {
      this.#pass.clear();
      if (this.#listing !== undefined) {
        const { id } = this.#listing;
        this.#close(this.#listing);
        this.#stack.push(id);
      }
    }
    this.#stack.unshift(top);
  }

  /** The pass is a first scan: what was not put there by an event is recorded with this seq, without journal. */
  startFirstPass(top: InodeId, base: Seq): void {
    this.startPass(top);
    this.#base = base;
  }

  endPass(): void {
    this.#pass = undefined;
    this.#base = undefined;
  }

  /** A directory that was just found. `isNew`: the store has no entries of it. */
  push(id: InodeId, isNew: boolean): void {
    if (isNew) this.#blank.add(id);
    if (this.#listing !== undefined && this.#pass !== undefined) this.#listing.children.push(id);
    else this.#stack.push(id);
  }

  /** Works until `isOver` says so or all is listed. */
  step(isOver: () => boolean): void {
    if (this.#listing !== undefined && !this.#look.nothingMoved) this.#listing.isBlank = false;
    while (this.busy && !this.#editor.isFull) {
      if (this.#listing === undefined) this.#begin();
      else this.#slice(this.#listing);
      if (isOver()) return;
    }
  }

  #begin(): void {
    const id = this.#stack.pop();
    if (id === undefined) return;
    const isBlank = this.#blank.delete(id);
    const record = this.#editor.inode(id);
    // It has lost its name, and is listed when it is found under another one.
    if (record === undefined || record.links === 0) return;
    if (this.#pass?.add(id) === false) return;
    const readable = this.#directories.openToList(id);
    const dirfd = readable ?? this.#directories.open(id);
    if (dirfd < 0) {
      this.#pass?.delete(id);
      this.#onUnlisted(id);
      this.#look.atSelf(id, 0, dirfd);
      return;
    }
    // Opened by its handle: that is the one which has been noted.
    if (readable === undefined) this.#noteHandle(dirfd, id);
    this.#watch(dirfd, id);
    const names = readable === undefined ? this.#names(dirfd, id) : this.#read(readable, id);
    if (names === undefined) return;
    this.#look.atSelf(id, 0, dirfd);
    this.directories += 1;
    this.#listing = {
      id,
      names,
      next: 0,
      reached: '',
      isBlank,
      base: this.#baseOf(record),
      children: [],
    };
  }

  /** A directory that an event has put in its place may have been seen by a reader already: its content is news. */
  #baseOf(record: InodeRecord): Seq | undefined {
    if (this.#base === undefined || record.listed || record.seq > this.#base) return undefined;
    return this.#base;
  }

  #noteHandle(dirfd: number, id: InodeId): void {
    const found = sys.nameToHandleAt(dirfd, '');
    if (typeof found !== 'number' && this.#store.handleOf(id) !== found.handle)
      this.#store.putHandle(id, found.handle);
  }

  #watch(dirfd: number, id: InodeId): void {
    try {
      this.#source.add(dirfd, id);
    } catch (error) {
      if (!(error instanceof sys.SysError)) throw error;
      if (Math.abs(error.errno) === ENOSPC) this.#onWatchLimit();
      else this.#look.failed(id, '', 'watch', -Math.abs(error.errno));
    }
  }

  /** undefined: it cannot be read, and so nothing is known of its names (I4). */
  #names(dirfd: number, id: InodeId): Name[] | undefined {
    const fd = sys.openat(dirfd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return this.#unreadable(id, fd);
    const names = this.#read(fd, id);
    sys.close(fd);
    return names;
  }

  /** The same through a descriptor that can be read, and has not been. */
  #read(fd: number, id: InodeId): Name[] | undefined {
    const names: Name[] = [];
    const rc = sys.readDirectory(fd, (name) => {
      names.push(name);
    });
    return rc < 0 ? this.#unreadable(id, rc) : names.sort(byBytes);
  }

  /** That one has just been removed is no problem: an event tells. */
  #unreadable(id: InodeId, rc: number): undefined {
    if (rc !== -ENOENT) this.#look.failed(id, '', 'list', rc);
  }

  #slice(listing: Listing): void {
    const { id, names } = listing;
    const dirfd = this.#directories.open(id);
    if (dirfd < 0) {
      // It has moved or gone while it was listed: its name tells, and if it lives on it is listed again.
      this.#close(listing);
      this.#pass?.delete(id);
      this.#onUnlisted(id);
      this.#look.atSelf(id, 0, dirfd);
      return;
    }
    const end = Math.min(listing.next + namesAtOnce, names.length);
    const isLast = end === names.length;
    const upTo = isLast ? undefined : names[end - 1];
    const recorded = listing.isBlank ? [] : this.#recorded(id, listing.reached, upTo);
    const inodes = this.#inodesOf(recorded);
    const { retold } = this.#editor;
    let at = 0;
    for (let i = listing.next; i < end; i++) {
      const name = names[i];
      if (name === undefined) break;
      let entry = recorded[at];
      while (entry !== undefined && entry.name < name) {
        if (entry.id !== 0) this.#onGone(id, entry.name);
        entry = recorded[++at];
      }
      if (entry?.name === name) at++;
      else entry = undefined;
      // By a name of this slice, it may be: then this is not what the store says any more.
      if (entry !== undefined && this.#editor.retold !== retold) entry = this.#store.entry(id, name);
      this.#one(listing, dirfd, name, entry, entry === undefined ? undefined : inodes.get(entry.id));
    }
    for (let entry = recorded[at]; entry !== undefined; entry = recorded[++at]) {
      if (entry.id !== 0) this.#onGone(id, entry.name);
    }
    listing.next = end;
    listing.reached = upTo ?? listing.reached;
    if (isLast) this.#finish(listing);
  }

  #recorded(id: InodeId, after: Name | '', upTo: Name | undefined): EntryRecord[] {
    const entries: EntryRecord[] = [];
    for (const entry of this.#store.listAll(id, after)) {
      if (upTo !== undefined && entry.name > upTo) break;
      entries.push(entry);
    }
    return entries;
  }

  /** What was found in one go has ids in a row, and is read in a row; nothing where it has not. */
  #inodesOf(entries: readonly EntryRecord[]): ReadonlyMap<InodeId, InodeRecord> {
    const inodes = new Map<InodeId, InodeRecord>();
    let least = Infinity;
    let most = 0;
    for (const { id } of entries) {
      if (id !== 0 && id < least) least = id;
      if (id > most) most = id;
    }
    if (most === 0 || most - least >= 2 * entries.length) return inodes;
    for (const record of this.#store.inodesFrom(least, most)) inodes.set(record.id, record);
    return inodes;
  }

  #one(
    listing: Listing,
    dirfd: number,
    name: Name,
    entry: EntryRecord | undefined,
    stored: InodeRecord | undefined,
  ): void {
    this.#editor.base = listing.base;
    const verdict = this.#look.atListed(listing.id, dirfd, name, entry, stored);
    this.#editor.base = undefined;
    if (verdict === 'gone') {
      if (entry !== undefined && entry.id !== 0) this.#onGone(listing.id, name);
      return;
    }
    this.files += 1;
    if (this.#pass === undefined || entry === undefined || entry.id === 0 || verdict !== 'present') return;
    const record = this.#editor.inode(entry.id, stored);
    const last = listing.children.at(-1);
    if (record?.kind === Kind.directory && record.links > 0 && last !== record.id)
      listing.children.push(record.id);
  }

  #finish(listing: Listing): void {
    this.#close(listing);
    const record = this.#editor.inode(listing.id);
    if (record !== undefined && !record.listed) this.#editor.replace({ ...record, listed: true });
  }

  /** Finished or given up, what was found meanwhile is listed next: it may be anywhere in the tree. */
  #close(listing: Listing): void {
    this.#listing = undefined;
    for (const child of listing.children.reverse()) this.#stack.push(child);
  }
}

/** Names are byte strings: the order of their UTF-16 units is byte order. */
function byBytes(a: Name, b: Name): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
