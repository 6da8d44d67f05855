// What of the batch in hand was not as planned, and what the records say in the end instead: what is really there.

import { type InodeId, Kind, rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import {
  distinctPlaces,
  isSamePlace,
  type Operation,
  type Place,
  type Plan,
  type PlannedInode,
  type Slot,
} from '../core/plan-operation.ts';
import { ENOENT, Stat, statx, unlinkat } from '../kernel/sys.ts';
import type { Home } from './home.ts';
import { isSameIdentity } from './local-identity.ts';
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
  /** Why, as -errno. */
  readonly #errnos = new Map<InodeId, number>();
  /** What can be done later, and where it was to happen. */
  readonly #mendable = new Map<InodeId, Place[]>();
  /** What is no file and was to stay is not here any more: nobody but the source knows what it was. Known when `settle` has looked. */
  isLacking = false;

  constructor(home: Home, records: Records, where: Whereabouts) {
    this.#home = home;
    this.#records = records;
    this.#where = where;
  }

  begin(): void {
    this.#broken.clear();
    this.#errnos.clear();
    this.#lost.clear();
    this.#goneFolders.length = 0;
    this.#mendable.clear();
    this.isLacking = false;
  }

  /** What somebody can mend (core/problem.ts), with the places where that will show. Known when `settle` has looked. */
  get mendable(): ReadonlyMap<InodeId, readonly Place[]> {
    return this.#mendable;
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

  /**
   * An operation was not carried out: what is at its places is looked at in the end.
   * @param errno why; 0: because another one of the same inode was not
   */
  break(operation: Operation, errno: number): void {
    const places = placesOf(operation);
    if (errno === 0 && this.#mendable.has(operation.id)) this.canBeMended(operation);
    for (const id of inodesOf(operation)) {
      if (errno < 0) this.#errnos.set(id, errno);
      this.#broken.set(id, [...(this.#broken.get(id) ?? []), ...places]);
    }
  }

  /** Why something is still in the folder that was to leave it, as -errno; 0: nothing is. */
  errnoIn(folder: InodeId): number {
    for (const [id, places] of this.#broken) {
      const errno = this.#errnos.get(id) ?? 0;
      if (errno < 0 && places.some(({ parent }) => parent === folder)) return errno;
    }
    return 0;
  }

  /** It can be carried out when somebody has been there, and with it what was to follow for the same inodes. */
  canBeMended(operation: Operation): void {
    const places = placesOf(operation);
    for (const id of inodesOf(operation)) {
      // What is made in staging for the names that it has.
      this.#canBeMended(id, places.length > 0 ? places : (this.#records.inode(id)?.names ?? []));
    }
  }

  #canBeMended(id: InodeId, places: readonly Place[]): void {
    this.#mendable.set(id, [...(this.#mendable.get(id) ?? []), ...places]);
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
      const all = distinctPlaces([...places, ...(planned?.names ?? []), ...(recorded?.names ?? [])]);
      const there = all.filter((place) => this.#isAt(id, place));
      this.#discardStaged(id);
      const isInLimbo = this.#where.isThere({ dirfd: this.#home.limboFd, name: String(id) }, id);
      const isHere = there.length > 0 || isInLimbo;
      const stillThere = all.filter(
        (place) => !there.includes(place) && this.#isStillAt(id, place, recorded, isHere),
      );
      const names = [...there, ...stillThere];
      for (const place of all) if (!names.includes(place) && occupant(place) === id) setEntry(place, 0);
      // What was planned holds only for what was made.
      const known = this.#where.notedIdentity(id) === undefined ? recorded : (planned ?? recorded);
      if (known !== undefined && isHere) inodes.set(id, { ...known, names });
      else if (recorded !== undefined && names.length > 0) {
        // What was made in its place has gone with the staging folder. It comes again when the folder is listed.
        this.#where.forgetIdentity(id);
        this.#lost.delete(id);
        inodes.set(id, { ...recorded, names });
      } else {
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

  #isAt(id: InodeId, place: Place): boolean {
    const at = this.#where.locate({ at: 'name', ...place });
    return typeof at !== 'number' && this.#where.isThere(at, id);
  }

  /**
   * What the records say of the place still holds: new content was made and could not take it, or it is hidden.
   * @param hasOtherPlace only what is hidden counts then: the other one is what was planned
   */
  #isStillAt(id: InodeId, place: Place, recorded: PlannedInode | undefined, hasOtherPlace: boolean): boolean {
    if (recorded?.names.some((one) => isSamePlace(one, place)) !== true) return false;
    if (this.isCovered(id, place)) {
      // Nobody tells when it can be seen again.
      this.#canBeMended(id, [place]);
      return true;
    }
    const record = this.#records.store.inode(id);
    const at = this.#where.locate({ at: 'name', ...place });
    if (hasOtherPlace || record === undefined || typeof at === 'number') return false;
    return statx(at.dirfd, at.name, this.#stat) === 0 && isSameIdentity(record, this.#stat);
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
  isCovered(id: InodeId, place: Place): boolean {
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

/** Inodes whose names an operation changes. */
function inodesOf(operation: Operation): InodeId[] {
  const { id } = operation;
  if (operation.type === 'rename' && operation.over !== 0) return [id, operation.over];
  return operation.type === 'exchange' ? [id, operation.other] : [id];
}

/** Names in the tree that an operation takes or gives. */
function placesOf(operation: Operation): Place[] {
  const places: Place[] = [];
  const add = (slot: Slot): void => {
    if (slot.at === 'name') places.push({ parent: slot.parent, name: slot.name });
  };
  if ('to' in operation) add(operation.to);
  if ('from' in operation) add(operation.from);
  if ('at' in operation) add(operation.at);
  return places;
}
