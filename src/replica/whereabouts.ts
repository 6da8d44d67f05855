// Where each inode is, and which object it is: what the records say, and in place of that what the batch in hand has done.

import { type InodeId, Kind, rootId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import type { Slot } from '../core/plan-operation.ts';
import { Stat, statx } from '../kernel/sys.ts';
import type { LocalIdentity } from '../tree/records.ts';
import { Directories } from './directories.ts';
import type { Home } from './home.ts';
import { isSameIdentity } from './local-identity.ts';
import type { Records } from './records.ts';

/** What acts are on: a name in the directory of a descriptor, which stays its owner's. */
export interface Located {
  readonly dirfd: number;
  readonly name: ByteString;
}

/** In the staging folder: what is to be placed over names of the inode. */
export function stagedName(id: InodeId): string {
  return `${id}.new`;
}

export class Whereabouts {
  readonly directories: Directories;
  readonly #home: Home;
  readonly #records: Records;
  readonly #places = new Map<InodeId, Slot>();
  readonly #identities = new Map<InodeId, LocalIdentity>();
  readonly #stat = new Stat();

  constructor(home: Home, records: Records) {
    this.#home = home;
    this.#records = records;
    this.directories = new Directories(home, (id) => this.slotOf(id));
  }

  /** From here on the records alone count: another batch begins. */
  begin(): void {
    this.#places.clear();
    this.#identities.clear();
  }

  // --- where ---

  /** Where an inode is while it is not where its record says; undefined: it is there now. */
  setPlace(id: InodeId, slot: Slot | undefined): void {
    if (slot === undefined) this.#places.delete(id);
    else this.#places.set(id, slot);
  }

  /** undefined: the inode is not here. */
  slotOf(id: InodeId): Slot | undefined {
    const moved = this.#places.get(id);
    if (moved !== undefined) return moved;
    const record = this.#records.store.inode(id);
    if (record === undefined) return undefined;
    if (record.links === 0 || record.name === '') return { at: 'limbo', id };
    return { at: 'name', parent: record.parent, name: record.name };
  }

  /** The descriptor of a directory and a name in it, or -errno. */
  locate(slot: Slot): Located | number {
    if (slot.at === 'limbo') return { dirfd: this.#home.limboFd, name: String(slot.id) };
    if (slot.at === 'staging') return { dirfd: this.#home.stagingFd, name: stagedName(slot.id) };
    const dirfd = this.directories.get(slot.parent);
    return dirfd < 0 ? dirfd : { dirfd, name: slot.name };
  }

  /** What is there and was not recorded was left by an agent that was killed: nobody else can write there. */
  isPrivate(at: Located): boolean {
    return at.dirfd === this.#home.limboFd || at.dirfd === this.#home.stagingFd;
  }

  /** Relative to the root, for people. */
  pathOf(slot: Slot): ByteString {
    const parts: ByteString[] = [];
    for (let at: Slot | undefined = slot; at !== undefined; ) {
      if (at.at !== 'name') return at.id === rootId ? parts.reverse().join('/') : this.#records.pathOf(at.id);
      parts.push(at.name);
      if (at.parent === rootId) break;
      at = this.slotOf(at.parent);
    }
    return parts.reverse().join('/');
  }

  // --- what ---

  /** The batch has made the inode anew, or has changed it so that identity alone tells that it is ours. */
  noteIdentity(id: InodeId, identity: LocalIdentity): void {
    this.#identities.set(id, identity);
  }

  /** What the batch has made is not here any more: the record tells what is. */
  forgetIdentity(id: InodeId): void {
    this.#identities.delete(id);
  }

  notedIdentity(id: InodeId): LocalIdentity | undefined {
    return this.#identities.get(id);
  }

  /** The inode itself is there, whatever has happened to its content. */
  isThere(at: Located, id: InodeId): boolean {
    const { dirfd, name } = at;
    if (statx(dirfd, name, this.#stat) < 0) return false;
    const identity = this.#identities.get(id) ?? this.#records.store.inode(id);
    return identity !== undefined && isSameIdentity(identity, this.#stat);
  }

  /** What is there is the inode as fam left it; nothing there counts as not ours. */
  isOurs(at: Located, id: InodeId): boolean {
    return statx(at.dirfd, at.name, this.#stat) === 0 && this.isStatOf(id, this.#stat);
  }

  /** The same of what `stat` has told about. */
  isStatOf(id: InodeId, stat: Stat): boolean {
    const record = this.#records.store.inode(id);
    const changed = this.#identities.get(id);
    if (changed !== undefined && isSameIdentity(changed, stat)) return true;
    if (record === undefined || !isSameIdentity(record, stat)) return false;
    if (record.kind !== Kind.file) return true;
    return record.size === stat.size && record.mtimeS === stat.mtimeS && record.mtimeNs === stat.mtimeNs;
  }
}
