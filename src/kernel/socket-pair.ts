// Connected sockets, for another process to have one end of.

import { syscall3, syscall4, syscall5 } from './ffi.ts';
import { scratch, scratchAddress } from './scratch.ts';
import { nr } from './syscall-numbers.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
// asm-generic/socket.h
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;
/** F_DUPFD_CLOEXEC (linux/fcntl.h) */
const duplicateClosing = 1030;

/** Two sockets, connected to each other (socketpair(2)), or -errno. */
export function socketpair(): readonly [number, number] | number {
  const result = syscall4(nr.socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, scratchAddress);
  return result < 0 ? result : [scratch.readInt32LE(0), scratch.readInt32LE(4)];
}

/**
 * Asks that so many bytes may wait between a socket of a pair and the other one. Without CAP_NET_ADMIN they are no more than the
 * system's limit (net.core.wmem_max). 0 or -errno.
 */
export function resizeSocket(fd: number, bytes: number): number {
  scratch.writeInt32LE(bytes, 0);
  const set = (option: number): number => syscall5(nr.setsockopt, fd, SOL_SOCKET, option, scratchAddress, 4);
  const forced = set(SO_SNDBUFFORCE);
  return forced === 0 ? 0 : set(SO_SNDBUF);
}

/** Another descriptor of what one refers to, or -errno. */
export function duplicate(fd: number): number {
  return syscall3(nr.fcntl, fd, duplicateClosing, 0);
}
