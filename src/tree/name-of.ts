// What the kernel tells of an inode alone: a link that was made or removed, what an NFS server did through a file handle.

import type { NameOf } from '../kernel/event-source.ts';
import type { TreeStore } from './store.ts';

/** A name by which to look at the inode; of the store's tree. Outside of a transaction. */
export function nameOf(store: TreeStore): NameOf {
  return (dev, inoHigh, inoLow) => {
    store.refresh();
    const id = store.idOfIdentity(dev, inoHigh, inoLow);
    const record = id === undefined ? undefined : store.inode(id);
    if (record === undefined || record.name === '') return undefined;
    return { directory: record.parent, name: record.name };
  };
}
