// The only file that imports koffi. Everything goes through libc's `syscall`, which glibc and musl both
// have, with 64-bit integers for all arguments: addresses travel as numbers (user space ends below 2^48).
// Declaring a variadic function with fixed integer arguments is right on x86-64, arm64 and riscv64.

import koffi from 'koffi';

const EINTR = 4;

function loadLibc() {
  try {
    return koffi.load('libc.so.6');
  } catch {
    // musl: the loader is the library.
    return koffi.load(`/lib/ld-musl-${process.arch === 'x64' ? 'x86_64' : 'aarch64'}.so.1`);
  }
}

type Raw = (...args: number[]) => number;

const libc = loadLibc();
function declare(count: number): Raw {
  return libc.func('syscall', 'int64', new Array<string>(count + 1).fill('int64'));
}
const raw1 = declare(1);
const raw2 = declare(2);
const raw3 = declare(3);
const raw4 = declare(4);
const raw5 = declare(5);
const raw6 = declare(6);

/** Makes one system call that must not be repeated when a signal interrupts it (close). */
export function syscallOnce(nr: number, a: number): number {
  const result = raw1(nr, a);
  return result === -1 ? -koffi.errno() : result;
}

export function syscall1(nr: number, a: number): number {
  for (;;) {
    const result = raw1(nr, a);
    if (result !== -1) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) return -errno;
  }
}

export function syscall2(nr: number, a: number, b: number): number {
  for (;;) {
    const result = raw2(nr, a, b);
    if (result !== -1) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) return -errno;
  }
}

export function syscall3(nr: number, a: number, b: number, c: number): number {
  for (;;) {
    const result = raw3(nr, a, b, c);
    if (result !== -1) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) return -errno;
  }
}

export function syscall4(nr: number, a: number, b: number, c: number, d: number): number {
  for (;;) {
    const result = raw4(nr, a, b, c, d);
    if (result !== -1) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) return -errno;
  }
}

export function syscall5(nr: number, a: number, b: number, c: number, d: number, e: number): number {
  for (;;) {
    const result = raw5(nr, a, b, c, d, e);
    if (result !== -1) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) return -errno;
  }
}

export function syscall6(
  nr: number,
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
  f: number,
): number {
  for (;;) {
    const result = raw6(nr, a, b, c, d, e, f);
    if (result !== -1) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) return -errno;
  }
}

/** Like `syscall5`, but an interruption is returned as -EINTR: for calls with a timeout. */
export function syscall5Interruptible(
  nr: number,
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
): number {
  const result = raw5(nr, a, b, c, d, e);
  return result === -1 ? -koffi.errno() : result;
}

/**
 * Where a typed array's first byte is. Valid while the caller holds the array: asking for it moves the
 * bytes out of the garbage-collected heap for good.
 */
export function addressOf(bytes: NodeJS.TypedArray): number {
  return Number(koffi.address(bytes));
}
