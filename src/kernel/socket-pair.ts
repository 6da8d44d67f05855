// Connected sockets, for another process to have one end of.

import { syscall3, syscall4 } from './ffi.ts';
import { scratch, scratchAddress } from './scratch.ts';
import { nr } from './syscall-numbers.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
/** F_DUPFD_CLOEXEC (linux/fcntl.h) */
const duplicateClosing = 1030;

/** Two sockets, connected to each other (socketpair(2)), or -errno. */
export function socketpair(): readonly [number, number] | number {
  const result = syscall4(nr.socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, scratchAddress);
  return result < 0 ? result : [scratch.readInt32LE(0), scratch.readInt32LE(4)];
}

/** Another descriptor of what one refers to, or -errno. */
export function duplicate(fd: number): number {
  return syscall3(nr.fcntl, fd, duplicateClosing, 0);
}
