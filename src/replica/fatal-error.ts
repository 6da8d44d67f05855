// What an error means for more than its path. Those that no other path would escape end the session, and the batch is applied again later.

import { FamError } from '../core/errors.ts';
import { EDQUOT, EIO, EMFILE, ENOSPC, EROFS, errnoName } from '../kernel/sys.ts';

const fatal: ReadonlySet<number> = new Set([ENOSPC, EDQUOT, EROFS, EIO, EMFILE]);

/**
 * @param result what a system call on the tree at `root` returned: -errno
 * @throws FamError DISK_FULL, DESTINATION_UNWRITABLE, INTERNAL
 */
export function throwIfFatal(root: string, result: number): void {
  if (fatal.has(-result)) throw fatalError(root, result);
}

/** No room, or none that this user may have. */
export function isFull(result: number): boolean {
  return result === -ENOSPC || result === -EDQUOT;
}

export function fatalError(root: string, result: number): FamError {
  const code = errnoName(result);
  if (isFull(result)) {
    const what = result === -ENOSPC ? 'the file system is full' : 'the quota is used up';
    return new FamError('DISK_FULL', `cannot write to ${root}: ${what} (${code}): make room there`, {
      retryable: true,
    });
  }
  if (result === -EROFS) {
    return new FamError('DESTINATION_UNWRITABLE', `${root} has become read-only (${code})`, {
      retryable: true,
    });
  }
  return new FamError('INTERNAL', `cannot write to ${root}: ${code}`, { retryable: true });
}
