// I4: nothing is deleted by mistake. When what is found at start can hardly be what the records describe, the mirror
// stops and asks.

import { type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import { FamError } from '../core/errors.ts';
import { type ByteString, displayBytes, type Name } from '../core/name.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../kernel/constants.ts';
import * as sys from '../kernel/sys.ts';
import { observed } from './attributes-of.ts';
import { isObject } from './directories.ts';
import type { LocalIdentity } from './records.ts';
import type { TreeStore } from './store.ts';

/** Seq of everything that the first scan finds. */
export const baseSeq: Seq = 1;

const remedy =
  'If this is meant, start once with --trust-source; otherwise bring the source back first. Nothing was deleted.';

/**
 * Compares the root with its record, and makes the record when there is none.
 * @param rootFd the root, open for reading
 * @returns true when the store was empty: what follows is a first scan
 * @throws FamError SOURCE_DOUBTFUL, SOURCE_UNREADABLE
 */
export function admitRoot(store: TreeStore, rootFd: number, root: ByteString, trusted: boolean): boolean {
  const stat = new sys.Stat();
  const rc = sys.fstat(rootFd, stat);
  const shown = displayBytes(root);
  if (rc < 0) throw new FamError('SOURCE_UNREADABLE', `cannot read ${shown}: ${sys.errnoName(rc)}`);
  const isFirst = store.transaction(() => {
    const record = store.inode(rootId);
    const known = record ?? rootBeforeLoss(store, stat);
    if (known !== undefined && !trusted && !isObject(known, stat)) {
      const what = known.dev === stat.dev ? 'another directory' : 'on another device';
      throw new FamError(
        'SOURCE_DOUBTFUL',
        `${shown} is ${what} than when it was last mirrored (was it replaced, or is a file system not mounted?). ${remedy}`,
      );
    }
    if (record === undefined) {
      store.setBase(baseSeq);
      store.putInode(
        {
          ...observed(Kind.directory, stat, ''),
          id: rootId,
          parent: 0,
          name: '',
          links: 1,
          bornSeq: baseSeq,
          seq: baseSeq,
          contentSeq: baseSeq,
          doubtful: false,
          touched: false,
          listed: false,
        },
        undefined,
      );
      return true;
    }
    if (!isObject(record, stat)) {
      const seq = store.nextSeq();
      store.putInode({ ...record, ...observed(Kind.directory, stat, ''), seq }, record);
    }
    const { entries } = store.stats;
    if (entries > 0 && !trusted && isEmpty(rootFd)) {
      throw new FamError(
        'SOURCE_DOUBTFUL',
        `${shown} is empty, but held ${entries} names when it was last mirrored (is its file system not mounted?). ${remedy}`,
      );
    }
    return false;
  });
  store.noteAdmittedRoot(stat);
  return isFirst;
}

/** The records went with the power, and the machine was started again: devices may have other numbers. */
function rootBeforeLoss(store: TreeStore, { dev }: sys.Stat): LocalIdentity | undefined {
  const root = store.admittedRoot;
  return root === undefined ? undefined : { ...root, dev };
}

function isEmpty(rootFd: number): boolean {
  const fd = sys.openat(rootFd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  let found = 0;
  const rc = sys.readDirectory(fd, () => {
    found += 1;
    return false;
  });
  sys.close(fd);
  return rc >= 0 && found === 0;
}

/**
 * Counts what the missing names stand for, subtrees included; what was found elsewhere does not count.
 * @throws FamError SOURCE_DOUBTFUL
 */
export function guardAgainstMassDeletion(
  store: TreeStore,
  gone: readonly { readonly directory: InodeId; readonly name: Name | '' }[],
  limits: { readonly fraction: number; readonly count: number },
): void {
  const { entries } = store.stats;
  const limit = Math.max(limits.count, entries * limits.fraction);
  let missing = 0;
  const pending: InodeId[] = [];
  const count = (id: InodeId): void => {
    const record = store.inode(id);
    // It has another name: found elsewhere, hence not missing, and nothing below it either.
    if (record !== undefined && record.links > 1) return;
    missing += 1;
    if (record?.kind === Kind.directory) pending.push(id);
  };
  for (const { directory, name } of gone) {
    const entry = name === '' ? undefined : store.entry(directory, name);
    if (entry !== undefined && entry.id !== 0) count(entry.id);
    for (let id = pending.pop(); id !== undefined && missing <= limit; id = pending.pop()) {
      for (const child of store.list(id)) {
        count(child.id);
        if (missing > limit) break;
      }
    }
    if (missing > limit) {
      throw new FamError(
        'SOURCE_DOUBTFUL',
        `more than ${Math.floor(limit)} of ${entries} names are missing from the source since it was last mirrored. ${remedy}`,
      );
    }
  }
}
