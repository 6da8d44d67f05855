// What a source tells a replica: the present state of inodes and of directory entries.
// A change is state, not history, so applying one twice, or after its successor, is harmless.

import type { Attributes, InodeId, Seq } from './attributes.ts';
import type { Name } from './name.ts';

/** Where the content of a file comes from. */
export type Content =
  /** Attributes only: the content stays as the replica has it (or the inode is not a file). */
  | { readonly from: 'none' }
  /** The whole content, here. */
  | { readonly from: 'inline'; readonly bytes: Uint8Array }
  /** Was streamed before this change under the inode's id and waits, complete, in staging. */
  | { readonly from: 'staged' };

/**
 * The content has probably not changed, and nobody can tell without reading it: the replica compares what it has, and asks for the
 * content where that is something else.
 */
export interface SameContent {
  readonly from: 'same';
  /** SHA-256 of the whole content; undefined: the base that the replica holds for its stream has proven to be the same. */
  readonly digest: Uint8Array | undefined;
}

export type Change =
  /** The inode has these attributes (and this content). Precedes the first entry that names it. */
  | {
      readonly type: 'inode';
      readonly id: InodeId;
      readonly attributes: Attributes;
      /** Seq at which the source last saw the content change: a replica that has it skips the content. */
      readonly contentSeq: Seq;
      readonly content: Content | SameContent;
    }
  /** The name refers to the inode. `links`: how many names the inode has at the source in this snapshot. */
  | {
      readonly type: 'entry';
      readonly parent: InodeId;
      readonly name: Name;
      readonly id: InodeId;
      readonly links: number;
    }
  /** The name refers to nothing. */
  | { readonly type: 'removed'; readonly parent: InodeId; readonly name: Name }
  /**
   * The file's new content is still to be streamed (or, of anything else, extended attributes are still to be read); the replica
   * remembers that it is owed this id.
   */
  | { readonly type: 'pending'; readonly id: InodeId };

/** A stretch of the journal, applied as one step. */
export interface Batch {
  /** The replica's cursor before and after; equal when the batch brings what had been `pending`. */
  readonly from: Seq;
  readonly to: Seq;
  /** True when the replica, after this batch, stands at a state that the source was in: limbo can be emptied. */
  readonly complete: boolean;
  /** Inodes without any name in this snapshot: what a name gives up for good. Advisory: may be incomplete. */
  readonly dead: readonly InodeId[];
  readonly changes: readonly Change[];
}
