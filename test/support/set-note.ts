// An extended attribute, for tests that want something to change which neither size nor time tells of.

import { closeSync, constants, openSync } from 'node:fs';
import * as sys from '../../src/kernel/sys.ts';

const name = 'user.note';

/** Of a file or a folder. */
export function setNote(path: string, value = 'new'): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const result = sys.fsetxattr(fd, name, Buffer.from(value));
  closeSync(fd);
  sys.check(result, 'setxattr', path);
}

/** '' where there is none. */
export function noteOf(path: Buffer): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const value = sys.fgetxattr(fd, name);
  closeSync(fd);
  return typeof value === 'number' ? '' : Buffer.from(value).toString();
}
