// What a caller asks for, as the absolute path that it means.

import { lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { codeOf, FamError } from '../core/errors.ts';
import { type ByteString, bytesOfText, displayBytes } from '../core/name.ts';

/** Absolute, without `.` and `..`. Throws a FamError: USAGE, or SOURCE_MISSING where the working directory is gone. */
export function requestedPath(path: string | Uint8Array): ByteString {
  const bytes = typeof path === 'string' ? bytesOfText(path) : Buffer.from(path).toString('latin1');
  if (bytes === '' || bytes.includes('\0'))
    throw new FamError('USAGE', 'watch: a path is not empty and holds no NUL');
  let at = bytes.startsWith('/') ? '' : workingDirectory(bytes);
  for (const name of bytes.split('/')) {
    if (name === '..') at = parentOf(at);
    else if (name !== '' && name !== '.') at = `${at}/${name}`;
  }
  return at === '' ? '/' : at;
}

/** '' is the root. */
function workingDirectory(path: ByteString): ByteString {
  try {
    const cwd = process.cwd();
    // Which has lost what is not UTF-8.
    if (cwd.includes('\ufffd')) return readlinkSync('/proc/self/cwd', 'latin1');
    return cwd === '/' ? '' : bytesOfText(cwd);
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw cause;
    const message = `cannot watch ${displayBytes(path)}: the working directory has been deleted`;
    throw new FamError('SOURCE_MISSING', message, { cause });
  }
}

/** As the kernel sees it: that of a symlink is the parent of what it leads to. What is not there is refused later. */
function parentOf(path: ByteString): ByteString {
  let real = path;
  try {
    const asBytes = Buffer.from(path, 'latin1');
    if (lstatSync(asBytes).isSymbolicLink()) real = realpathSync.native(asBytes, 'latin1');
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
  }
  return real.slice(0, Math.max(0, real.lastIndexOf('/')));
}
