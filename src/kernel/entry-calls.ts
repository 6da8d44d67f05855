// Calls that take a directory's descriptor and a name in it. Each returns a number >= 0 or -errno.

import type { ByteString } from '../core/name.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  ENAMETOOLONG,
  ENOSYS,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from './constants.ts';
import { addressOf, syscall2, syscall3, syscall4, syscall5, syscallOnce } from './ffi.ts';
import { first, scratch, scratchAddress, second } from './scratch.ts';
import { nr } from './syscall-numbers.ts';

/** A path to the object of a descriptor that keeps working for O_PATH descriptors. */
export function procPath(fd: number): ByteString {
  return `/proc/self/fd/${fd}`;
}

/** Opens a name; O_CLOEXEC is always added. The descriptor or -errno. */
export function openat(dirfd: number, name: ByteString, flags: number, mode = 0): number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  return syscall4(nr.openat, dirfd, first.address, flags | O_CLOEXEC, mode);
}

// struct open_how (linux/openat2.h): u64 flags, mode, resolve
const openHow = new BigInt64Array(new ArrayBuffer(24));
const openHowWords = new Uint32Array(openHow.buffer);
const openHowAddress = addressOf(openHow);
const withoutLinks = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/**
 * Opens a path of any depth below a directory, whatever others do to it meanwhile: no symlink is followed, nothing
 * above the directory is reached (I7). O_CLOEXEC is always added. The descriptor or -errno (ELOOP: a symlink; EXDEV: outside).
 */
export function openBeneath(dirfd: number, path: ByteString, flags: number, mode = 0): number {
  return openat2(dirfd, path, flags, mode, RESOLVE_BENEATH | withoutLinks);
}

/** Opens a path of any depth that holds no symlink. O_CLOEXEC is always added. The descriptor or -errno (ELOOP: a symlink). */
export function openWithoutLinks(dirfd: number, path: ByteString, flags: number): number {
  return openat2(dirfd, path, flags, 0, withoutLinks);
}

function openat2(dirfd: number, path: ByteString, flags: number, mode: number, resolve: number): number {
  const bad = first.set(path);
  if (bad < 0) return bad;
  openHowWords[0] = flags | O_CLOEXEC;
  openHowWords[2] = mode;
  openHowWords[4] = resolve;
  for (;;) {
    const result = syscall4(nr.openat2, dirfd, first.address, openHowAddress, 24);
    // RACE: EAGAIN says that a rename elsewhere made `..` uncertain; the kernel asks us to try again.
    if (result !== -11) return result;
  }
}

/** Closes; an interrupted close has closed (close(2), NOTES), so it is not tried again. */
export function close(fd: number): number {
  return syscallOnce(nr.close, fd);
}

export function mkdirat(dirfd: number, name: ByteString, mode: number): number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  return syscall3(nr.mkdirat, dirfd, first.address, mode);
}

/** `mode` holds the S_IFMT bits: S_IFIFO, S_IFCHR, S_IFBLK. */
export function mknodat(dirfd: number, name: ByteString, mode: number, rdevMajor = 0, rdevMinor = 0): number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  // The kernel's 32-bit encoding (new_encode_dev in linux/kdev_t.h): 12 bits of major, 20 of minor.
  const device = ((rdevMinor & 0xff) | (rdevMajor << 8) | ((rdevMinor & ~0xff) << 12)) >>> 0;
  return syscall4(nr.mknodat, dirfd, first.address, mode, device);
}

export function symlinkat(target: ByteString, dirfd: number, name: ByteString): number {
  const bad = first.set(target) || second.set(name);
  if (bad < 0) return bad;
  return syscall3(nr.symlinkat, first.address, dirfd, second.address);
}

