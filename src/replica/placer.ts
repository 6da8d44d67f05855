// Gives a name in the tree to what is ours and takes it away again. What else is found at the name, and is not fam's, is kept in the
// trash (I6).

import type { InodeId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import {
  EACCES,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOSYS,
  linkat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  renameat2,
  Stat,
  statx,
  unlinkat,
} from '../kernel/sys.ts';
import type { Capabilities } from './capabilities.ts';
import type { FormerInodes } from './former-inodes.ts';
import { identityOf, isSameIdentity } from './local-identity.ts';
import type { Trash } from './trash.ts';
import type { Located, Whereabouts } from './whereabouts.ts';

/** Why something is kept. */
export const notOurs = 'fam did not put it there, or it was changed since';
export const afterKill = 'found after a kill';

export class Placer {
  /** During first contact with a source that was known before. */
  former: FormerInodes | undefined;
  readonly #stagingFd: number;
  readonly #where: Whereabouts;
  readonly #trash: Trash;
  readonly #capabilities: Capabilities;
  readonly #stat = new Stat();
  /** What `#look` has found at a second name. */
  readonly #other = new Stat();

  constructor(stagingFd: number, where: Whereabouts, trash: Trash, capabilities: Capabilities) {
    this.#stagingFd = stagingFd;
    this.#where = where;
    this.#trash = trash;
    this.#capabilities = capabilities;
  }

  /**
   * Renames something of ours to a name where `over` is expected (0: nothing). Whatever else is there is kept. 0 or -errno.
   */
  place(from: Located, to: Located, over: InodeId, path: () => ByteString): number {
    if (over === 0 || !this.#where.isOurs(to, over)) {
      const result = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_NOREPLACE);
      if (result !== -EEXIST) return result;
      return this.#placeOverForeign(from, to, path);
    }
    // RACE: between the look and the rename a local user could put a file of his own there, which would be lost. The
    // window is a few microseconds; closing it would cost an exchange and a check for every file.
    return renameat2(from.dirfd, from.name, to.dirfd, to.name);
  }

  /**
   * Gives a file one more name where something else is: `over` as in `place`. 0 or -errno.
   * @param id the file's, for a name in staging
   */
  linkOver(from: Located, id: InodeId, to: Located, over: InodeId, path: () => ByteString): number {
    const staged = { dirfd: this.#stagingFd, name: `${id}.link` };
    let linked = linkat(from.dirfd, from.name, staged.dirfd, staged.name);
    if (linked === -EEXIST) {
      // Left by an agent that was killed: before it gave the name, or when it had taken a local user's file from there.
      linked =
        this.#look(from, staged) && this.#isSameInode
          ? unlinkat(staged.dirfd, staged.name)
          : this.#trash.keep(staged.dirfd, staged.name, path(), afterKill);
      if (linked === 0) linked = linkat(from.dirfd, from.name, staged.dirfd, staged.name);
    }
    if (linked < 0) return linked;
    const placed = this.place(staged, to, over, path);
    // Not what it may have been exchanged for, and could not be kept.
    if (placed < 0 && this.#look(from, staged) && this.#isSameInode) unlinkat(staged.dirfd, staged.name);
    return placed;
  }

  /** The same where something is that is not ours; it is kept. */
  #placeOverForeign(from: Located, to: Located, path: () => ByteString): number {
    if (this.#look(from, to)) {
      // To rename one name of an inode over another does nothing, and would leave the first behind.
      if (this.#isSameInode) return unlinkat(from.dirfd, from.name);
      // Equal by what first contact goes by (an agent placed it and was killed before it could say so): not worth keeping.
      if (this.#isEqualFile || this.#isFormerFile) return renameat2(from.dirfd, from.name, to.dirfd, to.name);
    }
    const exchanged = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_EXCHANGE);
    if (exchanged === 0) return this.#trash.keep(from.dirfd, from.name, path(), notOurs);
    const isPossible = exchanged !== -EINVAL && exchanged !== -ENOSYS;
    // It may be a folder that nobody may write in: the trash takes those.
    if (isPossible && exchanged !== -EACCES) return exchanged;
    if (!isPossible) this.#capabilities.lack('exchange', path);
    const kept = this.#trash.keep(to.dirfd, to.name, path(), notOurs);
    if (kept < 0) return kept;
    return renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_NOREPLACE);
  }

  /** Looks at two names, for what follows; false where there is nothing at one of them. */
  #look(one: Located, other: Located): boolean {
    return statx(one.dirfd, one.name, this.#stat) === 0 && statx(other.dirfd, other.name, this.#other) === 0;
  }

  get #isSameInode(): boolean {
    return isSameIdentity(identityOf(this.#stat), this.#other);
  }

  get #isEqualFile(): boolean {
    const [one, other] = [this.#stat, this.#other];
    return (
      one.isFile &&
      other.isFile &&
      one.size === other.size &&
      one.mtimeS === other.mtimeS &&
      one.mtimeNs === other.mtimeNs
    );
  }

  /** At the second name is a file as fam had left it there. */
  get #isFormerFile(): boolean {
    return (
      this.former !== undefined &&
      !this.#stat.isDirectory &&
      !this.#other.isDirectory &&
      this.former.has(this.#other)
    );
  }

  /** Removes a name of a file that is recorded there; anything else that is there is kept. 0 or -errno, which may be that nothing is there. */
  remove(at: Located, id: InodeId, path: () => ByteString): number {
    const found = statx(at.dirfd, at.name, this.#stat);
    if (found === -ENOENT) return found;
    // RACE: as in `place`.
    if (found === 0 && this.#where.isStatOf(id, this.#stat)) return unlinkat(at.dirfd, at.name);
    return this.#trash.keep(at.dirfd, at.name, path(), notOurs);
  }
}
