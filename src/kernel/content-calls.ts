// Calls on the content of an open file. Each returns a number >= 0 or -errno.

import { addressOf, syscall1, syscall2, syscall3, syscall4, syscall6 } from './ffi.ts';
import { nr } from './syscall-numbers.ts';

// Where the memory is that was used last: whoever reads or writes mostly goes on in the same piece, and asking costs a BigInt.
let lastMemory: ArrayBufferLike | undefined;
let lastAddress = 0;

function within(buffer: Uint8Array, offset: number, length: number): number {
  // The kernel writes where it is told to: outside the buffer this would be somebody else's memory. Memory that was handed
  // to another thread leaves a buffer without length behind, and so nothing to be inside of.
  if (offset < 0 || length < 0 || offset + length > buffer.length) throw new RangeError('outside the buffer');
  const { byteOffset } = buffer;
  if (buffer.buffer !== lastMemory) {
    lastAddress = addressOf(buffer) - byteOffset;
    lastMemory = buffer.buffer;
  }
  return lastAddress + byteOffset + offset;
}

/** Reads at the file's own position. Bytes read, 0 at the end. */
export function read(fd: number, buffer: Uint8Array, offset = 0, length = buffer.length - offset): number {
  return syscall3(nr.read, fd, within(buffer, offset, length), length);
}

export function pread(
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  return syscall4(nr.pread, fd, within(buffer, offset, length), length, position);
}

/** Writes at the file's own position. May write less than asked: see `writeAll`. */
export function write(fd: number, buffer: Uint8Array, offset = 0, length = buffer.length - offset): number {
  return syscall3(nr.write, fd, within(buffer, offset, length), length);
}

export function pwrite(
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  return syscall4(nr.pwrite, fd, within(buffer, offset, length), length, position);
}

/** Writes everything, at `position` if given, else at the file's own. Bytes written or -errno. */
export function writeAll(
  fd: number,
  buffer: Uint8Array,
  offset = 0,
  length = buffer.length - offset,
  position?: number,
): number {
  let done = 0;
  while (done < length) {
    const result =
      position === undefined
        ? write(fd, buffer, offset + done, length - done)
        : pwrite(fd, buffer, offset + done, length - done, position + done);
    if (result < 0) return result;
    done += result;
  }
  return done;
}

export function ftruncate(fd: number, size: number): number {
  return syscall2(nr.ftruncate, fd, size);
}

export function fallocate(fd: number, mode: number, offset: number, length: number): number {
  return syscall4(nr.fallocate, fd, mode, offset, length);
}

/** Moves the position; SEEK_DATA and SEEK_HOLE find the extents of a sparse file (-ENXIO: no data behind). */
export function lseek(fd: number, offset: number, whence: number): number {
  return syscall3(nr.lseek, fd, offset, whence);
}

// Two loff_t for copy_file_range, which reads and updates them.
const offsets = new BigInt64Array(new ArrayBuffer(16));
const offsetsAddress = addressOf(offsets);

/** Copies inside the kernel between positions that the caller keeps. Bytes copied, 0 at the source's end. */
export function copyFileRange(
  fromFd: number,
  fromPosition: number,
  toFd: number,
  toPosition: number,
  length: number,
): number {
  offsets[0] = BigInt(fromPosition);
  offsets[1] = BigInt(toPosition);
  return syscall6(nr.copyFileRange, fromFd, offsetsAddress, toFd, offsetsAddress + 8, length, 0);
}

const FICLONE = 0x40049409;

/** Makes `toFd` share all extents of `fromFd` (reflink). 0 or -errno (EOPNOTSUPP, EXDEV, EINVAL: cannot here). */
export function ficlone(toFd: number, fromFd: number): number {
  return syscall3(nr.ioctl, toFd, FICLONE, fromFd);
}

export function fsync(fd: number): number {
  return syscall1(nr.fsync, fd);
}

export function fdatasync(fd: number): number {
  return syscall1(nr.fdatasync, fd);
}

/** Syncs the whole file system that a descriptor (not O_PATH) is on. */
export function syncfs(fd: number): number {
  return syscall1(nr.syncfs, fd);
}

/** LOCK_EX, LOCK_UN, with LOCK_NB: -EAGAIN when another holds it. */
export function flock(fd: number, operation: number): number {
  return syscall2(nr.flock, fd, operation);
}

export function fadvise(fd: number, offset: number, length: number, advice: number): number {
  return syscall4(nr.fadvise, fd, offset, length, advice);
}

const SYNC_FILE_RANGE_WRITE = 2;

/** Starts writing what is dirty in a stretch of the file, and does not wait for it. A hint: makes nothing durable. */
export function startWriting(fd: number, offset: number, length: number): number {
  return syscall4(nr.syncFileRange, fd, offset, length, SYNC_FILE_RANGE_WRITE);
}