/** The target as a byte string, or -errno. An empty name reads the symlink that `dirfd` (O_PATH) refers to. */
export function readlinkat(dirfd: number, name: ByteString): ByteString | number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  const length = syscall4(nr.readlinkat, dirfd, first.address, scratchAddress, scratch.length);
  if (length < 0) return length;
  // A result that fills the buffer may have been cut.
  return length === scratch.length ? -ENAMETOOLONG : scratch.toString('latin1', 0, length);
}

export function linkat(
  oldDirfd: number,
  oldName: ByteString,
  newDirfd: number,
  newName: ByteString,
  flags = 0,
): number {
  const bad = first.set(oldName) || second.set(newName);
  if (bad < 0) return bad;
  return syscall5(nr.linkat, oldDirfd, first.address, newDirfd, second.address, flags);
}

/** Removes a name; a directory with AT_REMOVEDIR. */
export function unlinkat(dirfd: number, name: ByteString, flags = 0): number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  return syscall3(nr.unlinkat, dirfd, first.address, flags);
}

export function renameat2(
  oldDirfd: number,
  oldName: ByteString,
  newDirfd: number,
  newName: ByteString,
  flags = 0,
): number {
  const bad = first.set(oldName) || second.set(newName);
  if (bad < 0) return bad;
  return syscall5(nr.renameat2, oldDirfd, first.address, newDirfd, second.address, flags);
}

let hasFchmodat2 = true;

/** Changes the mode of a name, never through a symlink (EOPNOTSUPP for one). */
export function fchmodat(dirfd: number, name: ByteString, mode: number): number {
  if (hasFchmodat2) {
    const bad = first.set(name);
    if (bad < 0) return bad;
    const result = syscall4(nr.fchmodat2, dirfd, first.address, mode, AT_SYMLINK_NOFOLLOW);
    if (result !== -ENOSYS) return result;
    hasFchmodat2 = false;
  }
  // Before Linux 6.6 fchmodat follows symlinks; a descriptor of the object itself does not.
  const fd = openat(dirfd, name, O_PATH | O_NOFOLLOW);
  if (fd < 0) return fd;
  first.set(procPath(fd));
  const result = syscall3(nr.fchmodat, AT_FDCWD, first.address, mode);
  close(fd);
  return result;
}

/** Changes the owner of a name, of a symlink itself. -1 leaves an id as it is. */
export function fchownat(
  dirfd: number,
  name: ByteString,
  uid: number,
  gid: number,
  flags = AT_SYMLINK_NOFOLLOW,
): number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  return syscall5(nr.fchownat, dirfd, first.address, uid, gid, flags);
}

// struct timespec[2]: atime, mtime
const UTIME_OMIT = 0x3ffffffe;
const times = new BigInt64Array(new ArrayBuffer(32));
const timeWords = new Int32Array(times.buffer);
const timesAddress = addressOf(times);
timeWords[2] = UTIME_OMIT;

function setMtime(seconds: number, nanoseconds: number): void {
  const high = Math.floor(seconds / 2 ** 32);
  timeWords[4] = seconds - high * 2 ** 32;
  timeWords[5] = high;
  timeWords[6] = nanoseconds;
}

/** Sets the modification time of a name, of a symlink itself; the access time stays. */
export function utimensat(
  dirfd: number,
  name: ByteString,
  mtimeS: number,
  mtimeNs: number,
  flags = AT_SYMLINK_NOFOLLOW,
): number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  setMtime(mtimeS, mtimeNs);
  return syscall4(nr.utimensat, dirfd, first.address, timesAddress, flags);
}

/** Sets the modification time of an open file; the access time stays. */
export function futimens(fd: number, mtimeS: number, mtimeNs: number): number {
  setMtime(mtimeS, mtimeNs);
  return syscall4(nr.utimensat, fd, 0, timesAddress, 0);
}

export function fchmod(fd: number, mode: number): number {
  return syscall2(nr.fchmod, fd, mode);
}

/** Changes the owner of what a descriptor (O_PATH suffices) refers to. -1 leaves an id as it is. */
export function fchown(fd: number, uid: number, gid: number): number {
  return fchownat(fd, '', uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}
