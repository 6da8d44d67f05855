// What fam did not put on the replica and has to give way is kept here, and listed (I6): one JSON line for
// each. For how long: trash-retention.ts.

import type { ByteString } from '../core/name.ts';
import { displayBytes } from '../core/name.ts';
import {
  check,
  close,
  EACCES,
  fchmodat,
  getdents,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  openat,
  RENAME_NOREPLACE,
  renameat2,
  Stat,
  statx,
  unlinkat,
  writeAll,
} from '../kernel/sys.ts';
import type { Home } from './home.ts';
import type { Records } from './records.ts';
import { listName } from './trash-list.ts';

/** Paths that are told of at once; all are counted. */
const maxToldPaths = 20;

export class Trash {
  readonly #home: Home;
  readonly #stat = new Stat();
  /** Things kept by this process: no two have the same name, whoever keeps them. */
  static #count = 0;
  /** What this process has kept and not told yet: where it was, by its name in the trash. */
  static readonly #untold = new Map<string, ByteString>();
  /** Before this one all have been dealt with by `removeLinks`. */
  #next = Trash.#count;

  constructor(home: Home) {
    this.#home = home;
  }

  /**
   * Moves what is at the name into the trash.
   * @param path where it was, relative to the root, for the list
   * @param why in a few words
   * @returns 0 or -errno
   */
  keep(dirfd: number, name: ByteString, path: ByteString, why: string): number {
    const time = new Date();
    const kept = `${time.getTime()}-${process.pid}-${Trash.#count}`;
    const moved = this.#move(dirfd, name, kept);
    if (moved < 0) return moved;
    Trash.#count += 1;
    Trash.#untold.set(kept, path);
    return this.#list(time, path, why, kept);
  }

  /** A folder that moves gets another parent: who is not root has to be permitted to write in it for that. Its mode stays what it is. */
  #move(dirfd: number, name: ByteString, kept: string): number {
    const { trashFd } = this.#home;
    const moved = renameat2(dirfd, name, trashFd, kept, RENAME_NOREPLACE);
    const stat = this.#stat;
    if (moved !== -EACCES || statx(dirfd, name, stat) < 0 || !stat.isDirectory) return moved;
    const { mode } = stat;
    // RACE: killed before the mode is what it was, its owner may write in it from then on; nothing is lost.
    if (fchmodat(dirfd, name, mode | 0o200) < 0) return moved;
    const again = renameat2(dirfd, name, trashFd, kept, RENAME_NOREPLACE);
    if (again < 0) fchmodat(dirfd, name, mode);
    else fchmodat(trashFd, kept, mode);
    return again;
  }

  /** How much has been kept since the last call, whoever kept it, and where the first ones were; undefined: nothing. */
  static takeUntold(): { readonly count: number; readonly paths: readonly ByteString[] } | undefined {
    const { size: count } = Trash.#untold;
    if (count === 0) return undefined;
    const paths = [...Trash.#untold.values()].slice(0, maxToldPaths);
    Trash.#untold.clear();
    return { count, paths };
  }

  /**
   * Of what was kept since the last call, removes further names of what the tree shows (I1: hard links). They lose nothing: their content
   * is in the tree. To be called when it is known what the tree shows.
   */
  removeLinks(records: Records): void {
    const first = this.#next;
    this.ignoreLinks();
    if (first === this.#next) return;
    this.#removeLinks(records, (name) => {
      const [, pid, number] = name.split('-').map(Number);
      return pid === process.pid && number !== undefined && number >= first;
    });
  }

  /** The same of all that is here: an agent may have been killed before it came to that. */
  removeAllLinks(records: Records): void {
    this.ignoreLinks();
    this.#removeLinks(records, (name) => name !== listName);
  }

  /** Nothing that has been kept until now is a further name of what the tree shows. */
  ignoreLinks(): void {
    this.#next = Trash.#count;
  }

  #removeLinks(records: Records, isMeant: (name: ByteString) => boolean): void {
    const fd = check(openat(this.#home.trashFd, '.', O_RDONLY | O_DIRECTORY), 'open trash');
    try {
      this.#removeLinksIn(fd, '', records, isMeant);
    } finally {
      close(fd);
    }
  }

  #removeLinksIn(
    dirfd: number,
    folder: ByteString,
    records: Records,
    isMeant: (name: ByteString) => boolean,
  ): void {
    const entries = getdents(dirfd);
    for (const { name } of typeof entries === 'number' ? [] : entries) {
      if (!isMeant(name) || statx(dirfd, name, this.#stat) < 0) continue;
      const kept = `${folder}${name}`;
      if (this.#stat.isDirectory) {
        const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd < 0) continue;
        this.#removeLinksIn(fd, `${kept}/`, records, () => true);
        close(fd);
      } else if (this.#stat.nlink > 1 && records.idOf(this.#stat) !== 0 && unlinkat(dirfd, name) === 0) {
        Trash.#untold.delete(kept);
        this.#list(new Date(), kept, 'removed again: the tree has it under another name', kept);
      }
    }
  }

  #list(time: Date, path: ByteString, why: string, kept: string): number {
    const line = { time: time.toISOString(), path: displayBytes(path), pathBase64: '', why, kept };
    line.pathBase64 = Buffer.from(path, 'latin1').toString('base64');
    const fd = check(
      openat(this.#home.trashFd, listName, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600),
      'open trash list',
    );
    const written = writeAll(fd, Buffer.from(`${JSON.stringify(line)}\n`));
    close(fd);
    return Math.min(written, 0);
  }
}
