// How writers get at files: what cannot be had is an error with a code, which is counted and not fatal.

import { closeSync, constants, fstatSync, mkdirSync, openSync } from 'node:fs';
import type { ByteString } from '../../src/core/name.ts';

export const bytes = (path: ByteString): Buffer => Buffer.from(path, 'latin1');

const cell = new Int32Array(new SharedArrayBuffer(4));
/** Blocks the whole writer: it has nothing else to do. */
export function sleep(ms: number): void {
  if (ms > 0) Atomics.wait(cell, 0, 0, ms);
}

class Failed extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export function must(result: number): void {
  if (result < 0) throw new Failed(`errno ${-result}`);
}

/** Opens a regular file and nothing else: a FIFO would block, a device is not ours. The caller closes it. */
export function openFile(path: ByteString, flags: number): number {
  const fd = openSync(bytes(path), flags | constants.O_NONBLOCK, 0o644);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new Failed('not a file');
}

export function withFile(path: ByteString, flags: number, use: (fd: number) => void): void {
  const fd = openFile(path, flags);
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}

export function mkdirs(path: ByteString): void {
  for (let end = path.indexOf('/', 1); ; end = path.indexOf('/', end + 1)) {
    try {
      mkdirSync(bytes(end < 0 ? path : path.slice(0, end)));
    } catch {
      // It is there, or what is there is in the way: the next one will tell.
    }
    if (end < 0) return;
  }
}
