// Whether the tree is the one that the records describe. It is another one after it was restored from a backup, copied to another disk, or
// when its file system got another device number: then no record can be gone by, and everything has to be compared.

import { rootId } from '../core/attributes.ts';
import { Stat, statx } from '../kernel/sys.ts';
import type { Home } from './home.ts';
import { isSameIdentity } from './local-identity.ts';
import type { Records } from './records.ts';

/** Names at the top that are looked at: enough to tell a replaced tree from one in which somebody changed a few files. */
const maxLooks = 256;

/** True when the root, and most of what is recorded at its top, is there. Costs a millisecond at most. */
export function isFamiliar(home: Home, { store }: Records): boolean {
  const stat = new Stat();
  const root = store.inode(rootId);
  if (root === undefined || statx(home.rootFd, '.', stat) < 0 || !isSameIdentity(root, stat)) return false;
  let looks = 0;
  let familiar = 0;
  for (const { name, id } of store.list(rootId)) {
    const record = store.inode(id);
    // Nothing of it is known where it could not be made.
    if (record === undefined || (record.inoLow === 0 && record.inoHigh === 0)) continue;
    looks += 1;
    if (statx(home.rootFd, name, stat) === 0 && isSameIdentity(record, stat)) familiar += 1;
    if (looks === maxLooks) break;
  }
  return familiar * 2 >= looks;
}
