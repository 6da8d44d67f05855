// Waiting for any number of descriptors (epoll(7)), level-triggered.

import { EBADF, EEXIST, EINTR, ENOENT, EPERM } from './constants.ts';
import { close } from './entry-calls.ts';
import { addressOf, syscall1, syscall4, syscall5Interruptible } from './ffi.ts';
import { check } from './sys-error.ts';
import { nr } from './syscall-numbers.ts';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLLPRI = 2;

/** What one `wait` finds. */
export const maxEvents = 64;
/** struct epoll_event is packed on x86-64 only: u32 events, u64 data. */
const eventWords = process.arch === 'x64' ? 3 : 4;
const dataWord = process.arch === 'x64' ? 1 : 2;

const words = new Uint32Array(new ArrayBuffer(maxEvents * eventWords * 4));
const address = addressOf(words);

/** A set of descriptors for one thread; they stay the caller's. `close` is idempotent. */
export class Epoll implements Disposable {
  /** Itself pollable: readable when one of the set is. */
  readonly fd: number;
  #closed = false;

  constructor() {
    this.fd = check(syscall1(nr.epollCreate1, EPOLL_CLOEXEC), 'epoll_create');
  }

  /** Adding a member again does nothing. */
  add(fd: number): void {
    words[0] = EPOLLIN | EPOLLPRI;
    words[dataWord] = fd;
    words[dataWord + 1] = 0;
    const result = syscall4(nr.epollCtl, this.fd, EPOLL_CTL_ADD, fd, address);
    if (result !== -EEXIST) check(result, 'epoll_ctl');
  }

  /** Also of one that has been closed, which left the set by that. */
  remove(fd: number): void {
    const result = syscall4(nr.epollCtl, this.fd, EPOLL_CTL_DEL, fd, address);
    // EPERM: its number is by now that of a directory, or of something else that cannot be waited for.
    if (result < 0 && result !== -ENOENT && result !== -EBADF && result !== -EPERM)
      check(result, 'epoll_ctl');
  }

  /**
   * The descriptors that are readable, at most `maxEvents`; [] after the timeout.
   * @param timeoutMs undefined: for ever; fractions are rounded up
   */
  wait(timeoutMs?: number): number[] {
    const deadline = timeoutMs === undefined ? Infinity : performance.now() + timeoutMs;
    for (let left = timeoutMs ?? -1; ; left = Math.max(0, deadline - performance.now())) {
      const timeout = timeoutMs === undefined ? -1 : Math.ceil(left);
      const result = syscall5Interruptible(nr.epollPwait, this.fd, address, maxEvents, timeout, 0);
      if (result === -EINTR) continue;
      check(result, 'epoll_wait');
      const ready: number[] = [];
      for (let i = 0; i < result; i++) ready.push(words[i * eventWords + dataWord] ?? -1);
      return ready;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
