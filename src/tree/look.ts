// Looking at one name: what is there now, against what the records say. The only place where the tree learns anything.

import { type InodeId, Kind, rootId } from '../core/attributes.ts';
import type { ByteString, Name } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';
import { EACCES, ENOENT, ENOTDIR, ESTALE } from '../kernel/constants.ts';
import { Hint } from '../kernel/event-source.ts';
import * as sys from '../kernel/sys.ts';
import { kindOf, newInode, observed } from './attributes-of.ts';
import { type Copies, isCopy } from './copies.ts';
import { type Directories, isObject, maxDepth } from './directories.ts';
import type { TreeEditor } from './editor.ts';
import type { HotFiles } from './hot-files.ts';
import { NotedTimes } from './noted-times.ts';
import type { OuterNames } from './outer-names.ts';
import type { EntryRecord, InodeRecord } from './records.ts';
import type { TreeStore } from './store.ts';
import { isBegunAnew, type Uploads } from './uploads.ts';

/**
 * `unknown`: it could not be told (a problem was reported), so nothing was recorded. `unreachable`: the directory is not where
 * the records have it, or in no place at all; what becomes of it is known at the end of the round, and this name should be looked
 * at again then.
 */
export type Verdict = 'present' | 'gone' | 'unknown' | 'unreachable';

/** What a look finds out for others to act on. */
export interface LookListener {
  /** A directory that has to be listed: new, or found at another place while its content is in doubt. */
  list(id: InodeId, isNew: boolean): void;
  /** A directory that was listed before was found under another name. */
  moved(id: InodeId): void;
  /** A name that has to be looked at too, in this round, as if these hints had come for it. */
  recheck(directory: InodeId, name: Name, hints: number): void;
  /** The directory is not where the records have it, and was not found by handle. */
  unreachable(record: InodeRecord): void;
  /** Not permitted to look into the directory: to be listed again when somebody changes permissions. */
  denied(directory: InodeId): void;
  problem(problem: Problem): void;
}

export interface LookOptions {
  readonly store: TreeStore;
  readonly editor: TreeEditor;
  readonly directories: Directories;
  readonly copies: Copies;
  readonly hot: HotFiles;
  readonly uploads: Uploads;
  readonly outerNames: OuterNames;
  /** A name at the top of the root that counts as not there. */
  readonly hidden: Name | undefined;
  readonly listener: LookListener;
}

/** Whoever moves names faster than they are looked at is not waited for: each move has its event. */
const maxOverlinkedTries = 8;

const contentHints = Hint.modified | Hint.closedWrite;
/** One file has left the name and another one has come: which of the two the other hints are about is not said. */
const hasChangedHands = Hint.appeared | Hint.vanished;
/** Beside the kernel's hints: these have come from another name already. Two inodes that have traded names hand on nothing twice. */
const handedOn = 1 << 16;
/** ... and are probably not meant for this inode: it had the name once, and another one has it now. */
const likelyForAnother = 1 << 17;
/** ... and the file has been waited for long enough: it is recorded as it is, though somebody may have it open for writing. */
export const settled = 1 << 18;
/** No file system's clock is coarser (seconds): a file that has the ctime that was recorded may have been written since if that is so young. */
const coarsestClockS = 2;

/**
 * A page of a file that is mapped can be written to again and again with no new ctime until the kernel has written it out (vm.dirty_expire_centisecs, 30 s, and
 * 5 s until it looks); a second write within one tick of the clock leaves none either.
 */
const stalestCtimeS = 40;

