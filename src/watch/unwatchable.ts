// Why a path that was asked for cannot be watched, in words.

import { FamError } from '../core/errors.ts';
import { type ByteString, displayBytes } from '../core/name.ts';
import { EACCES, ELOOP, ENOENT, ENOTDIR } from '../kernel/constants.ts';
import { errnoName } from '../kernel/sys-error.ts';

const words = new Map<number, string>([
  [ENOENT, 'no such file or directory'],
  [ENOTDIR, 'what leads there is not a directory'],
  [ELOOP, 'too many symlinks'],
  [EACCES, 'no permission'],
]);

/** @param errno positive or negative */
export function unwatchable(path: ByteString, errno: number): FamError {
  const positive = Math.abs(errno);
  const code = [ENOENT, ENOTDIR, ELOOP].includes(positive) ? 'SOURCE_MISSING' : 'SOURCE_UNREADABLE';
  const why = words.get(positive) ?? errnoName(positive);
  return new FamError(code, `cannot watch ${displayBytes(path)}: ${why}`);
}
