// What a mapped file takes of this process's resident memory, and how to give it back.

import { readFileSync } from 'node:fs';
import { syscall3 } from './ffi.ts';
import { nr } from './syscall-numbers.ts';

const MADV_DONTNEED = 4;

/**
 * Takes the pages of a file that is mapped read-only, shared, out of this process's resident set (madvise(2)). They stay in the
 * kernel's page cache, and come back at the next access. Any thread may read the mapping meanwhile.
 * @param path as the kernel shows it in /proc/self/maps: absolute, without links
 * @returns bytes of address space that were advised
 */
export function releaseMapped(path: string): number {
  let bytes = 0;
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    // start-end perms offset dev inode path
    const match = /^([0-9a-f]+)-([0-9a-f]+) r-.s \S+ \S+ \d+ +(.*)$/.exec(line);
    if (match === null || match[3] !== path) continue;
    const start = Number.parseInt(match[1] ?? '', 16);
    const length = Number.parseInt(match[2] ?? '', 16) - start;
    if (syscall3(nr.madvise, start, length, MADV_DONTNEED) === 0) bytes += length;
  }
  return bytes;
}
