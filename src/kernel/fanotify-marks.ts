// The file systems that a fanotify group has marked, and the directories known on each by their handles.

import type { ByteString, Name } from '../core/name.ts';
import { AT_EMPTY_PATH, AT_FDCWD, EINVAL, EXDEV, O_DIRECTORY, O_PATH, O_RDONLY } from './constants.ts';
import { close, openat, procPath } from './entry-calls.ts';
import type { DirectoryTag, FileTag, KernelEvent, NameEvent, RenameEvent } from './event-source.ts';
import { syscall5 } from './ffi.ts';
import { describeFileSystem } from './file-system.ts';
import { HandleBuffer, openByHandleAt } from './handle.ts';
import { HandleTable } from './handle-table.ts';
import { type MountWatch, readMounts } from './mounts.ts';
import { Places } from './places.ts';
import { first } from './scratch.ts';
import { check, SysError } from './sys-error.ts';
import { nr } from './syscall-numbers.ts';

// linux/fanotify.h
const FAN_MARK_ADD = 0x1;
const FAN_MARK_FILESYSTEM = 0x100;
export const FAN_MOVED_FROM = 0x40;
export const FAN_MOVED_TO = 0x80;
export const FAN_RENAME = 0x10000000;

/** The top-level subvolume of a btrfs: struct btrfs_fid (fs/btrfs/export.h) of object 256 in root 5, generation unchecked. */
const btrfsTopLevelHandle: ByteString = handleOfBtrfsTopLevel();

function handleOfBtrfsTopLevel(): ByteString {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32LE(0x4d, 0);
  bytes.writeUInt32LE(256, 4);
  bytes.writeUInt32LE(5, 12);
  return bytes.toString('latin1');
}

interface MarkedFileSystem {
  readonly device: string;
  readonly fsid: readonly [number, number];
  /** Of directories, by their first place. */
  readonly table: HandleTable;
  readonly places: Places;
  /** Of what is not a directory, and is listened to under all of its names. */
  readonly files: HandleTable;
}

export class FanotifyMarks {
  readonly #group: number;
  readonly #mounts: MountWatch;
  #mask: number;
  #fileSystems: MarkedFileSystem[] = [];
  readonly #byMount = new Map<number, MarkedFileSystem>();
  readonly #handle = new HandleBuffer();

  /** @param mask events wanted; FAN_RENAME gives way to the pair of moves where the kernel lacks it */
  constructor(group: number, mounts: MountWatch, mask: number) {
    this.#group = group;
    this.#mounts = mounts;
    this.#mask = mask;
  }

  /** Makes sure that the file system of the directory is marked. Throws a SysError. */
  mark(fd: number): void {
    this.#fileSystemOf(fd);
  }

