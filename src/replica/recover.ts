// After a kill in the middle of a batch the tree is ahead of the records. This brings the records to what is there: each inode is
// known again by device, inode number and birth, wherever a rename has taken it, and what the batch had made and placed is known
// by the mark's list of placements. No content is read. What was replaced and is not as that list says has an unknown inode
// number: its content is not trusted and comes again.
//
// Memory: proportional to what differs, which is at most one batch, and to what waits in limbo.

import { type InodeId, Kind, rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { isSamePlace, type Place, type PlannedInode, placeKey } from '../core/plan-operation.ts';
import {
  close,
  DT_DIR,
  fstat,
  futimens,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  readDirectory,
  readlinkat,
  renameat2,
  Stat,
  statx,
  unlinkat,
} from '../kernel/sys.ts';
import { kindOf, observed } from '../tree/attributes-of.ts';
import type { LocalIdentity } from '../tree/records.ts';
import type { Placement, Placements } from './applying-mark.ts';
import { type Home, namesIn } from './home.ts';
import { discard } from './limbo.ts';
import { identityOf, isSameIdentity } from './local-identity.ts';
import { afterKill } from './placer.ts';
import { nowhere, type Records } from './records.ts';
import { isReserved } from './reserved.ts';
import { Trash } from './trash.ts';

/** To be called before anything is applied, when the mark says that the last agent was killed while applying. */
export function recover(home: Home, records: Records, placements: Placements): void {
  records.store.refresh();
  const trash = new Trash(home);
  records.store.transaction(() => new Recovery(home, records, placements, trash).run());
  records.store.refresh();
  trash.removeAllLinks(records);
}

interface Renewed {
  readonly inode: PlannedInode & { readonly names: Place[] };
  readonly identity: LocalIdentity;
}

class Recovery {
  readonly #home: Home;
  readonly #records: Records;
  readonly #placements: Placements;
  /** Inodes that are recorded to wait in limbo, by inode number: they are not in the store's index of identities, and all on one file system. */
  readonly #waiting = new Map<string, InodeId>();
  /** Inodes that are not where they are recorded, and where else they were found. */
  readonly #moved = new Map<InodeId, Place[]>();
  /** Names whose recorded inode is not there but another one that nobody knows. */
  readonly #covered = new Map<InodeId, Place[]>();
  /** Files whose new content was found under a name that the cut batch gave to it. */
  readonly #renewed = new Map<InodeId, Renewed>();
  /** What the cut batch made and was to place where now something is that the records did not know. */
  readonly #occupied = new Set<InodeId>();
  readonly #stat = new Stat();
  readonly #trash: Trash;

  constructor(home: Home, records: Records, placements: Placements, trash: Trash) {
    this.#placements = placements;
    this.#home = home;
    this.#trash = trash;
    this.#records = records;
  }

  run(): void {
    for (const record of this.#records.store.inodes())
      if (record.links === 0) this.#waiting.set(keyOf(record), record.id);
    this.#rescue(this.#home.rootFd, rootId);
    for (const folder of [this.#home.limboFd, this.#home.stagingFd]) this.#putInTheirPlace(folder);
    this.#clearLimbo();
    this.#clearStaging();
    this.#walk(this.#home.rootFd, '.', rootId);
    // What waited in limbo may have been removed from there without a word in the records.
    for (const id of this.#waiting.values()) this.#note(id);
    for (const name of namesIn(this.#home.limboFd)) {
      const id = this.#idAt(this.#home.limboFd, name);
      if (id === 0 || String(id) !== name) continue;
      this.#note(id);
      if (this.#stat.isDirectory) this.#walk(this.#home.limboFd, name, id);
    }
    for (const id of this.#moved.keys()) this.#settle(id);
  }

  /** New content that the cut batch has placed over an inode that waits in limbo; `#stat` tells about it. */
  #isRenewed(name: Name): boolean {
    const placement = this.#placements.get(`0/${name}`);
    if (placement === undefined || !isAsMade(placement, this.#stat)) return false;
    const { id, kind, contentSeq } = placement;
    if (this.#records.inode(id) === undefined) return false;
    this.#note(id);
    const inode = { attributes: observed(kind, this.#stat, ''), contentSeq, names: [] };
    this.#renewed.set(id, { inode, identity: identityOf(this.#stat) });
    return true;
  }

  /** What gave way to something in limbo or staging is still under the name that this had there. */
  #putInTheirPlace(folder: number): void {
    const { limboFd } = this.#home;
    for (const name of namesIn(folder)) {
      const id = this.#idAt(folder, name);
      if (id === 0 || id === Number(name.split('.')[0])) continue;
      const own = String(id);
      const isMoved = renameat2(folder, name, limboFd, own, RENAME_NOREPLACE) === 0;
      // One more name of a file that has given way before; or what was being made there, which is removed with the rest.
      if (!isMoved && this.#idAt(limboFd, own) === id) unlinkat(folder, name);
      else if (!isMoved) renameat2(folder, name, limboFd, own, RENAME_EXCHANGE);
      this.#note(id);
    }
  }

  /**
   * Removes what the cut batch had made or linked in staging and not placed. As in limbo, what is there may have been exchanged for what
   * it was to be, and is kept then.
   */
  #clearStaging(): void {
    const { stagingFd } = this.#home;
    for (const name of namesIn(stagingFd)) {
      const [, id] = /^([1-9]\d*)\.(?:new|link)$/.exec(name) ?? [];
      if (id === undefined) continue;
      const isKnown = this.#idAt(stagingFd, name) === Number(id);
      // New content that has some of its names already.
      const renewed = this.#renewed.get(Number(id));
      const isRenewed = renewed !== undefined && isSameIdentity(renewed.identity, this.#stat);
      if (isKnown || isRenewed || !this.#occupied.has(Number(id))) discard(stagingFd, name);
      else this.#trash.keep(stagingFd, name, `(${name})`, afterKill);
    }
  }

  /**
   * Removes what the cut batch was making in limbo; what it had moved in there is taken out first. Where something unrecorded is at
   * the name that was to be given, or a recorded inode has left this place, the two may have been exchanged already: then what is
   * here may be a local user's, and is kept (I6).
   */
  #clearLimbo(): void {
    const { limboFd } = this.#home;
    const unknown: string[] = [];
    for (const name of namesIn(limboFd)) {
      const id = this.#idAt(limboFd, name);
      if (id === 0 && !this.#isRenewed(name)) unknown.push(name);
      this.#rescueIn(limboFd, name, id);
    }
    for (const name of unknown) {
      const id = Number(name);
      const mayBeOthers = this.#occupied.has(id) || this.#records.inode(id) !== undefined;
      if (mayBeOthers) this.#trash.keep(limboFd, name, `(${name})`, afterKill);
      else discard(limboFd, name);
    }
  }

  #rescueIn(dirfd: number, name: string, directory: InodeId | 0): void {
    const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return;
    this.#rescue(fd, directory);
    close(fd);
  }

  /** The recorded inode that is at the name, 0 for none; `#stat` tells about it. */
  #idAt(dirfd: number, name: string): InodeId {
    const stat = this.#stat;
    if (statx(dirfd, name, stat) < 0) return 0;
    const id = this.#records.idOf(stat);
    if (id !== 0) return id;
    const waiting = this.#records.store.inode(this.#waiting.get(keyOf(stat)) ?? 0);
    return waiting !== undefined && isSameIdentity(waiting, stat) ? waiting.id : 0;
  }

  /** Records what the cut batch had made and placed here, if it still is as the batch left it; `#stat` tells about it. */
  #adopt(dirfd: number, place: Place): InodeId | 0 {
    const placement = this.#placements.get(placeKey(place));
    const stat = this.#stat;
    if (placement === undefined || !isAsMade(placement, stat)) return 0;
    const { id, kind, contentSeq } = placement;
    if (this.#records.inode(id) !== undefined) {
      // New content of a file that is recorded: whether the old one is gone is known at the end.
      this.#note(id);
      const renewed = this.#renewed.get(id);
      if (renewed === undefined) {
        const inode = { attributes: observed(kind, stat, ''), contentSeq, names: [place] };
        this.#renewed.set(id, { inode, identity: identityOf(stat) });
      } else if (isSameIdentity(renewed.identity, stat)) renewed.inode.names.push(place);
      return 0;
    }
    const target = kind === Kind.symlink ? readlinkat(dirfd, place.name) : '';
    if (typeof target === 'number') return 0;
    const inode = { attributes: observed(kind, stat, target), contentSeq, names: [place] };
    this.#put(id, inode, identityOf(stat));
    const replaced = this.#records.occupant(place.parent, place.name);
    if (replaced !== 0 && replaced !== id) this.#note(replaced);
    this.#records.setEntry(place.parent, place.name, id, 0);
    return id;
  }

  /**
   * Records what was placed. A new directory that is not as the batch left it will be made again: what was moved into it is taken
   * out to limbo, where the batch finds it when it is applied again.
   */
  #rescue(dirfd: number, directory: InodeId | 0): void {
    const fd = openat(dirfd, '.', O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    const names: { name: Name; type: number }[] = [];
    readDirectory(fd, (name, type) => {
      names.push({ name, type });
    });
    for (const { name, type } of names) {
      if (isReserved(this.#home, { parent: directory, name })) continue;
      let id = this.#idAt(fd, name);
      if (directory === 0 && id !== 0) {
        renameat2(fd, name, this.#home.limboFd, String(id), RENAME_NOREPLACE);
        this.#note(id);
        continue;
      }
      const placement = this.#placements.get(`${directory}/${name}`);
      if (placement !== undefined && id === 0) this.#occupied.add(placement.id);
      if (directory !== 0 && id === 0) id = this.#adopt(fd, { parent: directory, name });
      if (type === DT_DIR || this.#stat.isDirectory) this.#rescueIn(fd, name, id);
    }
    close(fd);
  }

  #walk(dirfd: number, name: string, directory: InodeId): void {
    const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return;
    const subdirectories: { name: Name; id: InodeId }[] = [];
    const seen = new Set<Name>();
    const names: Name[] = [];
    readDirectory(fd, (entry) => {
      names.push(entry);
    });
    for (const entry of names) {
      if (isReserved(this.#home, { parent: directory, name: entry })) continue;
      seen.add(entry);
      const id = this.#idAt(fd, entry);
      const place = { parent: directory, name: entry };
      const recorded = this.#records.occupant(directory, entry);
      if (id !== recorded) {
        if (recorded !== 0) {
          this.#note(recorded);
          if (id === 0) this.#covered.set(recorded, [...(this.#covered.get(recorded) ?? []), place]);
        }
        if (id !== 0) this.#note(id, place);
        this.#records.setEntry(directory, entry, id, 0);
      }
      if (id === 0) continue;
      if (this.#stat.isDirectory) subdirectories.push({ name: entry, id });
    }
    for (const entry of [...this.#records.children(directory)]) {
      if (seen.has(entry)) continue;
      this.#note(this.#records.occupant(directory, entry));
      this.#records.setEntry(directory, entry, 0, 0);
    }
    for (const one of subdirectories) this.#walk(fd, one.name, one.id);
    this.#resetTime(fd, directory);
    close(fd);
  }

  /** What the cut batch did to a directory moved its time; applying the batch again finds that done and would not touch it. */
  #resetTime(fd: number, directory: InodeId): void {
    const record = this.#records.store.inode(directory);
    if (record === undefined || fstat(fd, this.#stat) < 0 || !isSameIdentity(record, this.#stat)) return;
    if (record.mtimeS === this.#stat.mtimeS && record.mtimeNs === this.#stat.mtimeNs) return;
    futimens(fd, record.mtimeS, record.mtimeNs);
  }

  #note(id: InodeId, place?: Place): void {
    const places = this.#moved.get(id) ?? [];
    if (place !== undefined) places.push(place);
    this.#moved.set(id, places);
  }

  #settle(id: InodeId): void {
    if (id === rootId) return;
    const record = this.#records.store.inode(id);
    const inode = this.#records.inode(id);
    if (record === undefined || inode === undefined) return;
    const names = new Map<string, Place>();
    for (const place of [...inode.names, ...(this.#moved.get(id) ?? [])]) {
      if (this.#records.occupant(place.parent, place.name) === id) names.set(placeKey(place), place);
    }
    const stat = this.#stat;
    const isInLimbo = statx(this.#home.limboFd, String(id), stat) === 0 && isSameIdentity(record, stat);
    const isFound = names.size > 0 || isInLimbo;
    const renewed = this.#renewed.get(id);
    const covered = this.#covered.get(id) ?? [];
    // Not so where names show two of them, each made by another agent that was killed: then it is placed under all of them once more.
    const isOne = covered.every((place) => renewed?.inode.names.some((one) => isSamePlace(one, place)));
    if (!isFound && renewed !== undefined && isOne) {
      const { inode: found, identity } = renewed;
      for (const place of found.names) this.#records.setEntry(place.parent, place.name, id, 0);
      this.#put(id, found, identity);
      return;
    }
    if (!isInLimbo && record.kind === Kind.file) {
      // A name that shows an inode which nobody recorded: new content that was placed by the batch that was cut off, most
      // likely. It stays this inode's name, so that the content is placed there once more.
      for (const place of covered) {
        if (this.#records.occupant(place.parent, place.name) !== 0) continue;
        names.set(placeKey(place), place);
        this.#records.setEntry(place.parent, place.name, id, 0);
      }
    }
    if (isFound) this.#put(id, { ...inode, names: [...names.values()] }, record);
    else if (names.size === 0) this.#forget(id);
    else {
      this.#put(id, { ...inode, contentSeq: 0, names: [...names.values()] }, nowhere);
    }
  }

  /** It is nowhere. What the records have below it may be elsewhere, and is settled (again) after this. */
  #forget(id: InodeId): void {
    for (const name of [...this.#records.children(id)]) {
      const child = this.#records.occupant(id, name);
      this.#records.setEntry(id, name, 0, 0);
      const places = this.#moved.get(child) ?? [];
      this.#moved.delete(child);
      this.#moved.set(child, places);
    }
    this.#records.forget(id);
  }

  #put(id: InodeId, inode: PlannedInode, identity: LocalIdentity): void {
    this.#records.put(id, inode, identity, 0);
  }
}

function keyOf({ inoHigh, inoLow }: Pick<LocalIdentity, 'inoHigh' | 'inoLow'>): string {
  return `${inoHigh}:${inoLow}`;
}

/** What is there is of the kind, and a file of the size and time, that the batch gave to it. */
function isAsMade({ kind, size, mtimeS, mtimeNs }: Placement, stat: Stat): boolean {
  if (kindOf(stat) !== kind) return false;
  return kind !== Kind.file || (stat.size === size && stat.mtimeS === mtimeS && stat.mtimeNs === mtimeNs);
}
