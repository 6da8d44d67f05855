// Kernel events of whole file systems (fanotify(7)), by directory file handle.
//
// One mark for each file system; what a directory is called, and whether it is inside the tree at all, is answered by
// one lookup of its handle. Events of directories that nobody added cost that lookup and nothing else.

import { asName, type ByteString, type Name } from '../core/name.ts';
import { AncestorWatch } from './ancestors.ts';
import { AT_EMPTY_PATH, EAGAIN, O_CLOEXEC, O_RDONLY } from './constants.ts';
import { close } from './entry-calls.ts';
import {
  type DirectoryTag,
  type EventSource,
  type FileTag,
  Hint,
  type KernelEvent,
  type NameOf,
} from './event-source.ts';
import { FAN_MOVED_FROM, FAN_MOVED_TO, FAN_RENAME, FanotifyMarks } from './fanotify-marks.ts';
import { addressOf, syscall2, syscall3 } from './ffi.ts';
import { HandleBuffer } from './handle.ts';
import { HandleTable } from './handle-table.ts';
import { fionread } from './poll.ts';
import { type RootGone, RootWatch } from './root-watch.ts';
import { fstat, Stat } from './stat.ts';
import { check, isStarved } from './sys-error.ts';
import { nr } from './syscall-numbers.ts';

// linux/fanotify.h
const FAN_CLOEXEC = 0x1;
const FAN_NONBLOCK = 0x2;
const FAN_UNLIMITED_QUEUE = 0x10;
const FAN_REPORT_FID = 0x200;
const FAN_REPORT_DIR_FID = 0x400;
const FAN_REPORT_NAME = 0x800;

const FAN_MODIFY = 0x2;
const FAN_ATTRIB = 0x4;
const FAN_CLOSE_WRITE = 0x8;
const FAN_CREATE = 0x100;
const FAN_DELETE = 0x200;
const FAN_Q_OVERFLOW = 0x4000;
const FAN_ONDIR = 0x40000000;

const infoFid = 1;
const infoDfidName = 2;
const infoDfid = 3;
const infoOldDfidName = 10;
const infoNewDfidName = 12;

const wantedAlways = FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_CREATE | FAN_DELETE | FAN_ONDIR;

/** One read of the kernel's queue: some 2,500 events. */
const bufferBytes = 256 * 1024;
/** What the largest event can take: the read stopped before the buffer's end because nothing waited, if more was left. */
const largestEventBytes = 1024;
/** How many buffers one `read` takes at most when only strangers write, so that the listener gets to its other work. */
const maxBuffersPerRead = 32;

export interface FanotifyOptions {
  /** Processes (thread groups) whose doings are left out; looked at for each event, so it may change. */
  readonly ownPids?: ReadonlySet<number>;
  /**
   * For what the kernel tells of an inode alone: that a link of it was made or removed, what happens through a file handle while no
   * name is known (an NFS server's writes after its start), and `addFile`. Without it such events are not asked for.
   */
  readonly nameOf?: NameOf;
  /** false: the queue holds 16,384 events, then overflows. Default true: memory is the bound. */
  readonly unlimitedQueue?: boolean;
  /** false: MOVED_FROM and MOVED_TO instead of FAN_RENAME, as before Linux 5.17. Default: what the kernel has. */
  readonly renameEvents?: boolean;
}

export class FanotifySource implements EventSource {
  readonly monitor = 'fanotify';
  readonly pendingUntil = undefined;
  readonly fds: readonly number[];

  readonly #group: number;
  readonly #root: RootWatch;
  readonly #ownPids: ReadonlySet<number>;
  readonly #nameOf: NameOf | undefined;
  readonly #stat = new Stat();
  readonly #marks: FanotifyMarks;
  readonly #rootParent = new HandleTable();
  readonly #ancestors: AncestorWatch;
  readonly #buffer = Buffer.from(new ArrayBuffer(bufferBytes));
  readonly #words = new Uint32Array(this.#buffer.buffer);
  readonly #address = addressOf(this.#buffer);
  #rootTouched: RootGone | undefined;
  #isDrained = false;
  #closed = false;