  /** Registers the directory, marking its file system if it is the first one there. Throws a SysError. */
  add(fd: number, tag: DirectoryTag): void {
    const fileSystem = this.#fileSystemOf(fd);
    for (const other of this.#fileSystems) if (other !== fileSystem) removeFrom(other, tag);
    const { table, places } = fileSystem;
    const { words, mountId } = this.#handle;
    const known = table.get(words, 0);
    const isOther = known !== undefined && known !== tag;
    if (!isOther || places.firstOf(tag) === known) {
      if (known === undefined && places.areAny) removeFrom(fileSystem, tag);
      places.note(tag, mountId);
      if (!isOther) table.set(words, 0, tag);
      return;
    }
    removeFrom(fileSystem, tag);
    if (!places.join(known, tag, mountId)) table.set(words, 0, tag);
  }

  remove(tag: DirectoryTag): void {
    for (const fileSystem of this.#fileSystems) if (removeFrom(fileSystem, tag)) return;
  }

  /** Some directory is in the tree more than once. */
  get haveCopies(): boolean {
    return this.#fileSystems.some(({ places }) => places.areAny);
  }

  /** False: its file system is not marked, or has no handles. */
  addFile(dirfd: number, name: Name, tag: FileTag): boolean {
    if (this.#handle.load(dirfd, name, 0) < 0) return false;
    const fileSystem = this.#markedOn(this.#handle.mountId);
    fileSystem?.files.set(this.#handle.words, 0, tag);
    return fileSystem !== undefined;
  }

  removeFile(tag: FileTag): void {
    for (const { files } of this.#fileSystems) if (files.delete(tag)) return;
  }

  get hasFiles(): boolean {
    return this.#fileSystems.some(({ files }) => files.size > 0);
  }

  /** Whether the record whose fsid (2 words) and file handle begin at `words[at]` is of a file that was added. */
  hasFileAt(words: Uint32Array, at: number): boolean {
    return this.#find('files', words, at) !== undefined;
  }

  /** The directory of a record whose fsid (2 words) and file handle begin at `words[at]`. */
  tagAt(words: Uint32Array, at: number): DirectoryTag | undefined {
    return this.#find('table', words, at);
  }

  /** Appends an event of a directory by its first place, and the same of all others. */
  tellName(event: NameEvent, events: KernelEvent[]): void {
    const holder = this.#holderOf(event.directory);
    if (holder === undefined) events.push(event);
    else holder.tellName(event, events);
  }

  /** ... and of a rename. */
  tellRename(event: RenameEvent, events: KernelEvent[]): void {
    const holder = this.#holderOf(event.fromDirectory) ?? this.#holderOf(event.toDirectory);
    if (holder === undefined) events.push(event);
    else holder.tellRename(event, events);
  }

  /** undefined: the directory has one place. */
  #holderOf(directory: DirectoryTag): Places | undefined {
    for (const { places } of this.#fileSystems)
      if (places.areAny && places.othersOf(directory).length > 0) return places;
    return undefined;
  }

  #find(what: 'table' | 'files', words: Uint32Array, at: number): number | undefined {
    for (const fileSystem of this.#fileSystems) {
      const { fsid } = fileSystem;
      if (words[at] !== fsid[0] || words[at + 1] !== fsid[1]) continue;
      const tag = fileSystem[what].get(words, at + 2);
      if (tag !== undefined) return tag;
    }
    return undefined;
  }

  /** Opens (O_PATH) what the handle behind the fsid at `words[at]` names, or -errno. */
  openAt(words: Uint32Array, at: number): number {
    const { device } =
      this.#fileSystems.find(({ fsid }) => words[at] === fsid[0] && words[at + 1] === fsid[1]) ?? {};
    const mount = device === undefined ? undefined : this.#mounts.findDevice(device);
    if (mount === undefined) return -EINVAL;
    const mountFd = openat(AT_FDCWD, mount.point, O_RDONLY | O_DIRECTORY);
    if (mountFd < 0) return mountFd;
    const bytes = Buffer.from(words.buffer, words.byteOffset + (at + 3) * 4, 4 + (words[at + 2] ?? 0));
    const fd = openByHandleAt(mountFd, bytes.toString('latin1'), O_PATH);
    close(mountFd);
    return fd;
  }

  /**
   * After a change of mounts. A file system without any mount left has lost its mark; mounted again it needs a new one. It may have been
   * mounted again already: each that is still there is marked anew with the next directory.
   */
  forgetUnmounted(): void {
    this.#byMount.clear();
    this.#fileSystems = this.#fileSystems.filter(
      ({ device }) => this.#mounts.findDevice(device) !== undefined,
    );
  }

  /** Loads the directory's handle and finds its file system, marking it at first sight. */
  #fileSystemOf(fd: number): MarkedFileSystem {
    check(this.#handle.load(fd, '', AT_EMPTY_PATH), 'name_to_handle_at');
    const { mountId } = this.#handle;
    const known = this.#byMount.get(mountId);
    if (known !== undefined) return known;
    const device = this.#deviceOf(mountId);
    if (device === undefined) throw new SysError(EINVAL, 'find the mount of', procPath(fd));
    const fileSystem = this.#markedAs(device, this.#mark(fd));
    this.#byMount.set(mountId, fileSystem);
    return fileSystem;
  }

  /** A device's number, but not the fsid of what it shows, is given out again. */
  #markedAs(device: string, fsid: readonly [number, number]): MarkedFileSystem {
    const former = this.#fileSystems.find((one) => one.device === device);
    if (former?.fsid[0] === fsid[0] && former.fsid[1] === fsid[1]) return former;
    const fileSystem = {
      device,
      fsid,
      table: new HandleTable(),
      places: new Places(),
      files: new HandleTable(),
    };
    this.#fileSystems = [...this.#fileSystems.filter((one) => one !== former), fileSystem];
    return fileSystem;
  }

  /** The file system that the mount shows, if it is marked. */
  #markedOn(mountId: number): MarkedFileSystem | undefined {
    const known = this.#byMount.get(mountId);
    if (known !== undefined) return known;
    const device = this.#deviceOf(mountId);
    return device === undefined ? undefined : this.#fileSystems.find((one) => one.device === device);
  }

  /** Marks the directory's file system; the fsid that its events will carry. */
  #mark(fd: number): readonly [number, number] {
    let result = this.#markAt(fd);
    if (result === -EINVAL && (this.#mask & FAN_RENAME) !== 0) {
      // Before Linux 5.17.
      this.#mask = (this.#mask & ~FAN_RENAME) | FAN_MOVED_FROM | FAN_MOVED_TO;
      result = this.#markAt(fd);
    }
    if (result !== -EXDEV) {
      check(result, 'fanotify_mark');
      return describeFileSystem(fd).fsid;
    }
    // A btrfs subvolume has an fsid of its own; the mark must be placed on the top level, mounted or not.
    const directory = check(openat(fd, '.', O_RDONLY | O_DIRECTORY), 'open');
    const topLevel = openByHandleAt(directory, btrfsTopLevelHandle, O_PATH | O_DIRECTORY);
    close(directory);
    if (topLevel < 0) throw new SysError(result, 'fanotify_mark');
    try {
      check(this.#markAt(topLevel), 'fanotify_mark');
      return describeFileSystem(topLevel).fsid;
    } finally {
      close(topLevel);
    }
  }

  #markAt(fd: number): number {
    first.set('.');
    return syscall5(
      nr.fanotifyMark,
      this.#group,
      FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
      this.#mask,
      fd,
      first.address,
    );
  }

  #deviceOf(mountId: number): string | undefined {
    // A mount that is so new that its event has not been read yet is looked up in the system's list.
    return (this.#mounts.find(mountId) ?? readMounts().find(({ id }) => id === mountId))?.device;
  }
}

/** Takes a place away; the directory goes on to be known under another one, if it has any. False when the tag is not known. */
function removeFrom({ table, places }: MarkedFileSystem, tag: DirectoryTag): boolean {
  const isFirst = places.firstOf(tag) === tag;
  const heir = places.leave(tag);
  if (heir === undefined) return table.delete(tag);
  if (isFirst) table.retag(tag, heir);
  return true;
}
