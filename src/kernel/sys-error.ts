// What a system call's negative result means, for people and for programs.

import { constants } from 'node:os';
import { type ByteString, displayBytes } from '../core/name.ts';
import { EMFILE, ENFILE } from './constants.ts';

const names = new Map<number, string>();
for (const [name, errno] of Object.entries(constants.errno)) names.set(errno, name);
// libuv's list has two names for one number, or lacks it; file systems return these.
names.set(11, 'EAGAIN').set(95, 'EOPNOTSUPP').set(117, 'EUCLEAN');

/** The name of an errno, given positive or negative: `ENOENT`. */
export function errnoName(errno: number): string {
  const positive = Math.abs(errno);
  return names.get(positive) ?? `E${positive}`;
}

/** A system call that failed where the caller cannot go on. */
export class SysError extends Error {
  override readonly name = 'SysError';
  readonly errno: number;
  /** `ENOENT` */
  readonly code: string;
  /** What was being done, in a word or two. */
  readonly action: string;
  readonly path: ByteString;

  constructor(errno: number, action: string, path: ByteString = '') {
    const code = errnoName(errno);
    super(path === '' ? `${action}: ${code}` : `${action} ${displayBytes(path)}: ${code}`);
    this.errno = Math.abs(errno);
    this.code = code;
    this.action = action;
    this.path = path;
  }
}

/** Passes a result >= 0 through; throws a SysError for a negative errno. */
export function check(result: number, action: string, path: ByteString = ''): number {
  if (result < 0) throw new SysError(result, action, path);
  return result;
}

/** Whether a call failed because this process, or the whole system, has no descriptor left: later it may not. */
export function isStarved(result: number): boolean {
  return result === -EMFILE || result === -ENFILE;
}
