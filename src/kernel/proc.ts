// Small files of procfs(5).

import type { ByteString } from '../core/name.ts';
import { AT_FDCWD, O_RDONLY } from './constants.ts';
import { read } from './content-calls.ts';
import { close, openat } from './entry-calls.ts';

const bytes = Buffer.from(new ArrayBuffer(1024));

/** The first KiB of it, valid until the next call; undefined: the process has ended, or is not ours to see. */
export function readProc(path: ByteString): Buffer | undefined {
  const fd = openat(AT_FDCWD, path, O_RDONLY);
  if (fd < 0) return undefined;
  const length = read(fd, bytes);
  close(fd);
  return length < 0 ? undefined : bytes.subarray(0, length);
}
