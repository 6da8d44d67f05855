// Decides, without acting, how a replica gets from what it has to what a batch says (docs/protocol.md, "Applying a batch").
//
// I2: a name that exists before and after a batch exists throughout, and never shows anything but its old or its new
// inode. So nothing is unlinked to make room. What must give way is
//   - renamed over, when nothing will ask for it again (dead, or it has another name);
//   - a file: given a name in limbo first, then renamed over;
//   - a directory, or a file that makes room for one: exchanged with the newcomer, and moved on to limbo.
// Chains ("a becomes b, a new a appears") are planned from the far end, so that no name waits empty for its successor;
// a cycle of two is one exchange, longer ones pass through limbo or a chain of exchanges.

import { type Attributes, type InodeId, Kind, rootId, type Seq } from './attributes.ts';
import { isSameAttributes, isSameNode } from './attributes-compare.ts';
import type { Batch, Change, Content } from './change.ts';
import type { Name } from './name.ts';
import type {
  DeferredEntry,
  Ids,
  Operation,
  Place,
  Plan,
  PlannedInode,
  ReplicaView,
  Slot,
} from './plan-operation.ts';
import { PlanRecords } from './plan-records.ts';

type EntryChange = Place & { readonly id: InodeId };

/** An inode that the batch brought and that no operation has made yet. */
interface Unbuilt {
  readonly attributes: Attributes;
  readonly contentSeq: Seq;
  readonly content: Content;
}

type NewContent = Unbuilt & { readonly id: InodeId };

/**
 * Turns a batch into operations and new records. Pure: nothing but its arguments is read, nothing is changed.
 * @param deferred what the plan before this one could not do yet
 * @param owed ids whose content is still being streamed: it will come with all their names
 * @param nameless files that earlier batches brought, and no name for them yet
 */
export function planBatch(
  batch: Batch,
  view: ReplicaView,
  deferred: readonly DeferredEntry[] = [],
  owed: Ids = new Set(),
  nameless: readonly InodeId[] = [],
): Plan {
  return new Planner(batch, view, deferred, owed, nameless).run();
}

class Planner {
  readonly #batch: Batch;
  readonly #records: PlanRecords;
  readonly #operations: Operation[] = [];
  readonly #dead: ReadonlySet<InodeId>;
  readonly #unbuilt = new Map<InodeId, Unbuilt>();
  /** What each name mentioned in the batch is to become (0: nothing), until it has been dealt with. */
  readonly #wanted = new Map<InodeId, Map<Name, EntryChange>>();
  /** How many names still wait for an inode. */
  readonly #awaited = new Map<InodeId, number>();
  readonly #inProgress = new Set<EntryChange>();
  readonly #late: EntryChange[] = [];
  readonly #deferred = new Set<EntryChange>();
  readonly #lost: InodeId[] = [];
  readonly #touched = new Set<InodeId>();
  readonly #owedBefore: Ids;
  readonly #newlyOwed = new Set<InodeId>();
  readonly #nameless: Set<InodeId>;

