// Reads what inodes hold at the source: attributes, extended attributes, content. Never follows a link,
// never blocks on a FIFO, and never hands out as whole a content that changed while it was read (I3).

import { type Attributes, Kind, rootId, type Xattr } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';
import { hasWriter } from '../kernel/open-files.ts';
import * as sys from '../kernel/sys.ts';
import { Directories, isObject, maxDepth } from '../tree/directories.ts';
import type { InodeRecord } from '../tree/records.ts';
import { isBegunAnew } from '../tree/uploads.ts';
import { batchTargetBytes, inlineMaxBytes, pieceBytes } from '../wire/messages.ts';
import { streamHeadBytes } from '../wire/stream.ts';
import type { TreeView } from './view.ts';

/** How often a content that changes under the reader is tried again at once. */
const stableReadAttempts = 3;

export type ReadResult =
  | { readonly kind: 'content'; readonly attributes: Attributes; readonly bytes: Uint8Array }
  /** Changed under every attempt, or has grown too large for a message. */
  | { readonly kind: 'unstable' }
  | Unfinished
  /** Another object, or none, has the name by now: an event about it is on its way. */
  | { readonly kind: 'moved' }
  | { readonly kind: 'problem'; readonly problem: Problem };

export type OpenResult =
  | { readonly kind: 'open'; readonly content: OpenContent }
  | Unfinished
  | { readonly kind: 'moved' }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** It is being uploaded anew: when that is whole, its record will tell. */
interface Unfinished {
  readonly kind: 'unfinished';
}

type Unopened = Extract<ReadResult, { kind: 'moved' | 'problem' }>;

/** What tells whether a file's content has changed. */
type FileState = Pick<sys.Stat, 'size' | 'mtimeS' | 'mtimeNs' | 'ctimeS' | 'ctimeNs'>;

/** A file held open for streaming, and what it was when it was opened. */
export interface OpenContent {
  readonly fd: number;
  readonly attributes: Attributes;
  readonly ctimeS: number;
  readonly ctimeNs: number;
  /** What it takes on disk; less than its size: some of it is a hole. */
  readonly allocatedBytes: number;
}

/** Data, or the length of a hole. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly hole: number;
  /** As in a message: what the data was read into. To be given back. */
  readonly room: Buffer | undefined;
}

/** Rooms that nobody uses are kept, for no more than one replica has on its way. */
const roomsKept = 8;

/** A message's worth of contents, the last of them being of any size. */
const arenaBytes = batchTargetBytes + 2 * inlineMaxBytes;

/** What one inode may have of extended attributes: a frame has to hold them. XFS and btrfs would let a user set more. */
const maxXattrBytes = 4 * 1024 * 1024;

/** A longer file (all but a little of it is a hole) cannot be told of. */
const maxSize = Number.MAX_SAFE_INTEGER;

const noBytes = new Uint8Array(0);

/** One thread's reader of one tree. Synchronous; `close` gives back every descriptor. */
export class Contents {
  readonly #view: Pick<TreeView, 'inode' | 'handleOf'>;
  readonly #rootFd: number;
  readonly #directories: Directories;
  readonly #before = new sys.Stat();
  readonly #after = new sys.Stat();
  /** O_NOATIME is refused to those who do not own the file. */
  #noAtime = sys.O_NOATIME;
  /** Where contents are read to, one behind the other. */
  #arena = Buffer.allocUnsafeSlow(arenaBytes);
  #arenaAt = 0;
  readonly #rooms: Buffer[] = [];

