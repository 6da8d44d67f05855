// Who has a file open for writing, and how: the kernel's word (a lease), and what /proc shows of the processes that we may look at.

import type { ByteString } from '../core/name.ts';
import {
  AT_FDCWD,
  EAGAIN,
  O_APPEND,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from './constants.ts';
import { readDirectory } from './directory.ts';
import { close, openat, readlinkat } from './entry-calls.ts';
import { syscall3 } from './ffi.ts';
import { readProc } from './proc.ts';
import { Stat, statx } from './stat.ts';
import { nr } from './syscall-numbers.ts';

// linux/fcntl.h, asm-generic/fcntl.h
const F_SETSIG = 10;
const F_SETLEASE = 1024;
const F_RDLCK = 0;
const F_UNLCK = 2;
/** Ignored unless somebody listens; the default, SIGIO, would end the process. */
const SIGURG = 23;

/**
 * Whether anybody at all has a regular file, open here for reading, open for writing: the kernel grants a read lease only where nobody has
 * (fcntl(2)). undefined: it does not say (somebody else's file, a network file system). RACE: whoever opens it for writing meanwhile waits
 * for the microseconds until the lease is given back.
 */
export function hasWriter(fd: number): boolean | undefined {
  const result = leaseRefused(fd);
  if (result === false) syscall3(nr.fcntl, fd, F_SETLEASE, F_UNLCK);
  return result;
}

/** The same of a name; undefined also when it cannot be opened. */
export function isOpenForWriting(dirfd: number, name: ByteString): boolean | undefined {
  const fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return undefined;
  const result = leaseRefused(fd);
  // The lease goes with it.
  close(fd);
  return result;
}

/** false: the lease is held. */
function leaseRefused(fd: number): boolean | undefined {
  syscall3(nr.fcntl, fd, F_SETSIG, SIGURG);
  const result = syscall3(nr.fcntl, fd, F_SETLEASE, F_RDLCK);
  if (result === 0) return false;
  return result === -EAGAIN ? true : undefined;
}

/** `append`: all that is written goes to the end, as logs are; `anywhere`: as uploads and databases are. */
export type WriteMode = 'append' | 'anywhere';

/** A process that has a file open for writing, and how. */
export interface Writer {
  readonly pid: number;
  readonly mode: WriteMode;
}

const stat = new Stat();

/**
 * Who has a file open for writing; where there are several, one that writes anywhere. undefined: none that we may look at has it open.
 * @param inode what the file is, and `name` its last name
 * @param pids to look at first; where one of them has it open, no other is looked at
 * @param most gives up after so many descriptors: the search takes some 3 us for each
 */
export function writerOf(
  inode: Stat,
  name: ByteString,
  pids: Iterable<number>,
  most: number,
): Writer | undefined {
  const left = { descriptors: most };
  for (const pid of pids) {
    const mode = modeIn(pid, inode, name, left);
    if (mode !== undefined) return { pid, mode };
  }
  const proc = openat(AT_FDCWD, '/proc', O_RDONLY | O_DIRECTORY);
  if (proc < 0) return undefined;
  let found: Writer | undefined;
  readDirectory(proc, (entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) return true;
    const mode = modeIn(pid, inode, name, left);
    if (mode !== undefined) found = { pid, mode };
    return mode !== 'anywhere' && left.descriptors > 0;
  });
  close(proc);
  return found;
}

function modeIn(
  pid: number,
  inode: Stat,
  name: ByteString,
  left: { descriptors: number },
): WriteMode | undefined {
  const fds = openat(AT_FDCWD, `/proc/${pid}/fd`, O_RDONLY | O_DIRECTORY);
  if (fds < 0) return undefined;
  let found: WriteMode | undefined;
  readDirectory(fds, (fd) => {
    left.descriptors -= 1;
    // Only what has the name is asked what it is: that may hang where a server on the network does not answer.
    const path = readlinkat(fds, fd);
    const isNamedSo = typeof path !== 'number' && path.endsWith(`/${name}`);
    if (isNamedSo && statx(fds, fd, stat, 0) === 0 && stat.isSameInode(inode)) {
      found = modeOf(pid, fd) ?? found;
    }
    return found !== 'anywhere' && left.descriptors > 0;
  });
  close(fds);
  return found;
}

function modeOf(pid: number, fd: string): WriteMode | undefined {
  const info = readProc(`/proc/${pid}/fdinfo/${fd}`);
  const flags = /^flags:\s*([0-7]+)/m.exec(info?.toString('latin1') ?? '')?.[1];
  if (flags === undefined) return undefined;
  const value = Number.parseInt(flags, 8);
  if ((value & (O_WRONLY | O_RDWR)) === 0) return undefined;
  return (value & O_APPEND) === 0 ? 'anywhere' : 'append';
}