  constructor(
    batch: Batch,
    view: ReplicaView,
    deferred: readonly DeferredEntry[],
    owed: Ids,
    nameless: readonly InodeId[],
  ) {
    this.#owedBefore = owed;
    this.#nameless = new Set(nameless);
    this.#batch = batch;
    this.#records = new PlanRecords(view);
    this.#dead = new Set(batch.dead);
    for (const change of batch.changes) {
      if (change.type === 'entry') this.#want(change);
      else if (change.type === 'removed') this.#want({ parent: change.parent, name: change.name, id: 0 });
      else if (change.type === 'pending') this.#newlyOwed.add(change.id);
    }
    // An older entry is void when the batch speaks of its name, or places its directory elsewhere.
    const movedDirectories = new Set<InodeId>();
    for (const change of batch.changes) if (change.type === 'entry') movedDirectories.add(change.id);
    for (const entry of deferred) {
      if (this.#wantedAt(entry) !== undefined) continue;
      const isDirectory = this.#records.inode(entry.id)?.attributes.kind === Kind.directory;
      if (isDirectory && movedDirectories.has(entry.id)) continue;
      this.#want(entry);
      this.#deferred.add(entry);
    }
  }

  run(): Plan {
    const { changes } = this.#batch;
    if (this.#batch.complete) this.#askForNameless();
    // New inodes can be had from the start: a name that somebody leaves early may be waiting for one of them.
    const isNew = new Set<InodeId>();
    for (const change of changes) {
      if (change.type !== 'inode' || this.#records.inode(change.id) !== undefined) continue;
      this.#inode(change);
      isNew.add(change.id);
    }
    for (const change of changes) {
      if (change.type === 'inode') {
        if (!isNew.has(change.id)) this.#inode(change);
      } else if (change.type === 'entry') this.#entry(change, false);
    }
    // A new directory gets its name when it is filled: it appears whole, and filling it needs no renames.
    for (const change of this.#late) this.#entry(change, true);
    this.#retryDeferred();
    for (const [id, { attributes }] of this.#unbuilt) {
      if (attributes.kind === Kind.file) this.#nameless.add(id);
      this.#build(id, limbo(id));
    }
    this.#removals();
    this.#directoryTimes();
    const waiting = [...this.#deferred];
    return {
      operations: this.#operations,
      inodes: this.#records.inodes,
      entries: this.#records.entries,
      deferred: this.#batch.complete ? [] : waiting,
      unresolved: this.#batch.complete ? waiting : [],
      nameless: this.#batch.complete ? [] : [...this.#nameless].filter((id) => this.#isWithoutName(id)),
      lost: this.#lost,
      emptyLimbo: this.#batch.complete,
    };
  }

  /** It lives, and none of its names is news: it could not be made when they were. */
  #askForNameless(): void {
    for (const id of this.#nameless) {
      if (!this.#isAwaited(id) && !this.#dead.has(id) && this.#isWithoutName(id)) this.#ask(id);
    }
  }

  // --- inodes -----------------------------------------------------------------------------------------------------------

  #inode(change: Extract<Change, { type: 'inode' }>): void {
    const { id, attributes, contentSeq, content } = change;
    const known = this.#records.inode(id);
    if (known === undefined) {
      if (this.#isDead(id)) {
        // It lives, and no name of it is told because none is new: it could not be made when they were. What comes by itself was asked for.
        const isNews = this.#batch.from < this.#batch.to && !this.#dead.has(id);
        if (isNews && attributes.kind === Kind.file) this.#ask(id);
        return;
      }
      const isMissing = content.from === 'none' && attributes.kind === Kind.file && attributes.size > 0;
      if (isMissing || content.from === 'same') {
        this.#ask(id);
        return;
      }
      this.#unbuilt.set(id, { attributes, contentSeq, content });
      return;
    }
    const isNewer = attributes.kind === Kind.file && contentSeq > known.contentSeq;
    const isNewContent =
      attributes.kind === Kind.file
        ? content.from !== 'none' && isNewer
        : !isSameNode(attributes, known.attributes);
    if (isNewContent && content.from !== 'same') {
      this.#replaceContent({ id, attributes, contentSeq, content }, known);
      return;
    }
    // It has been compared: what is here is the newest.
    const isConfirmed = isNewer && content.from === 'same';
    let next = attributes;
    if (isNewer && !isConfirmed) {
      // The new content is still to come (a batch may have ended between the change of the content and a later one of
      // the attributes: then nobody owes it yet). Until then size and time are those of the old one, so that nobody
      // takes the old content for the new.
      this.#ask(id);
      const { size, mtimeS, mtimeNs } = known.attributes;
      next = { ...attributes, size, mtimeS, mtimeNs };
    } else if (attributes.kind === Kind.file) next = { ...attributes, size: known.attributes.size };
    const isSame = isSameAttributes(known.attributes, next);
    if (isSame && !isConfirmed) return;
    if (!isSame) {
      const at = this.#slotOf(id, known);
      this.#do({ type: 'setAttributes', id, at, before: known.attributes, attributes: next });
    }
    const xattrs = next.xattrs ?? known.attributes.xattrs;
    this.#records.put(id, { ...next, xattrs }, isConfirmed ? contentSeq : known.contentSeq);
    if (next.kind === Kind.directory) this.#touched.add(id);
  }

  /** Builds the new content beside the old one and places it over every name. */
  #replaceContent({ id, attributes, contentSeq, content }: NewContent, known: PlannedInode): void {
    this.#do({ type: 'buildContent', id, attributes, contentSeq, content });
    this.#records.put(id, attributes, contentSeq);
    const [first, ...others] = known.names;
    if (first === undefined) {
      this.#do({ type: 'rename', id, from: staging(id), to: limbo(id), over: id });
      return;
    }
    this.#do({ type: 'rename', id, from: staging(id), to: at(first), over: id });
    for (const place of others) {
      this.#do({ type: 'link', id, from: at(first), to: staging(id) });
      this.#do({ type: 'rename', id, from: staging(id), to: at(place), over: id });
    }
  }

  #build(id: InodeId, to: Slot): void {
    const unbuilt = this.#unbuilt.get(id);
    if (unbuilt === undefined) return;
    this.#unbuilt.delete(id);
    this.#do({ type: 'build', id, to, ...unbuilt });
    this.#records.put(id, unbuilt.attributes, unbuilt.contentSeq);
    if (unbuilt.attributes.kind === Kind.directory) this.#touched.add(id);
    if (to.at === 'name') this.#records.addName(id, to.parent, to.name);
  }

  // --- names ------------------------------------------------------------------------------------------------------------

  /** Makes the name refer to the inode. `now`: also when it is a new directory that could still be filled first. */
  #entry(named: EntryChange, now: boolean): void {
    const change = this.#changeAt(named);
    if (change === undefined || change.id !== named.id || this.#inProgress.has(change)) return;
    this.#inProgress.add(change);
    const outcome = this.#place(change, now);
    this.#inProgress.delete(change);
    if (outcome === 'late') this.#late.push(change);
    else if (outcome === 'impossible') this.#deferred.add(change);
    else this.#settle(change);
  }

  #place(change: EntryChange, now: boolean): 'done' | 'late' | 'impossible' {
    const { parent, name, id } = change;
    const kind = this.#unbuilt.get(id)?.attributes.kind ?? this.#records.inode(id)?.attributes.kind;
    // What is owed comes with all its names; anything else that is unknown has its inode still to come.
    if (kind === undefined) return this.#isOwed(id) ? 'done' : 'impossible';
    if (id === rootId) return 'done';
    if (this.#unbuilt.get(parent)?.attributes.kind === Kind.directory) this.#build(parent, limbo(parent));
    if (this.#records.inode(parent)?.attributes.kind !== Kind.directory) return 'impossible';
    if (this.#records.occupant(parent, name) === id) return 'done';

    if (this.#unbuilt.has(id)) {
      // What is recorded below a directory that was lost is still where it was.
      const isLoop = kind === Kind.directory && this.#records.isAbove(id, parent);
      if (!isLoop && this.#isHidden(parent) && this.#records.occupant(parent, name) === 0) {
        this.#build(id, at(change));
        return 'done';
      }
      this.#build(id, limbo(id));
    }
    // What can be seen now must not vanish into a directory that cannot.
    if (this.#hasName(id) && this.#isHidden(parent)) {
      for (const late of this.#late) if (this.#records.isAbove(late.id, parent)) this.#entry(late, true);
    }
    if (kind !== Kind.directory) {
      this.#placeFile(change);
      return 'done';
    }
    // A directory that nobody sees is placed when it is filled.
    if (!now && !this.#hasName(id)) return 'late';
    return this.#placeDirectory(change) ? 'done' : 'impossible';
  }

  #placeDirectory(change: EntryChange): boolean {
    const { parent, name, id } = change;
    this.#freeFrom(id, parent);
    if (this.#records.isAbove(id, parent)) return false;
    // Whoever is to follow under the name that we leave takes it first, so that it never stands empty.
    const leaving = this.#records.inode(id)?.names[0];
    if (leaving !== undefined) {
      const follower = this.#changeAt(leaving);
      if (follower !== undefined && follower.id !== 0 && follower.id !== id) this.#entry(follower, true);
      if (this.#leavesGap(leaving, id)) return false;
    }
    const occupant = this.#records.occupant(parent, name);
    if (occupant === id) return true;
    const inode = this.#records.inode(id);
    if (inode === undefined || this.#records.isAbove(id, parent)) return false;
    const from = this.#slotOf(id, inode);
    if (occupant === 0) {
      this.#rename(id, from, change);
      return true;
    }
    if (from.at === 'name' && this.#isCycle(from) && !this.#records.isAbove(occupant, from.parent)) {
      this.#exchange(id, from, change, occupant);
      return true;
    }
    // The old name goes away in any case: passing through limbo, the occupant is never seen under it, and
    // an occupant above us is no obstacle.
    this.#toLimbo(id, from);
    this.#exchangeWithLimbo(id, change, occupant);
    return true;
  }

  /**
   * The directory would leave a name behind that stands empty although the source has something there: this batch was cut short of
   * it. It stays until a batch says what follows.
   */
  #leavesGap(place: Place, id: InodeId): boolean {
    if (this.#batch.complete || this.#records.occupant(place.parent, place.name) !== id) return false;
    const follower = this.#changeAt(place);
    if (follower !== undefined) {
      return follower.id !== 0 && follower.id !== id && !this.#inProgress.has(follower);
    }
    // A directory that goes takes the names in it along: nothing is said of them.
    for (let at: InodeId | undefined = place.parent; at !== undefined; at = this.#records.parentOf(at)) {
      const [named] = this.#records.inode(at)?.names ?? [];
      if (named === undefined) return at === rootId;
      // It moves, and takes them along.
      if (this.#isAwaited(at)) return true;
      if (this.#wantedAt(named) === 0) return false;
    }
    return true;
  }

  /** Moves away what lies between `id` and the place below it that it is to move to, where the batch or one before it says whereto. */
  #freeFrom(id: InodeId, parent: InodeId): void {
    if (!this.#records.isAbove(id, parent)) return;
    const between: InodeId[] = [];
    for (
      let at: InodeId | undefined = parent;
      at !== undefined && at !== id;
      at = this.#records.parentOf(at)
    ) {
      between.push(at);
    }
    const entries = this.#batch.changes.filter((change) => change.type === 'entry');
    const moves: readonly EntryChange[] = [...this.#deferred, ...entries];
    for (const directory of between.reverse()) {
      for (const change of moves) if (change.id === directory) this.#entry(change, true);
    }
  }

  #placeFile(change: EntryChange): void {
    const { parent, name, id } = change;
    const inode = this.#records.inode(id);
    if (inode === undefined) return;
    const leaving = inode.names.find((place) => this.#wantedAt(place) === 0);
    const occupant = this.#records.occupant(parent, name);
    const occupantKind = this.#records.inode(occupant)?.attributes.kind;

    if (occupantKind === Kind.directory) {
      if (leaving !== undefined) this.#toLimbo(id, at(leaving));
      else this.#linkToLimbo(id, inode);
      this.#exchangeWithLimbo(id, change, occupant);
      return;
    }
    if (occupant !== 0 && this.#isNeeded(occupant)) {
      const swapped = inode.names.find((place) => this.#wantedAt(place) === occupant);
      if (swapped !== undefined) {
        this.#exchange(id, at(swapped), change, occupant);
        this.#settle(swapped);
        return;
      }
      this.#do({ type: 'link', id: occupant, from: at(change), to: limbo(occupant) });
    }
    const [first] = inode.names;
    if (first === undefined) this.#rename(id, limbo(id), change);
    else if (leaving !== undefined) this.#rename(id, at(leaving), change);
    else if (occupant === 0) {
      this.#do({ type: 'link', id, from: at(first), to: at(change) });
      this.#records.addName(id, parent, name);
    } else {
      this.#do({ type: 'link', id, from: at(first), to: staging(id) });
      this.#rename(id, staging(id), change);
    }
  }

  #removals(): void {
    const directories: { readonly place: Place; readonly depth: number }[] = [];
    for (const change of this.#batch.changes) {
      if (change.type !== 'removed' || this.#wantedAt(change) !== 0) continue;
      this.#settle(change);
      const id = this.#records.occupant(change.parent, change.name);
      if (id === 0) continue;
      const inode = this.#records.inode(id);
      if (inode?.attributes.kind === Kind.directory) {
        directories.push({ place: change, depth: this.#depth(change.parent) });
        continue;
      }
      if (this.#isNeeded(id)) this.#toLimbo(id, at(change));
      else {
        this.#do({ type: 'unlink', id, at: at(change) });
        this.#dropName(id, change);
      }
    }
    directories.sort((a, b) => b.depth - a.depth);
    for (const { place } of directories) {
      const id = this.#records.occupant(place.parent, place.name);
      if (id === 0) continue;
      if (!this.#isNeeded(id) && this.#records.isEmpty(id)) {
        this.#do({ type: 'rmdir', id, at: at(place) });
        this.#dropName(id, place);
      } else this.#toLimbo(id, at(place));
    }
  }

  #retryDeferred(): void {
    for (let progress = true; progress; ) {
      const waiting = [...this.#deferred];
      this.#deferred.clear();
      for (const change of waiting) this.#entry(change, true);
      progress = this.#deferred.size < waiting.length;
    }
  }

  #directoryTimes(): void {
    for (const id of this.#touched) {
      const inode = this.#records.inode(id);
      if (inode?.attributes.kind !== Kind.directory) continue;
      this.#do({ type: 'setTimes', id, attributes: inode.attributes });
    }
  }

  // --- steps: an operation and what it does to the records ----------------------------------------------------------------

  /** A rename to a name, dropping what is there. */
  #rename(id: InodeId, from: Slot, to: Place): void {
    const over = this.#records.occupant(to.parent, to.name);
    this.#do({ type: 'rename', id, from, to: at(to), over });
    if (over !== 0) this.#dropName(over, to);
    if (from.at === 'name') this.#records.dropName(id, from.parent, from.name);
    this.#records.addName(id, to.parent, to.name);
  }

  #exchange(id: InodeId, from: Place, to: Place, other: InodeId): void {
    this.#do({ type: 'exchange', id, from: at(from), to: at(to), other });
    this.#records.dropName(id, from.parent, from.name);
    this.#records.dropName(other, to.parent, to.name);
    this.#records.addName(id, to.parent, to.name);
    this.#records.addName(other, from.parent, from.name);
  }

  /** What is in limbo takes the name; the occupant is moved on to its own place in limbo, or removed. */
  #exchangeWithLimbo(id: InodeId, to: Place, occupant: InodeId): void {
    this.#do({ type: 'exchange', id, from: limbo(id), to: at(to), other: occupant });
    this.#records.dropName(occupant, to.parent, to.name);
    this.#records.addName(id, to.parent, to.name);
    const inode = this.#records.inode(occupant);
    const isDirectory = inode?.attributes.kind === Kind.directory;
    if (!isDirectory && (!this.#isNeeded(occupant) || this.#hasName(occupant))) {
      this.#do({ type: 'unlink', id: occupant, at: limbo(id) });
      if (!this.#hasName(occupant)) this.#records.forget(occupant);
    } else if (isDirectory && !this.#isNeeded(occupant) && this.#records.isEmpty(occupant)) {
      this.#do({ type: 'rmdir', id: occupant, at: limbo(id) });
      this.#records.forget(occupant);
    } else this.#do({ type: 'rename', id: occupant, from: limbo(id), to: limbo(occupant), over: 0 });
  }

  #toLimbo(id: InodeId, from: Slot): void {
    if (from.at !== 'name') return;
    this.#do({ type: 'rename', id, from, to: limbo(id), over: 0 });
    this.#records.dropName(id, from.parent, from.name);
  }

  #linkToLimbo(id: InodeId, inode: PlannedInode): void {
    const [first] = inode.names;
    if (first !== undefined) this.#do({ type: 'link', id, from: at(first), to: limbo(id) });
  }

  /** Drops a name for good; an inode whose last one it was is forgotten unless it waits in limbo. */
  #dropName(id: InodeId, place: Place): void {
    const isKept = this.#isNeeded(id);
    this.#records.dropName(id, place.parent, place.name);
    if (!isKept && !this.#hasName(id)) this.#records.forget(id);
  }

  #do(operation: Operation): void {
    this.#operations.push(operation);
    for (const slot of slotsOf(operation)) if (slot.at === 'name') this.#touched.add(slot.parent);
    // XFS changes the times of a directory that is exchanged with what has another parent.
    if (operation.type === 'exchange') this.#touched.add(operation.id).add(operation.other);
    else if (operation.type === 'rename') this.#touched.add(operation.id);
  }

  /** The content has to come from the source, which does not know that yet unless it is owed. */
  #ask(id: InodeId): void {
    if (this.#isOwed(id)) return;
    this.#newlyOwed.add(id);
    this.#lost.push(id);
  }

  // --- questions --------------------------------------------------------------------------------------------------------

  /** Losing the name that is at issue, the inode would be gone, and something may still ask for it. */
  #isNeeded(id: InodeId): boolean {
    return !this.#isDead(id) && (this.#records.inode(id)?.names.length ?? 0) <= 1;
  }

  /** Nothing will ask for this inode again once its names are gone. What is owed may be built from what it is now. */
  #isDead(id: InodeId): boolean {
    if (this.#isAwaited(id)) return false;
    return this.#dead.has(id) || (this.#batch.complete && !this.#isOwed(id));
  }

  #isOwed(id: InodeId): boolean {
    return this.#owedBefore.has(id) || this.#newlyOwed.has(id);
  }

  /** It is to get a name yet. */
  #isAwaited(id: InodeId): boolean {
    return (this.#awaited.get(id) ?? 0) > 0;
  }

  /** It is here, and nowhere to be seen. */
  #isWithoutName(id: InodeId): boolean {
    return this.#records.inode(id)?.names.length === 0;
  }

  #hasName(id: InodeId): boolean {
    return (this.#records.inode(id)?.names.length ?? 0) > 0;
  }

  #slotOf(id: InodeId, inode: PlannedInode): Slot {
    const [first] = inode.names;
    if (id === rootId || first === undefined) return limbo(id);
    return at(first);
  }

  /** No reader can see into the directory: it has no name, or one of those above it has none. */
  #isHidden(directory: InodeId): boolean {
    for (let id = directory; id !== rootId; ) {
      const [place] = this.#records.inode(id)?.names ?? [];
      if (place === undefined) return true;
      id = place.parent;
    }
    return false;
  }

  #depth(directory: InodeId): number {
    let depth = 0;
    for (let id = this.#records.parentOf(directory); id !== undefined; id = this.#records.parentOf(id))
      depth++;
    return depth;
  }

  // --- what is still wanted -----------------------------------------------------------------------------------------------

  #want(change: EntryChange): void {
    let names = this.#wanted.get(change.parent);
    if (names === undefined) {
      names = new Map();
      this.#wanted.set(change.parent, names);
    }
    this.#settle(change);
    names.set(change.name, change);
    if (change.id !== 0) this.#awaited.set(change.id, (this.#awaited.get(change.id) ?? 0) + 1);
  }

  #changeAt(place: Place): EntryChange | undefined {
    return this.#wanted.get(place.parent)?.get(place.name);
  }

  /** What the batch still wants at a name; 0: nothing; undefined: it says nothing, or that is done. */
  #wantedAt(place: Place): InodeId | undefined {
    return this.#changeAt(place)?.id;
  }

  /** The change that is to fill the name is being planned right now: it led here, and so it closes a cycle. */
  #isCycle(place: Place): boolean {
    const change = this.#changeAt(place);
    return change !== undefined && this.#inProgress.has(change);
  }

  #settle(place: Place): void {
    const change = this.#changeAt(place);
    if (change === undefined) return;
    this.#wanted.get(place.parent)?.delete(place.name);
    if (change.id !== 0) this.#awaited.set(change.id, (this.#awaited.get(change.id) ?? 1) - 1);
  }
}

function at(place: Place): Slot & { at: 'name' } {
  return { at: 'name', parent: place.parent, name: place.name };
}

function limbo(id: InodeId): Slot {
  return { at: 'limbo', id };
}

function staging(id: InodeId): Slot {
  return { at: 'staging', id };
}

function slotsOf(operation: Operation): readonly Slot[] {
  switch (operation.type) {
    case 'build':
      return [operation.to];
    case 'rename':
    case 'exchange':
    case 'link':
      return [operation.from, operation.to];
    case 'unlink':
    case 'rmdir':
      return [operation.at];
    case 'buildContent':
    case 'setAttributes':
    case 'setTimes':
      return [];
  }
}
