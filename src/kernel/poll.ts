// Waiting for descriptors, and the descriptor that wakes a waiting thread up.

import { EINTR } from './constants.ts';
import { addressOf, syscall2, syscall3, syscall5Interruptible } from './ffi.ts';
import { scratch, scratchAddress } from './scratch.ts';
import { nr } from './syscall-numbers.ts';

const POLLIN = 1;
const POLLPRI = 2;

/** More descriptors than any thread of ours waits for. */
const maxFds = 64;

// struct pollfd: s32 fd, s16 events, s16 revents; behind them struct timespec.
const words = new Int32Array(new ArrayBuffer(maxFds * 8 + 16));
const address = addressOf(words);
const timeoutAt = maxFds * 2;
const timeoutAddress = address + maxFds * 8;

/**
 * Waits until a descriptor is readable, has urgent data (mountinfo's sign of a change) or fails.
 * @param timeoutMs undefined: for ever; 0: only looks
 * @returns the indexes of those that are ready, [] after the timeout, or -errno
 */
export function poll(fds: readonly number[], timeoutMs?: number): number[] | number {
  if (fds.length > maxFds) throw new RangeError(`poll: at most ${maxFds} descriptors`);
  const deadline = timeoutMs === undefined ? Infinity : performance.now() + timeoutMs;
  for (let left = timeoutMs ?? 0; ; left = Math.max(0, deadline - performance.now())) {
    for (let i = 0; i < fds.length; i++) {
      words[2 * i] = fds[i] ?? -1;
      words[2 * i + 1] = POLLIN | POLLPRI;
    }
    const seconds = Math.floor(left / 1000);
    words[timeoutAt] = seconds;
    words[timeoutAt + 2] = Math.floor((left - seconds * 1000) * 1e6);
    const timeout = timeoutMs === undefined ? 0 : timeoutAddress;
    const result = syscall5Interruptible(nr.ppoll, address, fds.length, timeout, 0, 8);
    if (result === -EINTR) continue;
    if (result < 0) return result;
    const ready: number[] = [];
    for (let i = 0; i < fds.length; i++) {
      if ((words[2 * i + 1] ?? 0) >>> 16 !== 0) ready.push(i);
    }
    return ready;
  }
}

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

/** A counter that polls readable once signalled, from any thread, until drained. The descriptor or -errno. */
export function eventfd(): number {
  return syscall2(nr.eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/** Wakes whoever polls the descriptor. */
export function signalEventfd(fd: number): number {
  scratch.fill(0, 0, 8);
  scratch[0] = 1;
  return syscall3(nr.write, fd, scratchAddress, 8);
}

/** Makes it unreadable again. */
export function drainEventfd(fd: number): number {
  return syscall3(nr.read, fd, scratchAddress, 8);
}

const FIONREAD = 0x541b;

/** Bytes that wait in a pipe, socket or event queue, or -errno. */
export function fionread(fd: number): number {
  const result = syscall3(nr.ioctl, fd, FIONREAD, scratchAddress);
  return result < 0 ? result : scratch.readInt32LE(0);
}

/** F_SETPIPE_SZ (linux/fcntl.h) */
const setPipeSize = 1031;

/** Asks for a pipe that holds so many bytes; what is no pipe stays as it is. The bytes that it holds from now on, or -errno. */
export function resizePipe(fd: number, bytes: number): number {
  return syscall3(nr.fcntl, fd, setPipeSize, bytes);
}
