// Whether the tree is the one that the records describe. It is another one after it was restored from a backup, copied to another disk, or
// when its file system got another device number: then no record can be gone by, and everything has to be compared.

import { type InodeId, Kind, rootId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import type { Plan } from '../core/plan-operation.ts';
import { ENAMETOOLONG, Stat, statx } from '../kernel/sys.ts';
import type { InodeRecord } from '../tree/records.ts';
import type { TreeStore } from '../tree/store.ts';
import type { Home } from './home.ts';
import { isSameIdentity } from './local-identity.ts';
import type { Records, ReplicaMemory } from './records.ts';

/** Names at the top that are looked at: enough to tell a replaced tree from one in which somebody changed a few files. */
const maxLooks = 256;
/** Of the files that came last: whoever restores a backup in place, and rewrites what differs, puts these back in time. */
const maxLatest = 64;

/**
 * True when the root, most of what is recorded at its top, and most of what came last is there. Costs a millisecond at most.
 * @param memory undefined: after a kill, when what came last may be anywhere between two states
 */
export function isFamiliar(home: Home, records: Records, memory: ReplicaMemory | undefined): boolean {
  const { store } = records;
  const stat = new Stat();
  const root = store.inode(rootId);
  if (root === undefined || statx(home.rootFd, '.', stat) < 0 || !isSameIdentity(root, stat)) return false;
  if (!areMostlyThere(home, topOf(store), stat)) return false;
  return memory === undefined || areMostlyThere(home, latestOf(records, memory), stat);
}

/** What should be at a path, relative to the root. */
interface Expected {
  readonly path: ByteString;
  readonly record: InodeRecord;
  /** undefined: not looked at. */
  readonly size: number | undefined;
}

function* topOf(store: TreeStore): Generator<Expected> {
  for (const { name, id } of store.list(rootId)) {
    const record = store.inode(id);
    if (record !== undefined) yield { path: name, record, size: undefined };
  }
}

/** Times are not compared: not every replica is told to keep them, nor can every file system. */
function* latestOf({ store, pending }: Records, { latest }: ReplicaMemory): Generator<Expected> {
  for (const id of latest) {
    const record = pending.has(id) ? undefined : store.inode(id);
    // What waits in limbo has no path.
    const path = store.pathOf(id);
    if (record === undefined || path === undefined) continue;
    yield { path, record, size: record.size };
  }
}

function areMostlyThere(home: Home, what: Iterable<Expected>, stat: Stat): boolean {
  let looks = 0;
  let familiar = 0;
  for (const { path, record, size } of what) {
    // Nothing of it is known where it could not be made.
    if (record.inoLow === 0 && record.inoHigh === 0) continue;
    const found = statx(home.rootFd, path, stat);
    if (found === -ENAMETOOLONG) continue;
    looks += 1;
    if (found === 0 && isSameIdentity(record, stat) && stat.size === (size ?? stat.size)) familiar += 1;
    if (looks === maxLooks) break;
  }
  return familiar * 2 >= looks;
}

/** `ReplicaMemory.latest` when the plan has been carried out. */
export function latestAfter({ latest }: ReplicaMemory, { inodes }: Pick<Plan, 'inodes'>): readonly InodeId[] {
  const written: InodeId[] = [];
  for (const [id, inode] of inodes) if (inode?.attributes.kind === Kind.file) written.push(id);
  if (written.length === 0) return latest;
  const known = new Set(written);
  return [...latest.filter((id) => !known.has(id)), ...written].slice(-maxLatest);
}
