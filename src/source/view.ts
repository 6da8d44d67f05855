// What a session reads of the tree; the store keeps it, tests may fake it.

import type { InodeId, Seq } from '../core/attributes.ts';
import type { ByteString, Name } from '../core/name.ts';
import type { EntryRecord, InodeRecord, JournalRecord } from '../tree/records.ts';

/** A consistent reading of the tree: nothing changes between two `refresh` calls. */
export interface TreeView {
  readonly sourceId: string;
  readonly epoch: number;
  /** Seq of the last recorded change. */
  readonly head: Seq;
  /** The journal is whole after this seq; a cursor below it is reconciled by listing. */
  readonly pruned: Seq;
  /** False in the middle of a round: an inode that has lost its last name may still be found under another. */
  readonly isSettled: boolean;
  /** A directory is between two places: whatever is told now may leave one of them empty for a moment. */
  readonly isMoving: boolean;
  /** Moves the view to what is committed now. */
  refresh(): void;
  inode(id: InodeId): InodeRecord | undefined;
  /** The file handle of a directory, where one was noted. */
  handleOf(id: InodeId): ByteString | undefined;
  entry(parent: InodeId, name: Name): EntryRecord | undefined;
  /** Live entries in name byte order, after `after` where given. */
  list(parent: InodeId, after?: Name | ''): Iterable<EntryRecord>;
  /** Relative to the root, '' for the root itself; undefined when the inode is not in the tree. */
  pathOf(id: InodeId): ByteString | undefined;
  /** Every name of an inode. */
  namesOf(id: InodeId): Iterable<{ readonly parent: InodeId; readonly name: Name }>;
  /** Gives back the resident memory that a long reading has taken. Some milliseconds. */
  releaseMemory(): void;
  /** Journal records with after < seq <= to, in order. */
  journal(after: Seq, to: Seq): Iterable<JournalRecord>;
}
