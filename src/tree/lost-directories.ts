// Directories that are not where the records have them, and the names in them that could not be looked at for that.

import { type InodeId, rootId } from '../core/attributes.ts';
import type { ByteString, Name } from '../core/name.ts';
import { type Directories, maxDepth } from './directories.ts';
import type { TreeEditor } from './editor.ts';
import type { Hinted } from './hints.ts';
import type { Look } from './look.ts';
import type { InodeRecord } from './records.ts';

/** How often a name is looked at again whose directory could not be reached: what moved with it is found meanwhile. */
const maxRetries = 3;
/** How often a directory that is not where it should be is tried again before everything is compared. */
const maxListings = 20;
/** Comparisons of everything for want of a directory that nobody finds are at least so far apart. Milliseconds. */
const rescanPauseMs = 1000;

interface LostDirectoriesOptions {
  readonly editor: TreeEditor;
  readonly directories: Directories;
  readonly look: Pick<Look, 'bequeath'>;
  /** Lists a directory in this round. */
  readonly list: (id: InodeId) => void;
  /** Looks at a name in this round. */
  readonly lookAgain: (item: Hinted) => void;
}

/** Of one round of the recorder, but for what outlives it: those that may not be looked into, and that something is lost at all. */
export class LostDirectories {
  readonly #editor: TreeEditor;
  readonly #directories: Directories;
  readonly #look: Pick<Look, 'bequeath'>;
  readonly #list: (id: InodeId) => void;
  readonly #lookAgain: (item: Hinted) => void;
  /** Names in directories that were not where the records have them: looked at again when this round has found those. */
  #unreached: Hinted[] = [];
  /** Directories that could not be opened in this round, and how often their names were looked at for that. */
  readonly #sought = new Map<InodeId, number>();
  /** Those of them whose names are being looked at, until `reachAgain`. */
  readonly #seeking = new Set<InodeId>();
  /** Directories that had left the tree when names in them were to be looked at, and so were not: listed if they turn up in this round. */
  readonly #passedOver = new Set<InodeId>();
  /** Directories without a name that have been sought where the kernel has them, in this round. */
  readonly #housed = new Set<InodeId>();
  /** Directories that could not be listed, and how often that was tried. */
  readonly #unlisted = new Map<InodeId, number>();
  /** Directories that we may not look into: tried again when the permissions of any directory change. */
  readonly #denied = new Set<InodeId>();
  #isLost = false;
  #rescannedAt = -Infinity;

  constructor({ editor, directories, look, list, lookAgain }: LostDirectoriesOptions) {
    this.#editor = editor;
    this.#directories = directories;
    this.#look = look;
    this.#list = list;
    this.#lookAgain = lookAgain;
  }

  /** Something could not be looked at, since a directory is neither where it was nor anywhere known: only a comparison of everything tells. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Something else was lost, of which only a comparison of everything tells. */
  suspect(): void {
    this.#isLost = true;
  }

  /** When that comparison is due, in ms of `performance.now()`; undefined: nothing is lost. */
  get rescanAt(): number | undefined {
    return this.#isLost ? this.#rescannedAt + rescanPauseMs : undefined;
  }

  /** Everything is compared now. */
  rescanned(now: number): void {
    this.#isLost = false;
    this.#rescannedAt = now;
  }

  /** Names wait for their directory to be found. */
  get areWaiting(): boolean {
    return this.#unreached.length > 0;
  }

  /** Its directory could not be reached. */
  wait(item: Hinted): void {
    this.#unreached.push(item);
  }

  /** The directory is being sought: no use in trying to reach it. */
  isSought(directory: InodeId): boolean {
    return this.#seeking.has(directory);
  }

  /**
   * Looks where the directory was last: has it gone, or moved, that tells. Once for all names in it: a folder that is removed has many.
   * Names that chase each other do not keep us here for ever.
   */
  seek(record: InodeRecord): void {
    if (this.#seeking.has(record.id)) return;
    this.#seeking.add(record.id);
    const times = (this.#sought.get(record.id) ?? 0) + 1;
    this.#sought.set(record.id, times);
    if (times > maxRetries || record.name === '') this.#isLost = true;
    else this.#lookAgain({ directory: record.parent, name: record.name, hints: 0, deferred: 0 });
  }

  unlisted(directory: InodeId): void {
    this.#unlisted.set(directory, (this.#unlisted.get(directory) ?? 0) + 1);
  }

  denied(directory: InodeId): void {
    this.#denied.add(directory);
  }

  /** Permissions of a directory have changed. */
  tryDenied(): void {
    for (const id of this.#denied) this.#list(id);
    this.#denied.clear();
  }

  /**
   * Directories that have lost their last name may live on under one that has not been looked at: the kernel says which. RACE: it may be
   * elsewhere again by then, of which an event tells.
   * Yields their paths, each once in a round; what a look has found counts for the next one: a directory may be in another one.
   */
  *homesOfHomeless(): Generator<ByteString> {
    for (const id of this.#editor.homeless) {
      if (this.#housed.has(id)) continue;
      this.#housed.add(id);
      const path = this.#directories.whereIs(id);
      if (path !== undefined) yield path;
    }
  }

  /** Looks at the names again that wait. Where the directory has left the tree, what was in it may be elsewhere by now. */
  reachAgain(): void {
    const unreached = this.#unreached;
    this.#unreached = [];
    this.#seeking.clear();
    for (const item of unreached) {
      if (this.#hasLeft(item.directory)) {
        this.#passedOver.add(item.directory);
        if (item.name !== '') this.#leaveBehind(item.directory, item.name, item.hints);
      } else if (item.deferred < maxRetries) this.#lookAgain({ ...item, deferred: item.deferred + 1 });
      else this.#isLost = true;
    }
  }

  /** The name has left the tree with its directory: if its inode has another one, what was hinted at is that one's. */
  #leaveBehind(directory: InodeId, name: Name, hints: number): void {
    const record = this.#editor.at(directory, name);
    if (record === undefined || record.links < 2) return;
    this.#look.bequeath(record.id, hints);
    this.#editor.unlink(directory, name);
  }

  /** The directory, or one above it, has no name any more. */
  #hasLeft(directory: InodeId): boolean {
    for (let id = directory, depth = 0; id !== rootId && depth < maxDepth; depth++) {
      const record = this.#editor.inode(id);
      if (record === undefined || record.links === 0) return true;
      id = record.parent;
    }
    return false;
  }

  /** Lists directories that had left the tree, and are there again under another name. */
  listReturned(): void {
    for (const id of this.#passedOver) if (!this.#hasLeft(id)) this.#list(id);
    this.#passedOver.clear();
  }

  /** The round is over. What lives on and could not be listed is tried again, with what is known of its place now. */
  endRound(): void {
    this.#housed.clear();
    this.#sought.clear();
    for (const [id, times] of this.#unlisted) {
      const record = this.#editor.inode(id);
      if (record === undefined || record.links === 0 || record.listed) this.#unlisted.delete(id);
      else if (times > maxListings) {
        this.#unlisted.delete(id);
        this.#isLost = true;
      } else this.#list(id);
    }
  }
}