  /**
   * Marks the file system that the root is on. Events flow from here on.
   * Throws a SysError, `action` telling which call the kernel refused.
   */
  constructor(rootFd: number, options: FanotifyOptions = {}) {
    this.#ownPids = options.ownPids ?? new Set();
    this.#nameOf = options.nameOf;
    // No FAN_REPORT_TARGET_FID: nobody needs the child's handle, and without it events about one name merge.
    const flags =
      FAN_CLOEXEC |
      FAN_NONBLOCK |
      FAN_REPORT_DIR_FID |
      FAN_REPORT_NAME |
      (options.nameOf === undefined ? 0 : FAN_REPORT_FID) |
      (options.unlimitedQueue === false ? 0 : FAN_UNLIMITED_QUEUE);
    this.#group = check(syscall2(nr.fanotifyInit, flags, O_RDONLY | O_CLOEXEC), 'fanotify_init');
    try {
      this.#root = new RootWatch(rootFd);
    } catch (error) {
      close(this.#group);
      throw error;
    }
    const moves = options.renameEvents === false ? FAN_MOVED_FROM | FAN_MOVED_TO : FAN_RENAME;
    this.#marks = new FanotifyMarks(this.#group, this.#root.mounts, wantedAlways | moves);
    this.#ancestors = new AncestorWatch(this.#root.path);
    this.fds = [this.#group, this.#root.mounts.fd, ...this.#ancestors.fds];
    try {
      this.#marks.mark(rootFd);
      this.#watchWay();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  add(fd: number, tag: DirectoryTag): void {
    this.#marks.add(fd, tag);
  }

  remove(tag: DirectoryTag): void {
    this.#marks.remove(tag);
  }

  addFile(dirfd: number, name: Name, tag: FileTag): boolean {
    return this.#nameOf !== undefined && this.#marks.addFile(dirfd, name, tag);
  }

  removeFile(tag: FileTag): void {
    this.#marks.removeFile(tag);
  }

  get isDrained(): boolean {
    return this.#isDrained;
  }

  read(maxEvents = 4096): KernelEvent[] {
    const events: KernelEvent[] = [];
    if (this.#root.changes(events)) this.#marks.forgetUnmounted();
    this.#isDrained = false;
    for (let i = 0; i < maxBuffersPerRead && events.length < maxEvents && !this.#isDrained; i++) {
      const length = syscall3(nr.read, this.#group, this.#address, bufferBytes);
      this.#isDrained = length < bufferBytes - largestEventBytes;
      if (length === -EAGAIN) break;
      check(length, 'read events');
      this.#decode(length, events);
    }
    this.#lookAtRoot(events);
    return events;
  }

  queued(): number {
    return check(fionread(this.#group), 'FIONREAD');
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.#group);
    this.#ancestors.close();
    this.#root.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The root itself is an entry of a directory outside: what happens to that entry, or to those above, is looked at by name. */
  #watchWay(): void {
    this.#ancestors.place(this.#root.path);
    const parent = this.#root.openParent();
    if (parent === undefined) return;
    try {
      const handle = new HandleBuffer();
      if (handle.load(parent, '', AT_EMPTY_PATH) === 0) this.#rootParent.set(handle.words, 0, 1);
    } finally {
      close(parent);
    }
  }

  #lookAtRoot(events: KernelEvent[]): void {
    if (this.#ancestors.hasMoved()) this.#rootTouched ??= 'moved';
    const why = this.#rootTouched;
    if (why === undefined) return;
    this.#rootTouched = undefined;
    // Others may lead to it now.
    this.#watchWay();
    this.#root.check(why, events);
  }

  /** struct fanotify_event_metadata: u32 length, u8 version, u8, u16, u64 mask, s32 fd, s32 pid; then info records. */
  #decode(length: number, events: KernelEvent[]): void {
    const words = this.#words;
    for (let at = 0; at < length; ) {
      const word = at >>> 2;
      const eventLength = words[word] ?? 0;
      const mask = words[word + 2] ?? 0;
      const pid = words[word + 5] ?? 0;
      if ((mask & FAN_Q_OVERFLOW) !== 0) events.push({ type: 'overflow' });
      else if ((mask & FAN_RENAME) !== 0) this.#decodeRename(at, eventLength, mask, pid, events);
      else this.#decodeName(at, eventLength, mask, pid, events);
      at += eventLength;
    }
  }

  #decodeName(at: number, length: number, mask: number, pid: number, events: KernelEvent[]): void {
    // The record: u8 type, u8, u16 length, u64 fsid, struct file_handle, name.
    const type = (this.#words[(at + 24) >>> 2] ?? 0) & 0xff;
    if (length > 24 && type === infoFid) this.#decodeNameless(at + 24, mask, pid, events);
    if (length <= 24 || (type !== infoDfidName && type !== infoDfid)) return;
    const directory = this.#tagAt(at + 24);
    if (directory === undefined) {
      if ((mask & FAN_ONDIR) !== 0) this.#noticeRoot(at + 24, mask);
      else if (this.#marks.hasFiles) this.#decodeElsewhere(at, length, mask, pid, events);
      return;
    }
    // What is above the root may be in the tree as well, bind-mounted below it.
    if ((mask & FAN_ONDIR) !== 0 && this.#marks.haveCopies && type === infoDfidName)
      this.#noticeRoot(at + 24, mask);
    if (this.#ownPids.has(pid)) return;
    const name = type === infoDfid ? '.' : this.#nameAt(at + 24);
    const known = asName(name);
    if (known === undefined && name !== '.') return;
    this.#marks.tellName({ type: 'name', directory, name: known ?? '', hints: hintsOf(mask), pid }, events);
  }

  /** A name in a directory that nobody added: behind it comes the file's own record, and the file may have been added. */
  #decodeElsewhere(at: number, length: number, mask: number, pid: number, events: KernelEvent[]): void {
    const record = at + 24 + ((this.#words[(at + 24) >>> 2] ?? 0) >>> 16);
    if (record >= at + length || ((this.#words[record >>> 2] ?? 0) & 0xff) !== infoFid) return;
    if (this.#marks.hasFileAt(this.#words, (record >>> 2) + 1))
      this.#decodeNameless(record, mask, pid, events);
  }

  /** An inode alone: its handle is opened to learn which one, and the listener finds its name. */
  #decodeNameless(record: number, mask: number, pid: number, events: KernelEvent[]): void {
    if (this.#ownPids.has(pid)) return;
    const fd = this.#marks.openAt(this.#words, (record >>> 2) + 1);
    if (isStarved(fd)) events.push({ type: 'overflow' });
    // Gone already: its last name told so.
    if (fd < 0) return;
    const result = fstat(fd, this.#stat);
    close(fd);
    if (result < 0) return;
    const { dev, inoHigh, inoLow } = this.#stat;
    const found = this.#nameOf?.(dev, inoHigh, inoLow);
    if (found !== undefined)
      this.#marks.tellName({ type: 'name', ...found, hints: hintsOf(mask), pid }, events);
  }

  #decodeRename(at: number, length: number, mask: number, pid: number, events: KernelEvent[]): void {
    let from: { directory: DirectoryTag; record: number } | undefined;
    let to: { directory: DirectoryTag; record: number } | undefined;
    for (let next = at + 24; next < at + length; ) {
      const record = next;
      const header = this.#words[record >>> 2] ?? 0;
      const type = header & 0xff;
      next += header >>> 16;
      if (type === infoOldDfidName || type === infoNewDfidName) {
        const directory = this.#tagAt(record);
        if ((mask & FAN_ONDIR) !== 0 && (directory === undefined || this.#marks.haveCopies))
          this.#noticeRoot(record, mask);
        if (directory === undefined) continue;
        if (type === infoOldDfidName) from = { directory, record };
        else to = { directory, record };
      }
    }
    if (this.#ownPids.has(pid)) return;
    const isDirectory = (mask & FAN_ONDIR) !== 0;
    const hints = Hint.moved | (isDirectory ? Hint.directory : 0);
    const fromName = from && asName(this.#nameAt(from.record));
    const toName = to && asName(this.#nameAt(to.record));
    if (from && fromName !== undefined && to && toName !== undefined) {
      const [fromDirectory, toDirectory] = [from.directory, to.directory];
      this.#marks.tellRename(
        { type: 'rename', fromDirectory, fromName, toDirectory, toName, isDirectory, pid },
        events,
      );
    } else if (from && fromName !== undefined) {
      const { directory } = from;
      this.#marks.tellName(
        { type: 'name', directory, name: fromName, hints: hints | Hint.vanished, pid },
        events,
      );
    } else if (to && toName !== undefined) {
      const { directory } = to;
      this.#marks.tellName(
        { type: 'name', directory, name: toName, hints: hints | Hint.appeared, pid },
        events,
      );
    }
  }

  /** The record's directory: its fsid and handle begin behind the header. */
  #tagAt(record: number): DirectoryTag | undefined {
    return this.#marks.tagAt(this.#words, (record >>> 2) + 1);
  }

  #nameAt(record: number): ByteString {
    const start = record + 20 + (this.#words[(record >>> 2) + 3] ?? 0);
    let end = start;
    while (this.#buffer[end] !== 0) end++;
    return this.#buffer.toString('latin1', start, end);
  }

  #noticeRoot(record: number, mask: number): void {
    const inParent = this.#rootParent.get(this.#words, (record >>> 2) + 3) !== undefined;
    if (!inParent || this.#nameAt(record) !== this.#root.name) return;
    this.#rootTouched = (mask & FAN_DELETE) !== 0 ? 'deleted' : 'moved';
  }
}

function hintsOf(mask: number): number {
  let hints = 0;
  if ((mask & (FAN_CREATE | FAN_MOVED_TO)) !== 0) hints |= Hint.appeared;
  if ((mask & (FAN_DELETE | FAN_MOVED_FROM)) !== 0) hints |= Hint.vanished;
  if ((mask & (FAN_MOVED_FROM | FAN_MOVED_TO)) !== 0) hints |= Hint.moved;
  if ((mask & FAN_MODIFY) !== 0) hints |= Hint.modified;
  if ((mask & FAN_CLOSE_WRITE) !== 0) hints |= Hint.closedWrite;
  if ((mask & FAN_ATTRIB) !== 0) hints |= Hint.attributes;
  if ((mask & FAN_ONDIR) !== 0) hints |= Hint.directory;
  return hints;
}