  constructor(view: Pick<TreeView, 'inode' | 'handleOf'>, root: ByteString) {
    this.#view = view;
    this.#rootFd = sys.check(
      sys.openat(sys.AT_FDCWD, root, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC),
      'open',
      root,
    );
    this.#directories = new Directories(
      this.#rootFd,
      (id) => view.inode(id),
      (id) => view.handleOf(id),
    );
  }

  /** Contents that were read are not needed any more: the memory that they are in may be used again. */
  reuse(): void {
    this.#arenaAt = 0;
  }

  /** Reads a file whole if it holds still and fits a message. Its bytes are there until `reuse`. */
  readWhole(record: InodeRecord): ReadResult {
    const fd = this.#openName(record);
    if (typeof fd !== 'number') return fd;
    try {
      // Mostly the file is still what it was when it was recorded, and then nothing changed while it was read. What was opened need
      // not be a file any more: that fails, or is found out by the look behind it.
      const atOnce = this.#read(fd, record, record);
      if (atOnce !== undefined && atOnce.kind !== 'problem') return atOnce;
      for (let attempt = 0; attempt < stableReadAttempts; attempt++) {
        if (!this.#isStill(fd, record, this.#before)) return { kind: 'moved' };
        if (isUnfinished(fd, this.#before, record)) return { kind: 'unfinished' };
        if (this.#before.size > inlineMaxBytes) return { kind: 'unstable' };
        const read = this.#read(fd, this.#before, record);
        if (read !== undefined) return read;
      }
      return { kind: 'unstable' };
    } finally {
      sys.close(fd);
    }
  }

  /** Reads a file that was like this before; undefined when it is not any more. */
  #read(fd: number, before: FileState, record: InodeRecord): ReadResult | undefined {
    const room = before.size + 1;
    if (before.size > inlineMaxBytes) return undefined;
    if (this.#arenaAt + room > arenaBytes) {
      this.#arena = Buffer.allocUnsafeSlow(arenaBytes);
      this.#arenaAt = 0;
    }
    const length = sys.pread(fd, this.#arena, this.#arenaAt, room, 0);
    if (length < 0) return this.#problem(record, 'read', length);
    const after = this.#after;
    if (!this.#isStill(fd, record, after)) return { kind: 'moved' };
    if (length !== before.size || !unchanged(before, after)) return undefined;
    const bytes = new Uint8Array(this.#arena.buffer, this.#arenaAt, length);
    this.#arenaAt += length;
    return { kind: 'content', attributes: this.#attributes(after, record, fd), bytes };
  }

  /**
   * Opens a file for streaming; `close` the content afterwards.
   * @param isUploaded the content that was recorded was found being replaced: only a whole one is opened, however long it is by now
   */
  open(record: InodeRecord, isUploaded: boolean): OpenResult {
    const fd = this.#openRegular(record);
    if (typeof fd !== 'number') return fd;
    const stat = this.#before;
    const failed = sys.fstat(fd, stat);
    if (failed < 0) {
      sys.close(fd);
      return this.#problem(record, 'read', failed);
    }
    if (stat.size > maxSize) {
      sys.close(fd);
      return this.#problem(record, 'read', -sys.EFBIG);
    }
    if (isUploaded ? hasWriter(fd) === true : isUnfinished(fd, stat, record)) {
      sys.close(fd);
      return { kind: 'unfinished' };
    }
    const content: OpenContent = {
      fd,
      attributes: this.#attributes(stat, record, fd),
      ctimeS: stat.ctimeS,
      ctimeNs: stat.ctimeNs,
      allocatedBytes: stat.blocks * 512,
    };
    return { kind: 'open', content };
  }

  /** The next at most `maxBytes`, or `pieceBytes`, bytes of data, or a whole hole, at `offset`; undefined when the file has shrunk. */
  piece(content: OpenContent, offset: number, maxBytes: number): Piece | undefined {
    const size = content.attributes.size;
    let length = Math.min(maxBytes, size - offset);
    if (length <= 0) return { bytes: noBytes, hole: 0, room: undefined };
    const data = this.dataFrom(content, offset);
    if (data > offset) return { bytes: noBytes, hole: data - offset, room: undefined };
    length = Math.min(length, this.holeFrom(content, offset) - offset);
    const memory = this.#rooms.pop() ?? Buffer.allocUnsafeSlow(streamHeadBytes + pieceBytes);
    const got = sys.pread(content.fd, memory, streamHeadBytes, Math.min(length, pieceBytes), offset);
    if (got <= 0) {
      this.giveBack(memory);
      return undefined;
    }
    const room = memory.subarray(0, streamHeadBytes + got);
    return { bytes: room.subarray(streamHeadBytes), hole: 0, room };
  }

  /** Nobody looks any more at what was read into a piece's room: it may be used again. */
  giveBack(room: Buffer): void {
    if (this.#rooms.length < roomsKept) this.#rooms.push(Buffer.from(room.buffer));
  }

  /** Where the next data is, at or after `offset`; the size where none follows. */
  dataFrom(content: OpenContent, offset: number): number {
    if (!isSparse(content)) return offset;
    const { size } = content.attributes;
    const data = sys.lseek(content.fd, offset, sys.SEEK_DATA);
    // ENXIO: no data up to the end of the file.
    return data < 0 ? size : Math.min(data, size);
  }

  /** Where the next hole is, at or after `offset`, which is data; the size where none follows. */
  holeFrom(content: OpenContent, offset: number): number {
    const { size } = content.attributes;
    if (!isSparse(content)) return size;
    const hole = sys.lseek(content.fd, offset, sys.SEEK_HOLE);
    // RACE: a hole may have been made here since `dataFrom` looked: then zeros are sent as data.
    return hole > offset ? Math.min(hole, size) : size;
  }

  /** Reads into `buffer`: the bytes read, fewer than `length` at the end of the file, or -errno. */
  read(content: OpenContent, buffer: Uint8Array, offset: number, length: number): number {
    return sys.pread(content.fd, buffer, 0, length, offset);
  }

  /** Nothing has changed in it since it was opened (I3). */
  holdsStill(content: OpenContent): boolean {
    const stat = this.#after;
    return (
      sys.fstat(content.fd, stat) === 0 &&
      stat.size === content.attributes.size &&
      stat.mtimeS === content.attributes.mtimeS &&
      stat.mtimeNs === content.attributes.mtimeNs &&
      stat.ctimeS === content.ctimeS &&
      stat.ctimeNs === content.ctimeNs
    );
  }

  /** It is being uploaded anew since it was opened: what was read of it is part of the one content and part of the other. */
  isUploadedAnew(content: OpenContent): boolean {
    return (
      sys.fstat(content.fd, this.#after) === 0 && isUnfinished(content.fd, this.#after, content.attributes)
    );
  }

  /** Somebody has it open for writing. */
  isWrittenTo(content: OpenContent): boolean {
    return hasWriter(content.fd) === true;
  }

  /**
   * Attributes as recorded, with extended attributes read now.
   * @param moved called when those could not be read because the inode is not where its record has it
   */
  attributesOf(record: InodeRecord, moved: (record: InodeRecord) => void): Attributes {
    const xattrs = this.#xattrsOf(record);
    if (xattrs === 'moved') moved(record);
    return { ...attributesOnly(record), xattrs: xattrs === 'moved' ? undefined : xattrs };
  }

  /** For messages about it; '?' when it has left the tree. */
  pathOf(record: InodeRecord): ByteString {
    const parts: string[] = [];
    for (let at: InodeRecord | undefined = record; at !== undefined && at.id !== rootId; ) {
      if (at.links === 0 || parts.length > maxDepth) return '?';
      parts.push(at.name);
      at = this.#view.inode(at.parent);
    }
    return parts.reverse().join('/');
  }

  close(content: OpenContent | undefined): void {
    if (content !== undefined) sys.close(content.fd);
  }

  /** Holds nothing on file systems below the root while there is nothing to read: an administrator may want to unmount them. */
  releaseMounts(): void {
    this.#directories.releaseMounts();
  }

  closeAll(): void {
    this.#directories.close();
    sys.close(this.#rootFd);
  }

  #openRegular(record: InodeRecord): number | Unopened {
    const fd = this.#openName(record);
    if (typeof fd !== 'number' || this.#isStill(fd, record, this.#before)) return fd;
    sys.close(fd);
    return { kind: 'moved' };
  }

  #openName(record: InodeRecord): number | Unopened {
    const directory = this.#directories.open(record.parent);
    if (directory < 0) return this.#missingOr(record, directory);
    // RACE: the name may be a FIFO, a device or a link by now: neither followed nor waited for, and the callers look what it is.
    const flags = sys.O_RDONLY | sys.O_NOFOLLOW | sys.O_NONBLOCK | sys.O_CLOEXEC;
    let fd = sys.openat(directory, record.name, flags | this.#noAtime);
    if (fd === -sys.EPERM && this.#noAtime !== 0) {
      fd = sys.openat(directory, record.name, flags);
      if (fd >= 0) this.#noAtime = 0;
    }
    if (fd >= 0) return fd;
    // What cannot be opened may be something else by now, and that is no problem of the file that the record tells of.
    const isOther = sys.statx(directory, record.name, this.#after) === 0 && !isObject(record, this.#after);
    return isOther ? { kind: 'moved' } : this.#missingOr(record, fd);
  }

  /** What was opened is the file of the record; `stat` is filled. */
  #isStill(fd: number, record: InodeRecord, stat: sys.Stat): boolean {
    return sys.fstat(fd, stat) === 0 && stat.isFile && isObject(record, stat);
  }

  #missingOr(record: InodeRecord, errno: number): Unopened {
    return isGone(errno) ? { kind: 'moved' } : this.#problem(record, 'read', errno);
  }

  #problem(
    record: InodeRecord,
    action: string,
    errno: number,
  ): { readonly kind: 'problem'; readonly problem: Problem } {
    return { kind: 'problem', problem: { path: this.pathOf(record), action, code: sys.errnoName(-errno) } };
  }

  #attributes(stat: sys.Stat, record: InodeRecord, fd: number): Attributes {
    return {
      kind: Kind.file,
      mode: stat.mode,
      uid: stat.uid,
      gid: stat.gid,
      size: stat.size,
      mtimeS: stat.mtimeS,
      mtimeNs: stat.mtimeNs,
      rdevMajor: 0,
      rdevMinor: 0,
      target: record.target,
      xattrs: xattrsBy(sys.flistxattr(fd), (name) => sys.fgetxattr(fd, name)),
    };
  }

  #xattrsOf(record: InodeRecord): readonly Xattr[] | undefined | 'moved' {
    if (record.id === rootId) {
      return xattrsBy(sys.listxattrat(this.#rootFd, '.'), (name) => sys.getxattrat(this.#rootFd, '.', name));
    }
    const directory = this.#directories.open(record.parent);
    if (directory < 0) return isGone(directory) ? 'moved' : undefined;
    const xattrs = xattrsBy(sys.listxattrat(directory, record.name), (name) =>
      sys.getxattrat(directory, record.name, name),
    );
    // RACE: the name may be another's by now; then these may be the other's.
    const stat = this.#after;
    const isIt = sys.statx(directory, record.name, stat) === 0 && isObject(record, stat);
    return isIt ? xattrs : 'moved';
  }
}

function isSparse({ attributes, allocatedBytes }: OpenContent): boolean {
  return allocatedBytes < attributes.size;
}

/** It is being written anew, and whoever does that has not closed it yet: no content that anybody should see (I2). */
function isUnfinished(fd: number, now: FileState, whole: Pick<Attributes, 'size'>): boolean {
  return isBegunAnew(now.size, whole.size) && hasWriter(fd) === true;
}

function isGone(errno: number): boolean {
  return errno === -sys.ENOENT || errno === -sys.ENOTDIR || errno === -sys.ELOOP || errno === -sys.ENXIO;
}

function xattrsBy(
  names: ByteString[] | number,
  read: (name: ByteString) => Uint8Array | number,
): readonly Xattr[] | undefined {
  if (typeof names === 'number') return undefined;
  if (names.length === 0) return [];
  const xattrs: Xattr[] = [];
  let bytes = 0;
  for (const name of names.sort()) {
    const value = read(name);
    if (typeof value === 'number') continue;
    xattrs.push({ name, value });
    bytes += name.length + value.length;
    if (bytes > maxXattrBytes) return undefined;
  }
  return xattrs;
}

/** Nothing has changed in it between its recording and its opening: the change time never goes back (I3). */
export function isAsRecorded({ attributes, ctimeS, ctimeNs }: OpenContent, record: InodeRecord): boolean {
  return unchanged(record, { ...attributes, ctimeS, ctimeNs });
}

function unchanged(before: FileState, after: FileState): boolean {
  return (
    before.size === after.size &&
    before.mtimeS === after.mtimeS &&
    before.mtimeNs === after.mtimeNs &&
    before.ctimeS === after.ctimeS &&
    before.ctimeNs === after.ctimeNs
  );
}

function attributesOnly(record: InodeRecord): Attributes {
  return {
    kind: record.kind,
    mode: record.mode,
    uid: record.uid,
    gid: record.gid,
    size: record.kind === Kind.file ? Math.min(record.size, maxSize) : 0,
    mtimeS: record.mtimeS,
    mtimeNs: record.mtimeNs,
    rdevMajor: record.rdevMajor,
    rdevMinor: record.rdevMinor,
    target: record.target,
    xattrs: undefined,
  };
}
