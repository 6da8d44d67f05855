// Extended attributes, POSIX ACLs among them (`system.posix_acl_*`), of descriptors and of names without
// following symlinks.

import type { ByteString } from '../core/name.ts';
import { procPath } from './entry-calls.ts';
import { addressOf, syscall2, syscall3, syscall4, syscall5 } from './ffi.ts';
import { first, scratch, scratchAddress, second } from './scratch.ts';
import { nr } from './syscall-numbers.ts';

/** There are no calls by directory and name before Linux 6.13; /proc gives the same, race-free. */
function entryPath(dirfd: number, name: ByteString): ByteString {
  return `${procPath(dirfd)}/${name}`;
}

function names(length: number): ByteString[] | number {
  if (length < 0) return length;
  if (length === 0) return [];
  return scratch.toString('latin1', 0, length - 1).split('\0');
}

function value(length: number): Uint8Array | number {
  return length < 0 ? length : new Uint8Array(scratch.subarray(0, length));
}

/** Names in the kernel's order, or -errno (EOPNOTSUPP: the file system has none). */
export function flistxattr(fd: number): ByteString[] | number {
  return names(syscall3(nr.flistxattr, fd, scratchAddress, scratch.length));
}

/** A copy of the value, or -errno (ENODATA: no such attribute). */
export function fgetxattr(fd: number, name: ByteString): Uint8Array | number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  return value(syscall4(nr.fgetxattr, fd, first.address, scratchAddress, scratch.length));
}

export function fsetxattr(fd: number, name: ByteString, bytes: Uint8Array, flags = 0): number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  return syscall5(nr.fsetxattr, fd, first.address, addressOf(bytes), bytes.length, flags);
}

export function fremovexattr(fd: number, name: ByteString): number {
  const bad = first.set(name);
  if (bad < 0) return bad;
  return syscall2(nr.fremovexattr, fd, first.address);
}

/** Like `flistxattr` for a name; a symlink's own. */
export function listxattrat(dirfd: number, name: ByteString): ByteString[] | number {
  const bad = first.set(entryPath(dirfd, name));
  if (bad < 0) return bad;
  return names(syscall3(nr.llistxattr, first.address, scratchAddress, scratch.length));
}

export function getxattrat(dirfd: number, name: ByteString, attribute: ByteString): Uint8Array | number {
  const bad = first.set(entryPath(dirfd, name)) || second.set(attribute);
  if (bad < 0) return bad;
  return value(syscall4(nr.lgetxattr, first.address, second.address, scratchAddress, scratch.length));
}

export function setxattrat(
  dirfd: number,
  name: ByteString,
  attribute: ByteString,
  bytes: Uint8Array,
  flags = 0,
): number {
  const bad = first.set(entryPath(dirfd, name)) || second.set(attribute);
  if (bad < 0) return bad;
  return syscall5(nr.lsetxattr, first.address, second.address, addressOf(bytes), bytes.length, flags);
}

export function removexattrat(dirfd: number, name: ByteString, attribute: ByteString): number {
  const bad = first.set(entryPath(dirfd, name)) || second.set(attribute);
  if (bad < 0) return bad;
  return syscall2(nr.lremovexattr, first.address, second.address);
}