/** One writer thread's eyes. Inside a store transaction. */
export class Look {
  readonly #store: TreeStore;
  readonly #editor: TreeEditor;
  readonly #directories: Directories;
  readonly #copies: Copies;
  readonly #hot: HotFiles;
  readonly #uploads: Uploads;
  readonly #outerNames: OuterNames;
  readonly #hidden: Name | undefined;
  /** Names that show a file which is not recorded yet, in this round. */
  readonly #heldOver: { readonly directory: InodeId; readonly name: Name }[] = [];
  readonly #listener: LookListener;
  readonly #stat = new sys.Stat();
  /** Content or attribute hints that came under a name which its inode has lost: for whoever finds that inode. */
  readonly #inherited = new Map<InodeId, number>();
  #unattributed = 0;
  /** Inodes found under more names than they have; how many those are. */
  readonly #overlinked = new Map<InodeId, { readonly nlink: number; tries: number }>();
  readonly #noted = new NotedTimes();
  /** Sockets that listings showed and that were left out; whoever lists everything begins at 0. */
  sockets = 0;
  /** What has this ctime, or a later one, may have been written to since without another one, when nobody watched any more. */
  #unprovenFromS = Infinity;
  /** True while no event has come since the first scan began: nothing can be known under another name then. */
  nothingMoved = false;

  constructor(options: LookOptions) {
    this.#store = options.store;
    this.#editor = options.editor;
    this.#directories = options.directories;
    this.#copies = options.copies;
    this.#hot = options.hot;
    this.#uploads = options.uploads;
    this.#outerNames = options.outerNames;
    this.#hidden = options.hidden;
    this.#listener = options.listener;
  }

  /** Until when (ms since 1970) somebody has watched before this run: until then at least. */
  watchedUntil(at: number | undefined): void {
    this.#unprovenFromS = at === undefined ? Infinity : at / 1000 - stalestCtimeS;
  }

  /** Looks because of an event (or a file that settled). */
  atName(directory: InodeId, name: Name, hints: number, now: number): Verdict {
    const record = this.#editor.inode(directory);
    if (record === undefined || record.kind !== Kind.directory) return 'unknown';
    if (record.links === 0) return this.#nowhere(record);
    if (name === this.#hidden && directory === rootId) return 'gone';
    const dirfd = this.#directories.open(directory);
    if (dirfd < 0) return this.#unreachable(record, dirfd);
    // Somebody may still write through a descriptor that was opened under this name when it was another inode's.
    const former = (hints & handedOn) === 0 ? this.#editor.lostNames.find(directory, name) : undefined;
    if (former !== undefined) this.bequeath(former, hints, likelyForAnother);
    const rc = this.#lookAt(dirfd, name);
    if (rc === -ENOENT) return 'gone';
    if (rc < 0) return this.failed(directory, name, 'read attributes', rc);
    const entry = this.#store.entry(directory, name);
    return this.#seen(directory, dirfd, name, entry, hints, now);
  }

  /** Fills `#stat` with what a name, or the directory itself, is. 0 or -errno. */
  #lookAt(dirfd: number, name: Name | ''): number {
    const stat = this.#stat;
    const rc = name === '' ? sys.fstat(dirfd, stat) : sys.statx(dirfd, name, stat);
    if (rc === 0) stat.dev = this.#copies.deviceOf(stat);
    return rc;
  }

