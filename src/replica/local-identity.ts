// Which object of the local file system something is, and whether it still is that one.

import type { Stat } from '../kernel/sys.ts';
import type { LocalIdentity } from '../tree/records.ts';

export function identityOf(stat: Stat): LocalIdentity {
  return { dev: stat.dev, inoHigh: stat.inoHigh, inoLow: stat.inoLow, birth: stat.birth };
}

export function isSameIdentity(identity: LocalIdentity, stat: Stat): boolean {
  return (
    identity.inoLow === stat.inoLow &&
    identity.inoHigh === stat.inoHigh &&
    identity.dev === stat.dev &&
    identity.birth === stat.birth
  );
}
