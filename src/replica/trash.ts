// What fam did not put on the replica and has to give way is kept here, and listed (I6): one JSON line for each.

import type { ByteString } from '../core/name.ts';
import { displayBytes } from '../core/name.ts';
import {
  check,
  close,
  O_APPEND,
  O_CREAT,
  O_NOFOLLOW,
  O_WRONLY,
  openat,
  RENAME_NOREPLACE,
  renameat2,
  writeAll,
} from '../kernel/sys.ts';
import type { Home } from './home.ts';

const listName = 'list.jsonl';

export class Trash {
  readonly #home: Home;
  #count = 0;
  /** Things kept since this was made. */
  get count(): number {
    return this.#count;
  }

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
    const kept = `${time.getTime()}-${process.pid}-${this.#count}`;
    const moved = renameat2(dirfd, name, this.#home.trashFd, kept, RENAME_NOREPLACE);
    if (moved < 0) return moved;
    this.#count += 1;
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
