// The folder of what has no name in the tree: it gave way and may be asked for again, or is new and not placed yet.

import type { InodeId } from '../core/attributes.ts';
import { asName, type ByteString } from '../core/name.ts';
import type { Ids } from '../core/plan-operation.ts';
import {
  AT_REMOVEDIR,
  close,
  DT_DIR,
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
      this.#names.delete(name);
      this.#records.store.transaction(() => {
        const id = /^[1-9]\d*$/.test(name) ? Number(name) : 0;
        const fd = openat(this.#home.limboFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd >= 0) {
          this.#emptyDirectory(fd, id, path);
          close(fd);
          unlinkat(this.#home.limboFd, name, AT_REMOVEDIR);
        } else unlinkat(this.#home.limboFd, name);
        if (id !== 0 && this.#records.inode(id)?.names.length === 0) this.#records.forget(id);
        this.#directories.forget(id);
      });
    }
    this.#records.store.refresh();
  }

  /** Removes what the records know in the directory, and keeps what they do not (I6). */
  #emptyDirectory(fd: number, directory: InodeId, path: ByteString): void {
    const entries = getdents(fd);
    for (const entry of typeof entries === 'number' ? [] : entries) {
      const id = directory === 0 ? 0 : this.#records.occupant(directory, entry.name);
      const entryPath = `${path}/${entry.name}`;
      if (id === 0) {
        this.#trash.keep(fd, entry.name, entryPath, 'its folder was removed at the source');
        continue;
      }
      if (entry.type === DT_DIR) {
        const child = openat(fd, entry.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (child >= 0) {
          this.#emptyDirectory(child, id, entryPath);
          close(child);
        }
        unlinkat(fd, entry.name, AT_REMOVEDIR);
      } else unlinkat(fd, entry.name);
    }
    // Also names that were recorded and had vanished.
    for (const name of [...this.#records.children(directory)]) this.#forgetName(directory, name);
  }

  #forgetName(directory: InodeId, text: ByteString): void {
    const name = asName(text);
    if (name === undefined) return;
    const id = this.#records.occupant(directory, name);
    this.#records.takeName({ parent: directory, name }, false);
    this.#directories.forget(id);
  }
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
