// Kernel events by one watch for each directory (inotify(7)): for users without privilege, and for file systems
// that have no file handles.

import { asName, type Name } from '../core/name.ts';
import { Ancestors } from './ancestors.ts';
import {
  EAGAIN,
  ENOSPC,
  IN_DONT_FOLLOW,
  IN_MASK_ADD,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_ONLYDIR,
} from './constants.ts';
import { close, procPath } from './entry-calls.ts';
import {
  type DirectoryTag,
  type EventSource,
  type FileTag,
  Hint,
  type KernelEvent,
  type NameEvent,
  type NameOf,
  type RenameEvent,
} from './event-source.ts';
import { addressOf } from './ffi.ts';
import { type InotifyInstance, ownInstance } from './inotify-instance.ts';
import {
  hintsOf,
  IN_ATTRIB,
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_ISDIR,
  IN_MODIFY,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
} from './inotify-mask.ts';
import { Places } from './places.ts';
import { type RootGone, RootWatch } from './root-watch.ts';
import { fstat, Stat, statx } from './stat.ts';
import { check, SysError } from './sys-error.ts';
import { addingWatch } from './watch-limit.ts';

/** Without IN_EXCL_UNLINK: what is written through a descriptor whose name is gone may show under another name. */
const wanted =
  IN_MODIFY |
  IN_ATTRIB |
  IN_CLOSE_WRITE |
  IN_MOVED_FROM |
  IN_MOVED_TO |
  IN_CREATE |
  IN_DELETE |
  IN_DELETE_SELF |
  IN_MOVE_SELF |
  IN_ONLYDIR;

/** Of the directory that holds the root's entry. */
const wantedOfParent = IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR | IN_MASK_ADD;

/** Of a file. RACE: the name may be a watched directory's by now, of which no less is wanted then. */
const wantedOfFile = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_DONT_FOLLOW | IN_MASK_ADD;
/** The watches are for the directories first. */
const maxFiles = 8192;

/** One read of the kernel's queue: some 8,000 events. */
const bufferBytes = 256 * 1024;
/** struct inotify_event with the longest name. */
const largestEventBytes = 16 + 256;
/** The two halves of a rename enter the queue one right after the other; longer than this the second one is not coming. */
const moveGraceMs = 5;

/** One for all sources of the thread: nothing is kept in it between two reads. */
const buffer = Buffer.from(new ArrayBuffer(bufferBytes));
const words = new Uint32Array(buffer.buffer);
const signedWords = new Int32Array(buffer.buffer);
const address = addressOf(buffer);

interface WatchedFile {
  readonly tag: FileTag;
  readonly dev: number;
  readonly inoHigh: number;
  readonly inoLow: number;
}

/** The first half of a rename whose second half has not been seen yet. */
interface HeldMove {
  readonly watch: number;
  readonly cookie: number;
  readonly event: NameEvent;
  readonly name: Name;
}

export class InotifySource implements EventSource {
  readonly monitor = 'inotify';
  readonly fds: readonly number[];

  readonly #instance: InotifyInstance;
  readonly #root: RootWatch | undefined;
  readonly #ancestors: Ancestors;
  #parentWatch = -1;
  #rootWatch = -1;
  /** The root may have left its place: what a read has brought up to its end. */
  #rootTouched: RootGone | undefined;
  /** Each watch's directory, by its first place. */
  readonly #tags = new Map<number, DirectoryTag>();
  readonly #watches = new Map<DirectoryTag, number>();
  readonly #places: Places;
  readonly #nameOf: NameOf | undefined;
  readonly #files = new Map<number, WatchedFile>();
  readonly #fileWatches = new Map<FileTag, number>();
  readonly #stat = new Stat();
  #held: HeldMove[] = [];
  #heldUntil: number | undefined;
  #isDrained = false;
  #closed = false;

