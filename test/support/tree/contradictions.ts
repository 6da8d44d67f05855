// What records say that cannot be true together, or is not so on disk.

import { lstatSync } from 'node:fs';
import { rootId } from '../../../src/core/attributes.ts';
import { TreeStore } from '../../../src/tree/store.ts';
import { consistency } from './consistency.ts';

/** What the records of a running source, or of one at rest, say that cannot be true together. */
export function contradictions(state: string): string[] {
  using store = TreeStore.open(state, { role: 'reader' });
  return consistency(store);
}

/** The same of a replica; and names whose files are not those that the records tell of: fam would take them for a local user's. */
export function contradictionsOfReplica(state: string, root: string): string[] {
  using store = TreeStore.open(state, { role: 'reader' });
  const strange: string[] = [];
  for (const { id, kind, parent, name, links, inoHigh, inoLow } of store.inodes()) {
    const path = links === 0 || name === '' ? undefined : store.pathOf(id);
    if (path === undefined) continue;
    const at = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')]);
    const there = lstatSync(at, { bigint: true, throwIfNoEntry: false });
    const recorded = (BigInt(inoHigh) << 32n) | BigInt(inoLow);
    if (there?.ino !== recorded)
      strange.push(
        `${JSON.stringify(path)} (inode ${id}, kind ${kind}, in ${parent}): recorded as ${recorded}, there is ${there?.ino}`,
      );
  }
  return [...consistency(store, false), ...strange];
}

/** Inodes that are recorded in a folder which is not. At no time may a replica's records hold any. */
export function orphans(store: TreeStore): string[] {
  const recorded = new Set([...store.inodes()].map(({ id }) => id));
  return [...recorded].flatMap((id) =>
    store
      .namesOf(id)
      .filter(({ parent }) => id !== rootId && !recorded.has(parent))
      .map(
        ({ parent, name }) => `${JSON.stringify(name)} (inode ${id}) is in ${parent}, which is not recorded`,
      ),
  );
}
