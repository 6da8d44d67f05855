// What a plan consists of: one operation is one visible step on the replica's file system.

import type { Attributes, InodeId, Seq } from './attributes.ts';
import type { Content } from './change.ts';
import type { Name } from './name.ts';

/** A set, as far as is asked of it: it may be a large one. */
export type Ids = Pick<ReadonlySet<InodeId>, 'has'>;

/** A directory entry, by its directory's id. */
export interface Place {
  readonly parent: InodeId;
  readonly name: Name;
}

export function isSamePlace(one: Place, other: Place): boolean {
  return one.parent === other.parent && one.name === other.name;
}

/** Tells a place from all others in a map or a set. */
export function placeKey({ parent, name }: Place): string {
  return `${parent}/${name}`;
}

/** Each place once, in the order in which they come first. */
export function distinctPlaces(places: readonly Place[]): Place[] {
  return [...new Map(places.map((place) => [placeKey(place), place])).values()];
}

/**
 * Where an object is on the replica. `limbo`: it has no name in the tree and waits under its id.
 * `staging`: a second, temporary name or content of the id, gone by the end of the batch.
 */
export type Slot =
  | { readonly at: 'name'; readonly parent: InodeId; readonly name: Name }
  | { readonly at: 'limbo'; readonly id: InodeId }
  | { readonly at: 'staging'; readonly id: InodeId };

/**
 * One step. Each is a single act on names; ids say what is expected to be where, so that the applier
 * can verify it before the act and keep what it does not know.
 */
export type Operation =
  /** Makes the inode with content and all attributes; nothing is at `to`. `to` is a name only where no reader can see it. */
  | {
      readonly type: 'build';
      readonly id: InodeId;
      readonly to: Slot;
      readonly attributes: Attributes;
      readonly contentSeq: Seq;
      readonly content: Content;
    }
  /** Makes the new content of a known file (or symlink, or device) in `staging`, to be placed over its names. */
  | {
      readonly type: 'buildContent';
      readonly id: InodeId;
      readonly attributes: Attributes;
      readonly contentSeq: Seq;
      readonly content: Content;
    }
  /** Sets what differs, in place; `before` is what the records say. */
  | {
      readonly type: 'setAttributes';
      readonly id: InodeId;
      readonly at: Slot;
      readonly before: Attributes;
      readonly attributes: Attributes;
    }
  /** Renames; `over` is the inode whose name is taken by it (0: nothing is there). */
  | {
      readonly type: 'rename';
      readonly id: InodeId;
      readonly from: Slot;
      readonly to: Slot;
      readonly over: InodeId;
    }
  /** Trades two slots: `id` leaves `from` for `to`, `other` the reverse. */
  | {
      readonly type: 'exchange';
      readonly id: InodeId;
      readonly from: Slot;
      readonly to: Slot;
      readonly other: InodeId;
    }
  /** Gives a file one more name; nothing is at `to`. */
  | { readonly type: 'link'; readonly id: InodeId; readonly from: Slot; readonly to: Slot }
  | { readonly type: 'unlink'; readonly id: InodeId; readonly at: Slot }
  | { readonly type: 'rmdir'; readonly id: InodeId; readonly at: Slot }
  /** Sets a directory's modification time, after everything that happened in it. */
  | { readonly type: 'setTimes'; readonly id: InodeId; readonly attributes: Attributes };

/** An inode as the records have it. */
export interface PlannedInode {
  readonly attributes: Attributes;
  readonly contentSeq: Seq;
  /** All its names; none: it is in limbo. */
  readonly names: readonly Place[];
}

/** What a planner reads of the replica's records. */
export interface ReplicaView {
  inode(id: InodeId): PlannedInode | undefined;
  /** The inode at a name, 0 for none. */
  occupant(parent: InodeId, name: Name): InodeId;
  children(parent: InodeId): Iterable<Name>;
}

/** An `entry` change that could not be acted on yet. */
export interface DeferredEntry extends Place {
  readonly id: InodeId;
}

export interface Plan {
  readonly operations: readonly Operation[];
  /** The records afterwards, where they changed; null: forget the inode. */
  readonly inodes: ReadonlyMap<InodeId, PlannedInode | null>;
  /** Entries afterwards, where they changed; 0: no such name. */
  readonly entries: ReadonlyMap<InodeId, ReadonlyMap<Name, InodeId>>;
  /** To be given to the next plan. */
  readonly deferred: readonly DeferredEntry[];
  /** Files that are here without any name: it is told by a batch after this one, or it was told when the file could not be made. To be given to the next plan. */
  readonly nameless: readonly InodeId[];
  /** Entries that a complete batch should have made possible and did not: directories have to be listed again. */
  readonly unresolved: readonly DeferredEntry[];
  /** Files that the source believes to be here and which are not, or not with their newest content. */
  readonly lost: readonly InodeId[];
  /** Whatever is in limbo after this plan can be removed. */
  readonly emptyLimbo: boolean;
}