  /**
   * Looks because a listing shows the name (an open one: `dirfd`).
   * @param entry what the store says of the name, if anything
   * @param stored what it says of the entry's inode, if that is known already
   */
  atListed(
    directory: InodeId,
    dirfd: number,
    name: Name,
    entry: EntryRecord | undefined,
    stored: InodeRecord | undefined,
  ): Verdict {
    if (name === this.#hidden && directory === rootId) return 'gone';
    const rc = this.#lookAt(dirfd, name);
    if (rc === -ENOENT) return 'gone';
    if (rc < 0) return this.failed(directory, name, 'read attributes', rc);
    return this.#seen(directory, dirfd, name, entry, 0, undefined, stored);
  }

  /** Compares a directory's own attributes; `dirfd` undefined: by its id. */
  atSelf(id: InodeId, hints: number, dirfd = this.#directories.open(id)): Verdict {
    const record = this.#editor.inode(id);
    if (record === undefined) return 'unknown';
    if (record.links === 0) return this.#nowhere(record);
    if (dirfd < 0) return this.#unreachable(record, dirfd);
    const rc = this.#lookAt(dirfd, '');
    if (rc < 0) return this.failed(record.parent, record.name, 'read attributes', rc);
    this.#compare(record, hints, hints === 0 ? undefined : 0);
    return 'present';
  }

  /**
   * Looks once more at all names of inodes that have more of them in the records than on disk: names that trade places again and
   * again can show one inode twice, and the other one, which is as alive, not at all.
   */
  recheckOverlinked(): void {
    for (const [id, seen] of this.#overlinked) {
      const record = this.#editor.inode(id);
      if (record === undefined || record.links <= seen.nlink || seen.tries >= maxOverlinkedTries) {
        this.#overlinked.delete(id);
        continue;
      }
      seen.tries += 1;
      for (const { parent, name } of this.#store.namesOf(id, record)) this.#listener.recheck(parent, name, 0);
    }
  }

  /** The name has gone: hints that came with it belong to the inode, wherever that is now. */
  bequeath(id: InodeId, hints: number, doubt: 0 | typeof likelyForAnother = 0): void {
    const passed = hints & (contentHints | Hint.attributes);
    if (passed === 0) return;
    const before = this.#inherited.get(id) ?? doubt;
    this.#inherited.set(id, ((before | passed) & ~likelyForAnother) | (before & doubt));
  }

  /**
   * The hints, without those of a content that was most likely another file's: that one's writer would send this one again with each of
   * its writes (`log`, and `log.1` that was `log`). Whoever does write here changes the ctime.
   */
  #believed(record: InodeRecord, hints: number): number {
    const { ctimeS, ctimeNs } = this.#stat;
    const isOld = Math.abs(Date.now() / 1000 - ctimeS) > coarsestClockS;
    const seen = this.#noted.find(record.id) ?? record;
    const isUnchanged = seen.ctimeS === ctimeS && seen.ctimeNs === ctimeNs;
    return isOld && isUnchanged ? hints & ~contentHints : hints;
  }

  /**
   * Hints that came for a name which one inode has left and another one has come to: a third one may have had it in between, under which
   * nobody has seen it.
   */
  leaveUnattributed(hints: number): void {
    if ((hints & hasChangedHands) === hasChangedHands) this.#unattributed |= hints;
  }

  /** Has inodes that live on looked at for what was hinted at under names that they have no more. True when there are any. */
  settleBequests(): boolean {
    let isAny = false;
    // It had another name for a moment, and then one less.
    for (const id of this.#editor.bereaved) this.bequeath(id, this.#unattributed, likelyForAnother);
    this.#unattributed = 0;
    for (const [id, hints] of this.#inherited) {
      const record = this.#editor.inode(id);
      if (record === undefined || record.links === 0 || record.name === '') continue;
      // Under one of them another file may be about to be made: until that is complete, the name stays where it was (I2).
      for (const { parent, name } of this.#store.namesOf(id, record))
        this.#listener.recheck(parent, name, hints | handedOn);
      isAny = true;
    }
    this.#inherited.clear();
    return isAny;
  }

  failed(directory: InodeId, name: Name | '', action: string, rc: number): 'unknown' {
    const parent = this.#pathOf(directory);
    const path = name === '' ? parent : parent === '' ? name : `${parent}/${name}`;
    this.#listener.problem({ path, action, code: sys.errnoName(rc) });
    if (rc === -EACCES) this.#listener.denied(directory);
    return 'unknown';
  }

  #pathOf(id: InodeId): ByteString {
    const parts: string[] = [];
    for (
      let record = this.#editor.inode(id);
      record !== undefined && record.name !== '' && parts.length < maxDepth;
    ) {
      parts.push(record.name);
      record = this.#editor.inode(record.parent);
    }
    return parts.reverse().join('/');
  }

  /** A directory without a name: on its way to another one, which this round may find, or out of the tree. */
  #nowhere(record: InodeRecord): 'unknown' | 'unreachable' {
    return this.#editor.isOrphan(record.id) ? 'unreachable' : 'unknown';
  }

  /** A directory that cannot be opened deletes nothing (I4); has its name gone, its parent's listing tells. */
  #unreachable(record: InodeRecord, rc: number): 'unknown' | 'unreachable' {
    if ((rc === -ENOENT || rc === -ENOTDIR || rc === -ESTALE) && record.name !== '') {
      this.#listener.unreachable(record);
      return 'unreachable';
    }
    return this.failed(record.id, '', 'open', rc);
  }

