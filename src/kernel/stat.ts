// statx(2) into plain numbers.

import type { ByteString } from '../core/name.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_SYMLINK_NOFOLLOW,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from './constants.ts';
import { addressOf, syscall5 } from './ffi.ts';
import { first } from './scratch.ts';
import { nr } from './syscall-numbers.ts';

/** STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID */
const mask = 0x7ff | 0x800 | 0x1000;
const STATX_BTIME = 0x800;
const STATX_ATTR_IMMUTABLE = 0x10;
const STATX_ATTR_APPEND = 0x20;
const STATX_ATTR_MOUNT_ROOT = 0x2000;

/** STATX_MNT_ID; STATX_MNT_ID_UNIQUE (Linux 6.8) in its place makes the kernel tell a number that is never given out again. */
const mountIdMask = 0x1000;
const uniqueIdMask = 0x4000;
/** What is known of the inode suffices: no server is asked. */
export const AT_STATX_DONT_SYNC = 0x4000;

const two32 = 2 ** 32;

// struct statx is 256 bytes (linux/stat.h); the numbers below are offsets in 32-bit words.
const words = new Uint32Array(new ArrayBuffer(256));
const signedWords = new Int32Array(words.buffer);
const address = addressOf(words);

/** What statx tells of one inode. Made once and filled again and again: copy what you keep. */
export class Stat {
  /** S_IFMT bits: S_IFREG, S_IFDIR, ... */
  type = 0;
  /** Permission bits with set-id and sticky: 0..0o7777. */
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  size = 0;
  /** 512-byte blocks that are allocated. */
  blocks = 0;
  /** The 64-bit inode number in two unsigned halves. */
  inoHigh = 0;
  inoLow = 0;
  /** major * 2^32 + minor */
  dev = 0;
  rdevMajor = 0;
  rdevMinor = 0;
  mtimeS = 0;
  mtimeNs = 0;
  ctimeS = 0;
  ctimeNs = 0;
  /** Birth time; both 0 where the file system has none. */
  btimeS = 0;
  btimeNs = 0;
  /** The mount, as in /proc/self/mountinfo; 0 before Linux 5.8. */
  mountId = 0;
  /** The directory that a file system is mounted on (the root of that mount). */
  isMountRoot = false;
  /** Set by `chattr +i` or `+a`. */
  isLocked = false;

  get isFile(): boolean {
    return this.type === S_IFREG;
  }
  get isDirectory(): boolean {
    return this.type === S_IFDIR;
  }
  get isSymlink(): boolean {
    return this.type === S_IFLNK;
  }
  /** Birth time folded to 32 bits, never 0 where there is one (`LocalIdentity.birth`). */
  get birth(): number {
    if (this.btimeS === 0 && this.btimeNs === 0) return 0;
    return (Math.imul(this.btimeS | 0, 0x9e3779b1) ^ this.btimeNs) >>> 0 || 1;
  }
  isSameInode(other: Stat): boolean {
    return this.inoLow === other.inoLow && this.inoHigh === other.inoHigh && this.dev === other.dev;
  }
}

function word(index: number): number {
  return words[index] ?? 0;
}

function unsigned64(index: number): number {
  return word(index + 1) * two32 + word(index);
}

function signed64(index: number): number {
  return (signedWords[index + 1] ?? 0) * two32 + word(index);
}

function decode(out: Stat): void {
  const typeAndMode = word(7) & 0xffff;
  out.type = typeAndMode & S_IFMT;
  out.mode = typeAndMode & 0o7777;
  out.nlink = word(4);
  out.uid = word(5);
  out.gid = word(6);
  out.inoLow = word(8);
  out.inoHigh = word(9);
  out.size = unsigned64(10);
  out.blocks = unsigned64(12);
  const hasBirth = (word(0) & STATX_BTIME) !== 0;
  out.btimeS = hasBirth ? signed64(20) : 0;
  out.btimeNs = hasBirth ? word(22) : 0;
  out.ctimeS = signed64(24);
  out.ctimeNs = word(26);
  out.mtimeS = signed64(28);
  out.mtimeNs = word(30);
  out.rdevMajor = word(32);
  out.rdevMinor = word(33);
  out.dev = word(34) * two32 + word(35);
  out.mountId = unsigned64(36);
  out.isMountRoot = (word(2) & STATX_ATTR_MOUNT_ROOT) !== 0;
  out.isLocked = (word(2) & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) !== 0;
}

/** Reads the attributes of a name, of a symlink itself unless `flags` say otherwise. 0 or negative errno. */
export function statx(
  dirfd: number,
  name: ByteString,
  out: Stat,
  flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
): number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  const result = syscall5(nr.statx, dirfd, first.address, flags, mask, address);
  if (result === 0) decode(out);
  return result;
}

/** Reads the attributes of what a descriptor (O_PATH suffices) refers to. 0 or negative errno. */
export function fstat(fd: number, out: Stat): number {
  return statx(fd, '', out, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

const found = new Stat();

/** Whether a path leads, through symlinks too, to this inode. */
export function leadsTo(path: ByteString, inode: Stat): boolean {
  return statx(AT_FDCWD, path, found, AT_NO_AUTOMOUNT) === 0 && found.isSameInode(inode);
}

/**
 * What tells the mount at a path from every other one that ever was, though it may have the number `mountId` of one that has gone.
 * undefined: the kernel does not say, or the path leads to another mount. Asks no server.
 */
export function uniqueMountId(path: ByteString, mountId: number): number | undefined {
  const bad = first.set(path);
  const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  const ask = (what: number): number | undefined => {
    const result = syscall5(nr.statx, AT_FDCWD, first.address, flags, what, address);
    return result === 0 && (word(0) & what) !== 0 ? unsigned64(36) : undefined;
  };
  return bad < 0 || ask(mountIdMask) !== mountId ? undefined : ask(uniqueIdMask);
}
