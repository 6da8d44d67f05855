// A folder that moves during a first contact is listed again. By then a name in it may be another inode's than the one that was recorded
// there, whose new place the journal brings.

import { type InodeId, Kind } from '../core/attributes.ts';
import type { Place } from '../core/plan-operation.ts';
import { RENAME_NOREPLACE, renameat2, Stat, statx } from '../kernel/sys.ts';
import type { Applier } from './applier.ts';
import { isSameIdentity } from './local-identity.ts';

/**
 * Takes a name away from the inode that was recorded there; inside a transaction. A folder waits in limbo with all that is in it. A file stays
 * where it is until its successor has come (I2); if that was its only name, it is forgotten, and asked for when it is told of again.
 * @param dirfd the directory of the place
 * @returns nothing is at the name any more
 */
export function leaveName(applier: Applier, dirfd: number, place: Place, id: InodeId): boolean {
  const { records, limbo, home } = applier;
  const record = records.store.inode(id);
  const stat = new Stat();
  const isInLimbo =
    record?.kind === Kind.directory &&
    statx(dirfd, place.name, stat) === 0 &&
    isSameIdentity(record, stat) &&
    renameat2(dirfd, place.name, home.limboFd, String(id), RENAME_NOREPLACE) === 0;
  if (isInLimbo) {
    limbo.add(String(id), records.pathAt(place));
    applier.setPlace(id, { at: 'limbo', id });
  }
  records.takeName(place, isInLimbo);
  return isInLimbo;
}
