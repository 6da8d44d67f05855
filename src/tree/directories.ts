// Descriptors of the tree's directories, by inode id: opened step by step, so no path is ever too long and no
// link is ever followed; kept while they are in use, the least recently used closed first.

import { type InodeId, rootId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import { below } from '../core/under.ts';
import {
  AT_FDCWD,
  ENOENT,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
} from '../kernel/constants.ts';
import * as sys from '../kernel/sys.ts';
import { isCopy } from './copies.ts';
import type { InodeRecord, LocalIdentity } from './records.ts';

/** Well below the usual soft limit of 1,024 descriptors a process. */
const maxOpen = 512;

/**
 * No real tree is deeper. While moves are being recorded the records may show a directory below itself for a moment.
 */
export const maxDepth = 20_000;

const openFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** What a directory is said to be: the records as they are at this moment, unwritten changes included. */
export type RecordOf = (id: InodeId) => InodeRecord | undefined;

/** The file handle that was noted for a directory. */
export type HandleOf = (id: InodeId) => ByteString | undefined;

/** A cache for one thread. Descriptors are its own: nobody else closes them. */
export class Directories implements Disposable {
  readonly #rootFd: number;
  readonly #recordOf: RecordOf;
  readonly #stat = new sys.Stat();
  /** In order of use, the oldest first. */
  readonly #open = new Map<InodeId, number>();
  readonly #rootDev: number;
  /** undefined: this process may not open by handle (CAP_DAC_READ_SEARCH), or the file system has none. */
  readonly #handleOf: HandleOf | undefined;
  /** Those of #open that are on other file systems than the root, or reached through another mount of it. */
  readonly #foreign = new Set<InodeId>();

  /**
   * @param rootFd the root, not O_PATH; stays the caller's
   * @param handleOf with it a directory is opened by its handle, wherever it is by now: names change faster than records
   */
  constructor(rootFd: number, recordOf: RecordOf, handleOf: HandleOf) {
    this.#rootFd = rootFd;
    this.#recordOf = recordOf;
    sys.check(sys.fstat(rootFd, this.#stat), 'stat the root');
    this.#rootDev = this.#stat.dev;
    this.#handleOf = opensByHandle(rootFd) ? handleOf : undefined;
  }

  /**
   * A descriptor (O_PATH) of the directory with this id, valid until the next call, or -errno: ENOENT when what bears its
   * name is another inode by now.
   */
  open(id: InodeId): number {
    if (id === rootId) return this.#rootFd;
    const cached = this.#open.get(id);
    if (cached !== undefined) {
      this.#open.delete(id);
      this.#open.set(id, cached);
      return cached;
    }
    const byHandle = this.#openByHandle(id, O_PATH);
    if (byHandle >= 0) return byHandle;
    const missing: InodeRecord[] = [];
    let fd = this.#rootFd;
    for (let at = id; at !== rootId; ) {
      const open = this.#open.get(at);
      if (open !== undefined) {
        fd = open;
        break;
      }
      const record = this.#recordOf(at);
      if (record === undefined || record.name === '' || missing.length >= maxDepth) return -ENOENT;
      missing.push(record);
      at = record.parent;
    }
    for (let record = missing.pop(); record !== undefined; record = missing.pop()) {
      fd = this.#step(fd, record);
      if (fd < 0) return fd;
    }
    return fd;
  }

  /**
   * The same for a directory that is going to be listed: opened by its handle, one descriptor serves for that too. undefined: it is open
   * already, or cannot be had so; `open` has it then, and it cannot be read through that.
   */
  openToList(id: InodeId): number | undefined {
    if (id === rootId || this.#open.has(id)) return undefined;
    const fd = this.#openByHandle(id, O_RDONLY);
    return fd < 0 ? undefined : fd;
  }

  /** Directories are found wherever they are by now, not only where the records have them. */
  get areFoundByHandle(): boolean {
    return this.#handleOf !== undefined;
  }

  /**
   * Where the kernel has the directory at this moment, relative to the root; undefined: nowhere below it, or that cannot be told (it is
   * not on the root's file system, its path is longer than the kernel says).
   */
  whereIs(id: InodeId): ByteString | undefined {
    const fd = this.#open.get(id) ?? this.#openByHandle(id, O_PATH);
    // One that was removed is open until its record is.
    if (fd < 0 || sys.fstat(fd, this.#stat) < 0 || this.#stat.nlink === 0) return undefined;
    const root = sys.readlinkat(AT_FDCWD, sys.procPath(this.#rootFd));
    const path = sys.readlinkat(AT_FDCWD, sys.procPath(fd));
    if (typeof root !== 'string' || typeof path !== 'string') return undefined;
    return below(root, path);
  }

  #openByHandle(id: InodeId, access: typeof O_PATH | typeof O_RDONLY): number {
    const handle = this.#handleOf?.(id);
    const record = handle === undefined ? undefined : this.#recordOf(id);
    // A handle belongs to its file system: what is mounted below the root is reached by name.
    if (handle === undefined || record === undefined || record.dev !== this.#rootDev) return -ENOENT;
    const fd = sys.openByHandleAt(this.#rootFd, handle, access | O_DIRECTORY);
    if (fd < 0) return fd;
    if (sys.fstat(fd, this.#stat) < 0 || !isObject(record, this.#stat)) {
      sys.close(fd);
      return -ENOENT;
    }
    this.#keep(id, fd, false);
    return fd;
  }

  #step(parent: number, record: InodeRecord): number {
    const fd = sys.openat(parent, record.name, openFlags);
    if (fd < 0) return fd;
    // RACE: another directory may have taken the name since it was recorded; what we hold is checked, not the name.
    const rc = sys.fstat(fd, this.#stat);
    if (rc < 0 || !isObject(record, this.#stat)) {
      sys.close(fd);
      return rc < 0 ? rc : -ENOENT;
    }
    // A copy's file system is the root's; its mount is not.
    this.#keep(record.id, fd, this.#stat.dev !== this.#rootDev || isCopy(record.dev));
    return fd;
  }

  #keep(id: InodeId, fd: number, isForeign: boolean): void {
    this.#open.set(id, fd);
    if (isForeign) this.#foreign.add(id);
    if (this.#open.size <= maxOpen) return;
    // The one just opened, and what was used to reach it, are the newest and stay.
    for (const [oldest, oldFd] of this.#open) {
      this.#open.delete(oldest);
      this.#foreign.delete(oldest);
      sys.close(oldFd);
      return;
    }
  }

  /** Closes the directory's descriptor, if there is one: it has left the tree. */
  forget(id: InodeId): void {
    const fd = this.#open.get(id);
    if (fd === undefined) return;
    this.#open.delete(id);
    this.#foreign.delete(id);
    sys.close(fd);
  }

  /** Closes those on other mounts than the root's: held open, they would keep an administrator from unmounting. */
  releaseMounts(): void {
    for (const id of this.#foreign) this.forget(id);
  }

  close(): void {
    for (const fd of this.#open.values()) sys.close(fd);
    this.#open.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Whether a record describes this object of the file system. Birth tells a reused inode number from a survivor; where both
 * have one, the device does not matter: its number may change with every mount or boot (btrfs, NFS, loop devices). Nor does it for a copy
 * (`Copies`), which is reached by its name.
 */
export function isObject(record: LocalIdentity, stat: sys.Stat): boolean {
  if (record.inoLow !== stat.inoLow || record.inoHigh !== stat.inoHigh) return false;
  const birth = stat.birth;
  if (birth !== 0 && record.birth !== 0) return record.birth === birth;
  return record.dev === stat.dev || isCopy(record.dev);
}

/** Whether directories of the root's file system can be opened by handle; tried with the root itself. */
function opensByHandle(rootFd: number): boolean {
  const root = sys.nameToHandleAt(rootFd, '');
  if (typeof root === 'number') return false;
  const fd = sys.openByHandleAt(rootFd, root.handle, O_PATH | O_DIRECTORY);
  if (fd < 0) return false;
  sys.close(fd);
  return true;
}
