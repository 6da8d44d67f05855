// The folder of what has no name in the tree: it gave way and may be asked for again, or is new and not placed yet.

import type { InodeId } from '../core/attributes.ts';
import { asName, type ByteString } from '../core/name.ts';
import type { Ids } from '../core/plan-operation.ts';
import {
  AT_REMOVEDIR,
  close,
  DT_DIR,
  ENOENT,
  getdents,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  unlinkat,
} from '../kernel/sys.ts';
import type { Directories } from './directories.ts';
import { type Home, namesIn } from './home.ts';
import type { Records } from './records.ts';
import type { Trash } from './trash.ts';

export class Limbo {
  readonly #home: Home;
  readonly #records: Records;
  readonly #trash: Trash;
  readonly #directories: Directories;
  /** Names in the folder (ids, or what a kill left behind), and where each was in the tree, for the trash's list. */
  readonly #names = new Map<string, ByteString>();

  constructor(home: Home, records: Records, trash: Trash, directories: Directories) {
    this.#home = home;
    this.#records = records;
    this.#trash = trash;
    this.#directories = directories;
    for (const name of namesIn(home.limboFd)) this.#names.set(name, `(${name})`);
  }

  get size(): number {
    return this.#names.size;
  }

  add(name: string, path: ByteString): void {
    this.#names.set(name, path);
  }

  delete(name: string): void {
    this.#names.delete(name);
  }

  /**
   * Removes what is in limbo, from disk and from the records.
   * @param owed inodes that are waiting for content: their old one may be of use for it, and is about to get a name again
   */
  empty(owed: Ids): void {
    for (const [name, path] of this.#names) {
      if (owed.has(Number(name))) continue;
      this.#records.store.transaction(() => {
        const id = /^[1-9]\d*$/.test(name) ? Number(name) : 0;
        // What cannot be removed is there, and in the records, until it can be.
        if (!this.#remove(name, id, path)) return;
        this.#names.delete(name);
        if (id !== 0 && this.#records.inode(id)?.names.length === 0) this.#records.forget(id);
        this.#directories.forget(id);
      });
    }
    this.#records.store.refresh();
  }

  #remove(name: string, id: InodeId, path: ByteString): boolean {
    const { limboFd } = this.#home;
    const fd = openat(limboFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return isGone(unlinkat(limboFd, name));
    const isEmpty = this.#emptyDirectory(fd, id, path);
    close(fd);
    return isEmpty && isGone(unlinkat(limboFd, name, AT_REMOVEDIR));
  }

  /** Removes what the records know in the directory, and keeps what they do not (I6). True when nothing is left in it. */
  #emptyDirectory(fd: number, directory: InodeId, path: ByteString): boolean {
    const entries = getdents(fd);
    const left = new Set<ByteString>();
    for (const entry of typeof entries === 'number' ? [] : entries) {
      const id = directory === 0 ? 0 : this.#records.occupant(directory, entry.name);
      const entryPath = `${path}/${entry.name}`;
      const result =
        id === 0
          ? this.#trash.keep(fd, entry.name, entryPath, 'its folder was removed at the source')
          : this.#removeFrom(fd, entry.name, entry.type === DT_DIR, id, entryPath);
      if (!isGone(result)) left.add(entry.name);
    }
    // Also names that were recorded and had vanished.
    for (const name of [...this.#records.children(directory)])
      if (!left.has(name)) this.#forgetName(directory, name);
    return left.size === 0;
  }

  /** 0 or -errno. */
  #removeFrom(fd: number, name: ByteString, isDirectory: boolean, id: InodeId, path: ByteString): number {
    if (!isDirectory) return unlinkat(fd, name);
    const child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (child < 0) return child;
    this.#emptyDirectory(child, id, path);
    close(child);
    return unlinkat(fd, name, AT_REMOVEDIR);
  }

  #forgetName(directory: InodeId, text: ByteString): void {
    const name = asName(text);
    if (name === undefined) return;
    const id = this.#records.occupant(directory, name);
    this.#records.takeName({ parent: directory, name }, false);
    this.#directories.forget(id);
  }
}

function isGone(result: number): boolean {
  return result >= 0 || result === -ENOENT;
}

/** Removes something of ours that no record speaks of, where nobody else can write: a remnant of an agent that was killed. */
export function discard(dirfd: number, name: ByteString): void {
  const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd < 0) {
    unlinkat(dirfd, name);
    return;
  }
  const entries = getdents(fd);
  for (const entry of typeof entries === 'number' ? [] : entries) discard(fd, entry.name);
  close(fd);
  unlinkat(dirfd, name, AT_REMOVEDIR);
}
