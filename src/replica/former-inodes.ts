// What fam had put on the replica before its records were begun anew (the source lost its state, or pruned its journal too
// far): files that are still as fam left them are fam's to replace and to remove, without consent and without the trash.

import { type InodeId, Kind, rootId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import {
  AT_REMOVEDIR,
  close,
  getdents,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  Stat,
  statx,
  unlinkat,
} from '../kernel/sys.ts';
import type { TreeStore } from '../tree/store.ts';

/** Numbers kept for each inode: device, both halves of the inode number, birth, kind, size, mtime. */
const fields = 8;

/** A table in memory, for the length of one reconcile: some 100 bytes an inode. */
export class FormerInodes {
  readonly #numbers: Float64Array;
  /** Low half of the inode number -> row; a second inode with the same low half is left out, and so counts as foreign. */
  readonly #rows = new Map<number, number>();
  readonly #stat = new Stat();

  /** Reads all records, which may be cleared afterwards. */
  constructor(store: TreeStore) {
    this.#numbers = new Float64Array(store.stats.inodes * fields + fields);
    const todo: InodeId[] = [rootId];
    for (let directory = todo.pop(); directory !== undefined; directory = todo.pop()) {
      for (const entry of store.list(directory)) {
        const inode = store.inode(entry.id);
        if (inode === undefined || this.#rows.has(inode.inoLow)) continue;
        const row = this.#rows.size * fields;
        if (row + fields > this.#numbers.length) return;
        this.#rows.set(inode.inoLow, row);
        const { dev, inoHigh, inoLow, birth, kind, size, mtimeS, mtimeNs } = inode;
        this.#numbers.set([dev, inoHigh, inoLow, birth, kind, size, mtimeS, mtimeNs], row);
        if (kind === Kind.directory) todo.push(entry.id);
      }
    }
  }

  /** What `stat` tells of is an object that fam made, and a file's content is as fam left it. */
  has(stat: Stat): boolean {
    const row = this.#rows.get(stat.inoLow);
    if (row === undefined) return false;
    const [dev, inoHigh, , birth, kind, size, mtimeS, mtimeNs] = this.#numbers.subarray(row, row + fields);
    if (dev !== stat.dev || inoHigh !== stat.inoHigh || birth !== stat.birth) return false;
    if (kind !== Kind.file) return !stat.isFile;
    return stat.isFile && size === stat.size && mtimeS === stat.mtimeS && mtimeNs === stat.mtimeNs;
  }

  /** Removes what is at the name as far as it was fam's; true when nothing is left there. */
  remove(dirfd: number, name: ByteString): boolean {
    if (statx(dirfd, name, this.#stat) < 0 || !this.has(this.#stat)) return false;
    // RACE: as in Applier.place: a local user's file could take the name in between.
    if (!this.#stat.isDirectory) return unlinkat(dirfd, name) === 0;
    const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return false;
    const entries = getdents(fd);
    for (const entry of typeof entries === 'number' ? [] : entries) this.remove(fd, entry.name);
    close(fd);
    return unlinkat(dirfd, name, AT_REMOVEDIR) === 0;
  }
}
