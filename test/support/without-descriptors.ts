// A process that has no descriptor left, as under `ulimit -n`.

import { addressOf, syscall4 } from '../../src/kernel/ffi.ts';
import { AT_FDCWD, check, close, O_RDONLY, openat } from '../../src/kernel/sys.ts';

const prlimit64 = process.arch === 'x64' ? 302 : 261;
const RLIMIT_NOFILE = 7;

/** Acts while this process can open no more than `free` descriptors besides those it has. Synchronous, so that nobody else is in want of one. */
export function withoutDescriptors<T>(act: () => T, free = 0): T {
  const limits = new BigUint64Array(4);
  const [wanted, former] = [addressOf(limits), addressOf(limits) + 16];
  const taken: number[] = [];
  while (taken.length <= free) taken.push(check(openat(AT_FDCWD, '/', O_RDONLY), 'open'));
  for (const fd of taken) close(fd);
  check(syscall4(prlimit64, 0, RLIMIT_NOFILE, 0, former), 'prlimit');
  // Descriptors are given out from below.
  limits[0] = BigInt(taken.at(-1) ?? 0);
  limits[1] = limits[3] ?? 0n;
  check(syscall4(prlimit64, 0, RLIMIT_NOFILE, wanted, 0), 'prlimit');
  try {
    return act();
  } finally {
    check(syscall4(prlimit64, 0, RLIMIT_NOFILE, former, 0), 'prlimit');
  }
}
