// What the tree keeps, one record a thing. Layouts on disk are in record-codec.ts.

import type { Attributes, InodeId, Seq } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';

/**
 * Which object of the local file system an inode is: what `stat` can tell of it without opening it.
 * Inode numbers are 64 bits and are kept as two halves, so that none is rounded.
 */
export interface LocalIdentity {
  /** Device as `statx` gives it: major * 2^32 + minor is safe in a double. */
  readonly dev: number;
  readonly inoHigh: number;
  readonly inoLow: number;
  /** Birth time folded to 32 bits, 0 where the file system has none: tells a reused inode number from a survivor. */
  readonly birth: number;
}

/** One inode. */
export interface InodeRecord extends Attributes, LocalIdentity {
  readonly id: InodeId;
  /** Local change time: what scans compare besides size and mtime. */
  readonly ctimeS: number;
  readonly ctimeNs: number;
  /** Where one of its names is; the others are in the links table. The root: parent 0, name ''. */
  readonly parent: InodeId;
  readonly name: Name | '';
  /** How many names it has in the tree; 0: an inode tombstone (source), or in limbo (replica). */
  readonly links: number;
  /** Seq at which it was first recorded, last changed at all, and last changed in content. */
  readonly bornSeq: Seq;
  readonly seq: Seq;
  readonly contentSeq: Seq;
  /** Files: whether `contentSeq` was raised because the content may have changed, while nobody watched: only the ctime tells. */
  readonly doubtful: boolean;
  /**
   * Files: whether `contentSeq` was raised because the mtime changed, and nobody told of a write: most likely it was set. With `doubtful`: no time has
   * changed, but the content may have, right before or after the last one who watched had gone.
   */
  readonly touched: boolean;
  /** Directories: false while its listing is not (or no longer) known to be whole. */
  readonly listed: boolean;
}

/** One directory entry. `id` 0 is a tombstone. */
export interface EntryRecord {
  readonly parent: InodeId;
  readonly name: Name;
  readonly id: InodeId;
  readonly seq: Seq;
}

/** One journal record: which thing changed last at this seq. */
export type JournalRecord =
  | { readonly seq: Seq; readonly type: 'inode'; readonly id: InodeId }
  | { readonly seq: Seq; readonly type: 'entry'; readonly parent: InodeId; readonly name: Name };
