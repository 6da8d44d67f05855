// What fam had put on the replica before its records were begun anew (the source lost its state, or pruned its journal too
// far): files that are still as fam left them are fam's to replace and to remove, without consent and without the trash.

import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type InodeId, Kind, rootId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import {
  AT_REMOVEDIR,
  close,
  EEXIST,
  ENOTEMPTY,
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

/**
 * 64 bytes an inode: a table in memory for the length of one reconcile, and a file beside the records until everything has come that it
 * found lacking. A folder that the listings never met has only its own record, and its content none.
 */
export class FormerInodes {
  readonly #numbers: Float64Array;
  /** Low half of the inode number -> row; a second inode with the same low half is left out, and so counts as foreign. */
  readonly #rows = new Map<number, number>();
  readonly #stat = new Stat();

  private constructor(maxRows: number) {
    this.#numbers = new Float64Array(maxRows * fields);
  }

  /**
   * Reads all records, which may be cleared afterwards: a reconcile that is cut off finds them again (I8).
   * @param folder path of the replica's state
   */
  static gather(store: TreeStore, folder: string): FormerInodes {
    const file = fileIn(folder);
    // The machine's byte order: the file does not travel.
    const kept = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
    const keptRows = Math.floor(kept.length / (fields * 8));
    const former = new FormerInodes(store.stats.inodes + keptRows);
    former.#addRecords(store);
    const numbers = new Float64Array(keptRows * fields);
    Buffer.from(numbers.buffer).set(kept.subarray(0, numbers.byteLength));
    for (let row = 0; row < numbers.length; row += fields) former.#add(numbers.subarray(row, row + fields));
    const used = former.#rows.size * fields * 8;
    writeFileSync(`${file}.new`, new Uint8Array(former.#numbers.buffer, 0, used), { mode: 0o600 });
    renameSync(`${file}.new`, file);
    return former;
  }

  /** Every one of them has been dealt with, or they are another source's. */
  static forget(folder: string): void {
    rmSync(fileIn(folder), { force: true });
  }

  #addRecords(store: TreeStore): void {
    const todo: InodeId[] = [rootId];
    for (let directory = todo.pop(); directory !== undefined; directory = todo.pop()) {
      for (const entry of store.list(directory)) {
        const inode = store.inode(entry.id);
        if (inode === undefined) continue;
        const { dev, inoHigh, inoLow, birth, kind, size, mtimeS, mtimeNs } = inode;
        this.#add([dev, inoHigh, inoLow, birth, kind, size, mtimeS, mtimeNs]);
        if (kind === Kind.directory) todo.push(entry.id);
      }
    }
  }

  #add(numbers: ArrayLike<number>): void {
    const inoLow = numbers[2] ?? 0;
    const row = this.#rows.size * fields;
    if (this.#rows.has(inoLow) || row + fields > this.#numbers.length) return;
    this.#rows.set(inoLow, row);
    this.#numbers.set(numbers, row);
  }

  /** How many there are. */
  get size(): number {
    return this.#rows.size;
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

  /**
   * Removes what is at the name as far as it was fam's.
   * @returns 0: nothing is left there; undefined: something that is not fam's is; -errno: what is fam's cannot be removed
   */
  remove(dirfd: number, name: ByteString): number | undefined {
    if (statx(dirfd, name, this.#stat) < 0 || !this.has(this.#stat)) return undefined;
    // RACE: as in Placer.place: a local user's file could take the name in between.
    if (!this.#stat.isDirectory) return unlinkat(dirfd, name);
    const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return fd;
    const entries = getdents(fd);
    let inside = 0;
    for (const entry of typeof entries === 'number' ? [] : entries)
      inside ||= this.remove(fd, entry.name) ?? 0;
    close(fd);
    const result = unlinkat(dirfd, name, AT_REMOVEDIR);
    if (result !== -ENOTEMPTY && result !== -EEXIST) return result;
    return inside < 0 ? inside : undefined;
  }
}

function fileIn(folder: string): string {
  return join(folder, 'former');
}