  /** @param now undefined: seen by a listing, when nobody watched (or before anybody did) */
  #seen(
    directory: InodeId,
    dirfd: number,
    name: Name,
    entry: EntryRecord | undefined,
    hints: number,
    now: number | undefined,
    stored?: InodeRecord,
  ): Verdict {
    const stat = this.#stat;
    const kind = kindOf(stat);
    if (kind === undefined) {
      if (now === undefined) this.sockets += 1;
      return entry === undefined || entry.id === 0 ? 'present' : 'gone';
    }
    if (entry !== undefined && entry.id !== 0) {
      const record = this.#editor.inode(entry.id, stored);
      if (record !== undefined && record.kind === kind && isSeen(record, stat)) {
        this.#noteNames(record, directory, dirfd, name);
        const told = (hints & likelyForAnother) === 0 ? hints : this.#believed(record, hints);
        if (now !== undefined && this.#isStillWritten(record, directory, name, told, now)) return 'present';
        this.#compare(record, told, now);
        return 'present';
      }
      if (record !== undefined && this.#isVanishedMount(record, directory)) {
        this.#listener.problem({ path: this.#pathOf(record.id), action: 'read', code: 'unmounted' });
        return 'unknown';
      }
      if ((hints & handedOn) === 0) this.bequeath(entry.id, hints);
    }
    const known = this.#find(kind);
    if (known !== undefined) return this.#found(known, directory, dirfd, name, entry, hints, now);
    if (kind === Kind.file) {
      const isHeld =
        now === undefined
          ? this.#isInHands(directory, dirfd, name)
          : this.#isBeingMade(directory, name, (hints & handedOn) === 0 ? hints : 0, now);
      if (isHeld) {
        this.#heldOver.push({ directory, name });
        return 'present';
      }
    }
    let target = '';
    if (kind === Kind.symlink) {
      const read = sys.readlinkat(dirfd, name);
      if (typeof read === 'number') {
        return read === -ENOENT ? 'gone' : this.failed(directory, name, 'read link', read);
      }
      target = read;
    }
    const made = this.#editor.create(newInode(kind, stat, target, directory, name), entry);
    this.#noteNames(made, directory, dirfd, name);
    if (kind === Kind.directory) {
      // It may be moved before its turn to be listed comes. RACE: the name may be another directory's already; whoever opens
      // by handle compares what he gets with the record.
      const found = sys.nameToHandleAt(dirfd, name);
      if (typeof found !== 'number') this.#store.putHandle(made.id, found.handle);
      this.#listener.list(made.id, true);
    }
    return 'present';
  }

  #noteNames(record: InodeRecord, directory: InodeId, dirfd: number, name: Name): void {
    if (record.kind === Kind.directory) return;
    if (this.#outerNames.seen(record, this.#stat.nlink, dirfd, name))
      this.#listener.recheck(directory, name, 0);
  }

  /** The living inode (or orphan of this round) that is the object just seen. */
  #find(kind: Kind): InodeRecord | undefined {
    const stat = this.#stat;
    if (this.nothingMoved && (stat.nlink === 1 || kind === Kind.directory)) return undefined;
    const id = this.#store.idOfIdentity(stat.dev, stat.inoHigh, stat.inoLow);
    if (id === undefined) return undefined;
    const record = this.#editor.inode(id);
    return record !== undefined && record.kind === kind && isSeen(record, stat) ? record : undefined;
  }

  /** A known inode under a name that is new to it: moved, or linked. */
  #found(
    record: InodeRecord,
    directory: InodeId,
    dirfd: number,
    name: Name,
    entry: EntryRecord | undefined,
    hints: number,
    now: number | undefined,
  ): Verdict {
    const nlink = record.kind === Kind.directory ? 1 : this.#stat.nlink;
    this.#editor.link(directory, name, record.id, entry);
    if (record.kind === Kind.directory && !record.listed) {
      // What hangs below it is not in the tree yet and will be new there.
      this.#editor.replace({ ...(this.#editor.inode(record.id) ?? record), seq: this.#editor.nextSeq() });
    }
    const linked = this.#editor.inode(record.id) ?? record;
    this.#noteNames(linked, directory, dirfd, name);
    if (linked.links > nlink) {
      this.#overlinked.set(linked.id, { nlink, tries: 0 });
      for (const other of this.#store.namesOf(linked.id, linked)) {
        if (other.parent !== directory || other.name !== name)
          this.#listener.recheck(other.parent, other.name, 0);
      }
    }
    // Without a birth time an old directory and one that was made under its inode number look alike.
    if (record.kind === Kind.directory) {
      if (now === undefined || record.birth === 0 || !record.listed) this.#listener.list(record.id, false);
      else this.#listener.moved(record.id);
    }
    if (now === undefined || !this.#isStillWritten(linked, directory, name, hints, now))
      this.#compare(linked, hints, now);
    return 'present';
  }

  /**
   * Where a file is being made under the name that a directory had, which has been found elsewhere: it has this name no more, although
   * nothing takes its place before the file is complete. At the end of a round, when it is known what was found.
   */
  dropFormerNames(): void {
    for (const { directory, name } of this.#heldOver.splice(0)) {
      const record = this.#editor.at(directory, name);
      if (record?.kind === Kind.directory && record.links > 1) this.#editor.unlink(directory, name);
    }
  }

  #key(): string {
    const stat = this.#stat;
    return `${stat.dev}:${stat.inoHigh}:${stat.inoLow}`;
  }

  /** Whether the content of a file in the tree is being changed, so that it is recorded later. */
  #isStillWritten(record: InodeRecord, directory: InodeId, name: Name, hints: number, now: number): boolean {
    if (record.kind !== Kind.file) return false;
    // What was made empty may be filled much later.
    const isBegun = isBegunAnew(this.#stat.size, record.size);
    if (this.#hot.size === 0 && (hints & contentHints) !== Hint.modified && !isBegun) return false;
    const key = this.#key();
    const hot = this.#hot.find(key);
    if ((hints & Hint.closedWrite) !== 0 || hot?.closed === true) {
      if (isBegun && (hints & settled) === 0 && this.#uploads.isOpen(directory, name) === true) {
        // It was opened again after it had been closed.
        this.#hot.touch(key, directory, name, hints, now, true);
        return true;
      }
      if (hot !== undefined) this.#hot.forget(hot);
      if ((hints & Hint.closedWrite) === 0) this.bequeath(record.id, Hint.modified);
      return false;
    }
    // RACE: seen before the event of it was read, if it is begun: that, or its being closed, is told yet.
    if (hot === undefined && (hints & Hint.modified) === 0 && !isBegun) return false;
    this.#hot.touch(key, directory, name, hints, now, isBegun);
    return true;
  }

  /** Whether a file that is new to the tree is not complete yet. What was linked or moved in is. */
  #isBeingMade(directory: InodeId, name: Name, hints: number, now: number): boolean {
    const key = this.#key();
    const hot = this.#hot.find(key);
    const isClosed = (hints & Hint.closedWrite) !== 0 || hot?.closed === true;
    const isComplete = isClosed || this.#stat.nlink > 1;
    const isWritten =
      hot !== undefined || ((hints & Hint.moved) === 0 && (hints & (Hint.appeared | Hint.modified)) !== 0);
    const isHeld = isWritten && !isComplete;
    // Linked into place, as git and mail servers do it: nobody has written to it under this name.
    const isUntouched = hot === undefined && (hints & contentHints) === 0;
    // What was closed may have been opened again: made, closed, and written to from then on. What has left the name in this round may be
    // what was moved there.
    const isAmbiguous = isClosed || (hints & hasChangedHands) === hasChangedHands;
    const mayBeOpen = this.#stat.nlink === 1 && (hints & settled) === 0;
    const isDoubtful = isHeld ? isUntouched : isAmbiguous && mayBeOpen;
    const isOpen = isDoubtful ? this.#uploads.isOpen(directory, name) : undefined;
    if (!(isOpen ?? isHeld)) {
      if (hot === undefined) return false;
      this.#hot.forget(hot);
      // The name under which it was held may still be one of its names.
      this.#listener.recheck(hot.directory, hot.name, 0);
      return false;
    }
    this.#hot.touch(key, directory, name, hints, now, true);
    return true;
  }

  /** The same for one that a listing shows: somebody has it open, and its being closed has not been told. */
  #isInHands(directory: InodeId, dirfd: number, name: Name): boolean {
    const { mtimeS, nlink } = this.#stat;
    if (nlink > 1 || !this.#uploads.isInHands(dirfd, name, mtimeS, this.nothingMoved)) return false;
    this.#hot.touch(this.#key(), directory, name, Hint.modified, performance.now(), true);
    return true;
  }

  /**
   * A mount point whose file system is not there: what is seen is the directory below it. RACE: none, a mount is told
   * from its directory by the device.
   */
  #isVanishedMount(record: InodeRecord, directory: InodeId): boolean {
    if (record.kind !== Kind.directory) return false;
    const parent = this.#editor.inode(directory);
    return (
      parent !== undefined &&
      record.dev !== parent.dev &&
      this.#stat.dev === parent.dev &&
      !this.#stat.isMountRoot
    );
  }

  /** The inode is the one that was recorded: raises its seqs if it changed. */
  #compare(record: InodeRecord, hints: number, now: number | undefined): void {
    const stat = this.#stat;
    const size = record.kind === Kind.file ? stat.size : 0;
    const timeChanged = record.mtimeNs !== stat.mtimeNs || record.mtimeS !== stat.mtimeS;
    const inodeChanged = record.ctimeNs !== stat.ctimeNs || record.ctimeS !== stat.ctimeS;
    const unwatched = now === undefined;
    const isTold = (hints & contentHints) !== 0;
    const isWritten =
      record.kind === Kind.file && (record.size !== size || isTold || (timeChanged && unwatched));
    // Nobody watched: it may have been renamed, or its mode changed, or its content written and the mtime put back.
    const isUnproven = !inodeChanged && stat.ctimeS >= this.#unprovenFromS && size > 0;
    const isDoubtful = record.kind === Kind.file && !isWritten && unwatched && (inodeChanged || isUnproven);
    // Its times were set, as tar and rsync do after they have written it, and nobody has told of a write since.
    const isTouched = record.kind === Kind.file && !isWritten && (unwatched ? isUnproven : timeChanged);
    const contentChanged = isWritten || isDoubtful || isTouched;
    const attributesChanged =
      timeChanged ||
      record.mode !== stat.mode ||
      record.uid !== stat.uid ||
      record.gid !== stat.gid ||
      (hints & Hint.attributes) !== 0 ||
      (unwatched && inodeChanged);
    if (!contentChanged && !attributesChanged) {
      if (record.dev !== stat.dev) this.#editor.replace({ ...record, dev: stat.dev });
      if (inodeChanged) this.#noted.note(record.id, stat);
      return;
    }
    this.#noted.forget(record.id);
    const seq = this.#editor.nextSeq();
    this.#editor.replace({
      ...record,
      ...observed(record.kind, stat, record.target),
      seq,
      contentSeq: contentChanged ? seq : record.contentSeq,
      doubtful: contentChanged ? isDoubtful : record.doubtful,
      touched: contentChanged ? isTouched : record.touched,
    });
  }

  /** All events that the kernel had at this moment have been looked at (`NotedTimes`). */
  recordNoted(): void {
    for (const [id, noted] of this.#noted.take()) {
      const record = this.#editor.inode(id);
      if (record !== undefined && record.links > 0) this.#editor.replace({ ...record, ...noted });
    }
  }
}

/** Whether a record is of what was seen, and not of its copy. */
function isSeen(record: InodeRecord, stat: sys.Stat): boolean {
  return isObject(record, stat) && isCopy(record.dev) === isCopy(stat.dev);
}