  /**
   * Nothing is watched but the root's own fate. Throws a SysError.
   * @param rootFd undefined: somebody else watches over the root, and over what is mounted below it
   * @param nameOf for `addFile`
   * @param instance is closed with the source
   */
  constructor(rootFd: number | undefined, nameOf?: NameOf, instance: InotifyInstance = ownInstance()) {
    this.#nameOf = nameOf;
    this.#instance = instance;
    this.#ancestors = new Ancestors(this.#instance);
    if (rootFd === undefined) {
      this.fds = [instance.fd];
      this.#places = new Places();
      return;
    }
    try {
      this.#root = new RootWatch(rootFd, instance.share);
    } catch (error) {
      instance.close();
      throw error;
    }
    this.fds = [instance.fd, this.#root.mounts.fd];
    this.#places = new Places(this.#root.mountId);
    try {
      this.#rootWatch = this.#watch(rootFd, wanted);
      check(this.#watchWay(this.#root), addingWatch, this.#root.path);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get pendingUntil(): number | undefined {
    return this.#instance.hasWaiting || this.#root?.hasWaiting === true ? 0 : this.#heldUntil;
  }

  add(fd: number, tag: DirectoryTag): void {
    const watch = this.#watch(fd, wanted);
    const known = this.#tags.get(watch);
    const former = this.#watches.get(tag);
    // Where nothing is mounted below the root, all of it is on one mount: asking would be a thirtieth of what a first listing costs.
    const isPlain = this.#root?.hasMountsBelow === false && (known === undefined || known === tag);
    const mountId = isPlain ? this.#root.mountId : this.#mountOf(fd);
    if (former === watch) {
      this.#places.note(tag, mountId);
      return;
    }
    if (former !== undefined) this.#leave(tag, former);
    this.#watches.set(tag, watch);
    if (known === undefined) this.#places.note(tag, mountId);
    else if (this.#places.join(known, tag, mountId)) return;
    else this.#watches.delete(known);
    this.#tags.set(watch, tag);
  }

  #mountOf(fd: number): number {
    return fstat(fd, this.#stat) < 0 ? 0 : this.#stat.mountId;
  }

  remove(tag: DirectoryTag): void {
    const watch = this.#watches.get(tag);
    if (watch !== undefined) this.#leave(tag, watch);
  }

  /** The directory goes on to be watched for its other places, if it has any. */
  #leave(tag: DirectoryTag, watch: number): void {
    this.#watches.delete(tag);
    const heir = this.#places.leave(tag);
    if (heir === undefined) this.#unwatch(watch);
    else this.#tags.set(watch, heir);
  }

  addFile(dirfd: number, name: Name, tag: FileTag): boolean {
    const former = this.#fileWatches.get(tag);
    const isFull = former === undefined && this.#files.size >= maxFiles;
    if (this.#nameOf === undefined || isFull || statx(dirfd, name, this.#stat) < 0) return false;
    const path = `${procPath(dirfd)}/${name}`;
    const watch = this.#instance.add(path, wantedOfFile);
    if (watch === -ENOSPC) throw new SysError(watch, addingWatch, path);
    if (watch < 0 || this.#tags.has(watch)) return false;
    if (former !== undefined && former !== watch) this.removeFile(tag);
    const { dev, inoHigh, inoLow } = this.#stat;
    this.#files.set(watch, { tag, dev, inoHigh, inoLow });
    this.#fileWatches.set(tag, watch);
    return true;
  }

  removeFile(tag: FileTag): void {
    const watch = this.#fileWatches.get(tag);
    if (watch === undefined) return;
    this.#fileWatches.delete(tag);
    this.#files.delete(watch);
    this.#instance.remove(watch);
  }

  get isDrained(): boolean {
    return this.#isDrained;
  }

  read(maxEvents = 4096): KernelEvent[] {
    const events: KernelEvent[] = [];
    this.#root?.changes(events);
    const held = this.#held;
    this.#held = [];
    let hasRead = false;
    this.#isDrained = false;
    while (events.length < maxEvents && !this.#isDrained) {
      const length = this.#instance.read(buffer, address);
      this.#isDrained = length < bufferBytes - largestEventBytes;
      if (length === -EAGAIN) break;
      check(length, 'read events');
      hasRead = true;
      this.#decode(length, held, events);
    }
    this.#lookAtRoot(events);
    // What was held back before had its second chance; what this read has brought waits for the next one.
    if (hasRead || performance.now() >= (this.#heldUntil ?? 0)) {
      for (const move of held) this.#places.tellName(this.#lone(move), events);
    } else {
      this.#held = [...held, ...this.#held];
    }
    if (this.#held.length === 0) this.#heldUntil = undefined;
    else if (hasRead) this.#heldUntil = performance.now() + moveGraceMs;
    return events;
  }

  queued(): number {
    return this.#instance.queued();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#instance.close();
    this.#root?.close();
    this.#tags.clear();
    this.#watches.clear();
    this.#files.clear();
    this.#fileWatches.clear();
    this.#held = [];
    this.#heldUntil = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The root's own entry, and the directories above it. -errno where the entry cannot be watched. */
  #watchWay(root: RootWatch): number {
    this.#ancestors.place(root.path);
    const parent = root.openParent();
    this.#parentWatch = -1;
    if (parent === undefined) return 0;
    const watch = this.#instance.add(procPath(parent), wantedOfParent);
    close(parent);
    if (watch >= 0) this.#parentWatch = watch;
    return Math.min(watch, 0);
  }

  #lookAtRoot(events: KernelEvent[]): void {
    const why = this.#rootTouched;
    if (why === undefined || this.#root === undefined) return;
    this.#rootTouched = undefined;
    // Others may lead to it now.
    this.#watchWay(this.#root);
    this.#root.check(why, events);
  }

  #watch(fd: number, mask: number): number {
    const watch = this.#instance.add(procPath(fd), mask);
    if (watch < 0) throw new SysError(watch, addingWatch, procPath(fd));
    return watch;
  }

  #unwatch(watch: number): void {
    this.#tags.delete(watch);
    // The root is watched for its own sake as long as we live, and so are those that lead to it.
    const isOfRoot = watch === this.#rootWatch || watch === this.#parentWatch || this.#ancestors.has(watch);
    if (!isOfRoot) this.#instance.remove(watch);
  }

  /** struct inotify_event: s32 watch, u32 mask, u32 cookie, u32 length, name padded with NULs. */
  #decode(length: number, held: HeldMove[], events: KernelEvent[]): void {
    for (let at = 0; at < length; ) {
      const word = at >>> 2;
      const watch = signedWords[word] ?? -1;
      const mask = words[word + 1] ?? 0;
      const cookie = words[word + 2] ?? 0;
      const nameBytes = words[word + 3] ?? 0;
      if (this.#ancestors.isTouched(watch, mask)) this.#rootTouched ??= 'moved';
      if ((mask & IN_Q_OVERFLOW) !== 0) events.push({ type: 'overflow' });
      else {
        if (watch === this.#parentWatch) this.#decodeParent(at + 16, mask);
        // It may be in the tree as well, bind-mounted below the root.
        this.#decodeEvent(watch, mask, cookie, nameBytes === 0 ? '' : this.#nameAt(at + 16), held, events);
      }
      at += 16 + nameBytes;
    }
  }

  #decodeEvent(
    watch: number,
    mask: number,
    cookie: number,
    name: string,
    held: HeldMove[],
    events: KernelEvent[],
  ): void {
    if (watch === this.#rootWatch && (mask & (IN_MOVE_SELF | IN_DELETE_SELF | IN_UNMOUNT)) !== 0) {
      if ((mask & IN_MOVE_SELF) !== 0) this.#rootTouched = 'moved';
      else this.#root?.gone((mask & IN_UNMOUNT) !== 0 ? 'unmounted' : 'deleted', events);
      return;
    }
    const file = this.#files.get(watch);
    if (file !== undefined) {
      this.#decodeFile(watch, file, mask, events);
      return;
    }
    const directory = this.#tags.get(watch);
    if (directory === undefined) return;
    if ((mask & IN_IGNORED) !== 0) {
      // The directory is gone, and its watch with it.
      this.#tags.delete(watch);
      for (const tag of [directory, ...this.#places.othersOf(directory)]) {
        this.#watches.delete(tag);
        this.#places.leave(tag);
      }
      return;
    }
    const known = asName(name);
    const hints = hintsOf(mask);
    if (hints === 0 || (known === undefined && name !== '')) return;
    const event: NameEvent = { type: 'name', directory, name: known ?? '', hints, pid: 0 };
    if (known !== undefined && (mask & IN_MOVED_FROM) !== 0) {
      this.#held.push({ watch, cookie, event, name: known });
    } else if (known !== undefined && (mask & IN_MOVED_TO) !== 0) {
      const from = take(this.#held, cookie) ?? take(held, cookie);
      if (from === undefined) this.#places.tellName(event, events);
      else this.#places.tellRename(renameOf(from, event, known), events);
    } else {
      this.#places.tellName(event, events);
    }
  }

  /** The first half of a rename for itself: its directory may have lost its first place since. */
  #lone({ watch, event }: HeldMove): NameEvent {
    return { ...event, directory: this.#tags.get(watch) ?? event.directory };
  }

  #decodeFile(watch: number, file: WatchedFile, mask: number, events: KernelEvent[]): void {
    if ((mask & IN_IGNORED) !== 0) {
      this.#files.delete(watch);
      this.#fileWatches.delete(file.tag);
      return;
    }
    const hints = hintsOf(mask);
    const found = hints === 0 ? undefined : this.#nameOf?.(file.dev, file.inoHigh, file.inoLow);
    if (found !== undefined) this.#places.tellName({ type: 'name', ...found, hints, pid: 0 }, events);
  }

  #decodeParent(nameAt: number, mask: number): void {
    if ((mask & IN_ISDIR) === 0 || this.#nameAt(nameAt) !== this.#root?.name) return;
    this.#rootTouched = (mask & IN_DELETE) !== 0 ? 'deleted' : 'moved';
  }

  #nameAt(start: number): string {
    let end = start;
    while (buffer[end] !== 0) end++;
    return buffer.toString('latin1', start, end);
  }
}

function take(held: HeldMove[], cookie: number): HeldMove | undefined {
  const index = held.findLastIndex((move) => move.cookie === cookie);
  return index < 0 ? undefined : held.splice(index, 1)[0];
}

function renameOf(from: HeldMove, to: NameEvent, toName: Name): RenameEvent {
  return {
    type: 'rename',
    fromDirectory: from.event.directory,
    fromName: from.name,
    toDirectory: to.directory,
    toName,
    isDirectory: (to.hints & Hint.directory) !== 0,
    pid: 0,
  };
}
