// A failure of one path is data; a failure of the session is an exception (errors.ts).

import { type ByteString, displayBytes } from './name.ts';

/** One path that could not be handled. */
export interface Problem {
  /** Relative to the root, as bytes; '' is the root. */
  readonly path: ByteString;
  /** What was being done, in a word or two: `read`, `write content`, `set owner`. */
  readonly action: string;
  /** errno name (`EACCES`), or a code of ours in lower case (`unsupported`). */
  readonly code: string;
}

/** A person mends these (owner and mode, `chattr -i`, a mount point, something mounted over a folder): what could not be done then can be done later. */
const mendable: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EBUSY', 'EXDEV']);

/** @param code of a problem */
export function isMendable(code: string): boolean {
  return mendable.has(code);
}

/** For people, on one line. */
export function sentenceOf({ path, action, code }: Problem): string {
  const shown = displayBytes(path);
  // Its content did not hold still for long enough to be read in one state.
  if (code === 'changing') return `${shown}: is written to all the time, and shown as far as it has come`;
  const meaning = meanings[code];
  return `${shown}: cannot ${action}: ${code}${meaning === undefined ? '' : ` (${meaning})`}`;
}

const meanings: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted to this user',
  ENOENT: 'it, or a folder above it, is not there',
  ENOTDIR: 'something that is no folder is in its path',
  EEXIST: 'something else is there',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left',
  EDQUOT: 'quota exceeded',
  EFBIG: 'too large for the file system there',
  ENAMETOOLONG: 'its name is too long for the file system there',
  EINVAL: 'the file system there does not take it',
  EILSEQ: 'the file system there does not take such names',
  EMLINK: 'too many links for the file system there',
  ELOOP: 'a link is in its place',
  EXDEV: 'something else is mounted there',
  EIO: 'input/output error: look at the disk',
  unmounted: 'its file system is not mounted',
  unsupported: 'the file system there lacks it',
  reserved: "the name is the replica's own",
};
