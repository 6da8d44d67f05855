// Listing a directory with getdents64(2), without building an array of a million entries.

import type { Name } from '../core/name.ts';
import { addressOf, syscall3 } from './ffi.ts';
import { nr } from './syscall-numbers.ts';

/** 64 KiB hold about 2,000 entries; larger ones gain nothing (the kernel fills at most what it has cached). */
const bufferBytes = 65536;

interface Listing {
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  readonly address: number;
}

// One buffer for each depth: a visitor may list another directory.
const listings: Listing[] = [];
let depth = 0;

function listingAt(index: number): Listing {
  let listing = listings[index];
  if (listing === undefined) {
    const memory = new ArrayBuffer(bufferBytes);
    const bytes = Buffer.from(memory);
    listing = { bytes, words: new Uint32Array(memory), address: addressOf(bytes) };
    listings[index] = listing;
  }
  return listing;
}

/** Called for each entry except `.` and `..`; `type` is DT_*. Returning false ends the listing. */
export type EntryVisitor = (name: Name, type: number, inoHigh: number, inoLow: number) => unknown;

/** The same with the name as it lies in the kernel's answer: `bytes` from `start` to `end`, until the visitor returns. */
export type RawEntryVisitor = (
  bytes: Buffer,
  start: number,
  end: number,
  type: number,
  inoHigh: number,
  inoLow: number,
) => unknown;

/**
 * Calls `visit` for each entry from the descriptor's position on (a fresh descriptor: the start), in the directory's order.
 * The number of entries visited, or -errno. Entries made or removed meanwhile may or may not show; the others show once.
 */
export function readDirectory(fd: number, visit: EntryVisitor): number {
  return readRawDirectory(fd, (bytes, start, end, type, inoHigh, inoLow) =>
    visit(nameOf(bytes, start, end), type, inoHigh, inoLow),
  );
}

/** The kernel's names are names: no slash, no NUL, at most 255 bytes. */
export function nameOf(bytes: Buffer, start: number, end: number): Name {
  return bytes.toString('latin1', start, end) as Name;
}

/** `readDirectory` for whoever makes no string of each name. */
export function readRawDirectory(fd: number, visit: RawEntryVisitor): number {
  const { bytes, words, address } = listingAt(depth);
  depth++;
  let count = 0;
  try {
    for (;;) {
      const length = syscall3(nr.getdents64, fd, address, bufferBytes);
      if (length <= 0) return length < 0 ? length : count;
      // struct linux_dirent64: u64 ino, s64 off, u16 reclen, u8 type, name; records are 8-aligned.
      for (let at = 0; at < length; ) {
        const word = at >>> 2;
        const recordLength = (words[word + 4] ?? 0) & 0xffff;
        const start = at + 19;
        let end = start;
        while (bytes[end] !== 0) end++;
        const isDot =
          bytes[start] === 0x2e && (end - start === 1 || (end - start === 2 && bytes[start + 1] === 0x2e));
        if (!isDot) {
          count++;
          const type = bytes[at + 18] ?? 0;
          if (visit(bytes, start, end, type, words[word + 1] ?? 0, words[word] ?? 0) === false) return count;
        }
        at += recordLength;
      }
    }
  } finally {
    depth--;
  }
}

export interface DirectoryEntry {
  readonly name: Name;
  readonly type: number;
  readonly inoHigh: number;
  readonly inoLow: number;
}

/** The whole listing as an array, or -errno: for directories that are known to be small. */
export function getdents(fd: number): DirectoryEntry[] | number {
  const entries: DirectoryEntry[] = [];
  const result = readDirectory(fd, (name, type, inoHigh, inoLow) => {
    entries.push({ name, type, inoHigh, inoLow });
  });
  return result < 0 ? result : entries;
}
