// What of the batch in hand was not as planned, and what the records say in the end instead: what is really there.

import { type InodeId, Kind, rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import {
  isSamePlace,
  type Operation,
  type Place,
  type Plan,
  type PlannedInode,
  type Slot,
} from '../core/plan-operation.ts';
import { ENOENT, Stat, statx, unlinkat } from '../kernel/sys.ts';
import type { Home } from './home.ts';
import type { Records } from './records.ts';
import { stagedName, type Whereabouts } from './whereabouts.ts';

export class Failures {
  readonly #home: Home;
  readonly #records: Records;
  readonly #where: Whereabouts;
  /** Each with the names that it was to get or to lose. */
  readonly #broken = new Map<InodeId, Place[]>();
  readonly #lost = new Set<InodeId>();
  readonly #goneFolders: InodeId[] = [];
  readonly #stat = new Stat();
  /** One of them can be done later. */
  isMendable = false;
  /** What is no file and was to stay is not here any more: nobody but the source knows what it was. Known when `settle` has looked. */
  isLacking = false;

  constructor(home: Home, records: Records, where: Whereabouts) {
    this.#home = home;
    this.#records = records;
    this.#where = where;
  }

  begin(): void {
    this.#broken.clear();
    this.#lost.clear();
    this.#goneFolders.length = 0;
    this.isMendable = false;
    this.isLacking = false;
  }

  /** Files whose content has to come again. */
  get lost(): readonly InodeId[] {
    return [...this.#lost];
  }

  /** Folders that are not here any more, so that nothing in them is; some are in others of them. Known when `settle` has looked. */
  get goneFolders(): readonly InodeId[] {
    return this.#goneFolders;
  }

  /** Everything went as planned. */
  get isEmpty(): boolean {
    return this.#broken.size === 0;
  }

  /** What was planned for the inode cannot be relied on any more. */
  has(id: InodeId): boolean {
    return this.#broken.has(id);
  }

  /** The content is not here: it is asked for. */
  lose(id: InodeId): void {
    this.#lost.add(id);
  }

  /** The inode is not where the records have it: its content has to come again. */
  gone(id: InodeId): number {
    if (!this.#broken.has(id)) this.#broken.set(id, []);
    const kind = this.#records.store.inode(id)?.kind;
    if (kind === Kind.file) this.lose(id);
    return -ENOENT;
  }

  /** An operation was not carried out: what is at its places is looked at in the end. */
  break(operation: Operation): void {
    const places: Place[] = [];
    const add = (slot: Slot): void => {
      if (slot.at === 'name') places.push({ parent: slot.parent, name: slot.name });
    };
    const ids = [operation.id];
    if ('to' in operation) add(operation.to);
    if ('from' in operation) add(operation.from);
    if ('at' in operation) add(operation.at);
    if (operation.type === 'rename' && operation.over !== 0) ids.push(operation.over);
    if (operation.type === 'exchange') ids.push(operation.other);
    for (const id of ids) this.#broken.set(id, [...(this.#broken.get(id) ?? []), ...places]);
  }

  /** After failures: the records of the inodes concerned follow what is really there. */
  settle(plan: Plan): Pick<Plan, 'inodes' | 'entries'> {
    const inodes = new Map(plan.inodes);
    const entries = new Map<InodeId, Map<Name, InodeId>>();
    for (const [parent, names] of plan.entries) entries.set(parent, new Map(names));
    const setEntry = (place: Place, id: InodeId): void => {
      const names = entries.get(place.parent) ?? new Map<Name, InodeId>();
      names.set(place.name, id);
      entries.set(place.parent, names);
    };
    const occupant = (place: Place): InodeId =>
      entries.get(place.parent)?.get(place.name) ?? this.#records.occupant(place.parent, place.name);
    const found: { readonly id: InodeId; readonly place: Place }[] = [];
    for (const [id, places] of this.#broken) {
      if (id === rootId) continue;
      const recorded = this.#records.inode(id);
      const planned = plan.inodes.get(id) ?? undefined;
      // What was planned holds only for what was made.
      const known = this.#where.notedIdentity(id) === undefined ? recorded : (planned ?? recorded);
      const names: Place[] = [];
      for (const place of distinct([...places, ...(planned?.names ?? []), ...(recorded?.names ?? [])])) {
        if (this.#isAt(id, place, recorded)) names.push(place);
        else if (occupant(place) === id) setEntry(place, 0);
      }
      this.#discardStaged(id);
      const isInLimbo = this.#where.isThere({ dirfd: this.#home.limboFd, name: String(id) }, id);
      if (known !== undefined && (names.length > 0 || isInLimbo)) inodes.set(id, { ...known, names });
      else {
        const wasToStay = recorded !== undefined && inodes.get(id) !== null;
        inodes.set(id, null);
        if (wasToStay && recorded.attributes.kind === Kind.file) this.lose(id);
        else if (wasToStay) this.isLacking = true;
        if (recorded?.attributes.kind === Kind.directory) this.#noteGone(id, plan);
      }
      for (const place of names) found.push({ id, place });
    }
    for (const { id, place } of found) setEntry(place, id);
    return { inodes, entries };
  }

  /** The inode is there as far as anybody can see. */
  #isAt(id: InodeId, place: Place, recorded: PlannedInode | undefined): boolean {
    const at = this.#where.locate({ at: 'name', ...place });
    if (typeof at !== 'number' && this.#where.isThere(at, id)) return true;
    const wasThere = recorded?.names.some((one) => isSamePlace(one, place)) === true;
    if (!wasThere || !this.#isCovered(id, place)) return false;
    // Nobody tells when it can be seen again.
    this.isMendable = true;
    return true;
  }

  /** Whoever moved the folder may have moved one above it: then that one is gone, with all that is in it. */
  #noteGone(id: InodeId, plan: Plan): void {
    this.#goneFolders.push(id);
    for (let slot = this.#where.slotOf(id); slot?.at === 'name' && slot.parent !== rootId; ) {
      const above = slot.parent;
      slot = this.#where.slotOf(above);
      const at = slot === undefined ? -ENOENT : this.#where.locate(slot);
      if (typeof at !== 'number' && this.#where.isThere(at, above)) continue;
      this.#goneFolders.push(above);
      if (plan.inodes.get(above) !== null) this.isLacking = true;
    }
  }

  /** Somebody has mounted something over the folder that is recorded at the place, or over one above it: it is there, below that. */
  #isCovered(id: InodeId, place: Place): boolean {
    let at = id;
    for (let slot: Slot | undefined = { at: 'name', ...place }; slot?.at === 'name'; ) {
      const found = this.#where.locate(slot);
      const isMount =
        typeof found !== 'number' &&
        statx(found.dirfd, found.name, this.#stat) === 0 &&
        this.#stat.isMountRoot;
      if (isMount && !this.#where.isThere(found, at)) return true;
      at = slot.parent;
      slot = this.#where.slotOf(at);
    }
    return false;
  }

  /**
   * New content that has not got all of its names, or one more name of a file, on its way to where it could not be placed: nobody comes
   * back for it, and to the names that it has it would be one more link.
   */
  #discardStaged(id: InodeId): void {
    const staged = { dirfd: this.#home.stagingFd, name: stagedName(id) };
    if (this.#where.isThere(staged, id)) unlinkat(staged.dirfd, staged.name);
  }
}

function distinct(places: readonly Place[]): Iterable<Place> {
  return new Map(places.map((place) => [`${place.parent}/${place.name}`, place])).values();
}
