// Every message of docs/protocol.md as a value. One file each for its codec.

import { createHash } from 'node:crypto';
import type { Attributes, InodeId, Seq } from '../core/attributes.ts';
import type { Batch, Content } from '../core/change.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { HostPlace } from '../core/host-place.ts';
import type { IdMapRule } from '../core/id-map.ts';
import type { Name } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';

export const protocolVersion = 1;

/** A content that the replica owes: announced by `pending`, `received` bytes of it are staged. */
export interface OwedContent {
  readonly id: InodeId;
  readonly contentSeq: Seq;
  readonly received: number;
}

/** What a replica remembers of its source. */
export interface ReplicaState {
  readonly sourceId: string;
  readonly epoch: number;
  readonly cursor: Seq;
  readonly pending: readonly OwedContent[];
  /** `rulesKey` of what the tree was brought to; left out: it was not noted. */
  readonly rules?: string | undefined;
  /** Folders in which something has failed (`Failing`); left out: none. */
  readonly failing?: number | undefined;
}

export interface Hello {
  readonly type: 'hello';
  readonly protocol: number;
  readonly version: string;
  readonly root: string;
  readonly pid: number;
  /** The root holds nothing (staging and state of ours aside). */
  readonly empty: boolean;
  readonly state: ReplicaState | null;
  /** Capabilities that this replica cannot keep, by name. */
  readonly lacks: readonly string[];
  /** The source may say that it is there, too; left out: not to this agent. */
  readonly takesAlive?: boolean | undefined;
}

export interface Welcome {
  readonly type: 'welcome';
  readonly protocol: number;
  readonly version: string;
  readonly sourceId: string;
  readonly epoch: number;
  /** When the source was promoted, ms since 1970; left out: it is the first main of its line. */
  readonly promotedAt?: number | undefined;
  /** The line that the source's own tree follows as a replica. */
  readonly follows?: string | undefined;
  /** The trees that the source's own one comes from, by what `sourceIdOf` says of them: itself, what it follows, what that follows, and so on. */
  readonly descent?: readonly string[] | undefined;
  /** Where the source is, so that an agent on its own host does not write to it. */
  readonly place?: HostPlace | undefined;
  readonly mode: 'resume' | 'reconcile';
  /** Consent to move what the source lacks to the trash (I5). */
  readonly init: boolean;
  readonly durability: 'none' | 'batch' | 'file';
  /** Consent to remove all that there is, if the source has lost its records and has nothing of it (I4); left out: none. */
  readonly trusted?: boolean | undefined;
  /** What the replica makes of the attributes that it is sent; left out: nothing. */
  readonly attributeRules?: AttributeRules | undefined;
  /** From now on the source says `alive` this often, in milliseconds, whatever else it says; left out: never. */
  readonly aliveMs?: number | undefined;
  /** The source takes `again` and `failing`; left out: it does not. */
  readonly takesAgain?: boolean | undefined;
}

/** `--owner-map`, `--group-map` and `--chmod`. */
export interface AttributeRules {
  readonly owners: readonly IdMapRule[];
  readonly groups: readonly IdMapRule[];
  /** As core/mode-rules.ts reads it; '' for none. */
  readonly chmod: string;
}

/** The same for equal rules, other for others. */
export function rulesKey(rules: AttributeRules | undefined): string {
  if (rules === undefined) return '';
  const { owners, groups, chmod } = rules;
  return createHash('sha256')
    .update(JSON.stringify([owners, groups, chmod]))
    .digest('hex');
}

export interface BatchMessage extends Batch {
  readonly type: 'batch';
}

/** One entry of a listing, its inode's state along with it. */
export interface ListedEntry {
  readonly name: Name;
  readonly id: InodeId;
  readonly links: number;
  readonly contentSeq: Seq;
  readonly attributes: Attributes;
  /** `none`: the replica says in `wants` whether it needs it. */
  readonly content: Content;
}

export interface Listing {
  readonly type: 'listing';
  readonly directory: InodeId;
  /** A very large directory comes in several listings, in name order; the last one has `last`. */
  readonly first: boolean;
  readonly last: boolean;
  readonly entries: readonly ListedEntry[];
  /** Names that the directory had under an earlier main and has lost since: a replica that was the main then may still have them. */
  readonly removed?: readonly Name[] | undefined;
}

/** The answer to one listing. */
export interface Wants {
  readonly type: 'wants';
  readonly directory: InodeId;
  /** Files whose content the replica lacks. */
  readonly contents: readonly InodeId[];
  /** Directories that the replica did not have: content below them may come along unasked. */
  readonly missing: readonly InodeId[];
}

/** Lists these directories again: what could not be done in them can be, as it seems. What is below them comes along where the replica lacks it. */
export interface Again {
  readonly type: 'again';
  readonly directories: readonly InodeId[];
}

export interface WantedContent {
  readonly id: InodeId;
  readonly contentSeq: Seq;
  readonly attributes: Attributes;
  /** `none`: the file has gone or cannot be read; the replica forgets that it wanted it. */
  readonly content: Content;
}

export interface Contents {
  readonly type: 'contents';
  readonly files: readonly WantedContent[];
}

export interface Reconciled {
  readonly type: 'reconciled';
  readonly seq: Seq;
}

/** A piece of a large content. Pieces of one id come in offset order; pieces of several ids interleave. */
export interface StreamPiece {
  readonly type: 'stream';
  readonly id: InodeId;
  readonly contentSeq: Seq;
  readonly offset: number;
  /** Total size of the content in bytes, as known when the piece was read. */
  readonly total: number;
  readonly last: boolean;
  /** Bytes of a hole (`bytes` is empty then); 0 otherwise. */
  readonly hole: number;
  /** Bytes that the replica copies from the same offset of the stream's base (`bytes` is empty then); 0 otherwise. */
  readonly copy: number;
  readonly bytes: Uint8Array;
  /**
   * Where `bytes` are, if that is memory with `streamHeadBytes` of room before them and nothing behind them (wire/stream.ts): it becomes
   * the frame, without a copy. Never set in what was received.
   */
  readonly room?: Buffer | undefined;
}

/**
 * Names the content that everything streamed of this id and contentSeq adds up to. Opaque to the replica, which says it again
 * in `base`; the same bytes have the same version. Comes before the batch that takes the content.
 */
export interface Version {
  readonly type: 'version';
  readonly id: InodeId;
  readonly contentSeq: Seq;
  readonly version: Uint8Array;
}

/** The stream of `id` could be built from what the replica has of `base`, which may be the same inode: what is that? */
export interface BaseWanted {
  readonly type: 'base-wanted';
  readonly id: InodeId;
  readonly base: InodeId;
  /** Of the question: the answer has it too, so that none is taken for that to another one. */
  readonly attempt: number;
}

/**
 * What the replica holds open for the stream of `id` to copy from. It is sent unasked when that has changed under a copy: the
 * stream is dropped and has to begin anew.
 */
export interface Base {
  readonly type: 'base';
  readonly id: InodeId;
  readonly attempt: number;
  /** 0: there is nothing. */
  readonly size: number;
  /** As `version` said it, where it is certain that nobody has touched the file since; else empty. */
  readonly version: Uint8Array;
}

/** Asks for digests of a stretch of the base, block by block. */
export interface DigestsWanted {
  readonly type: 'digests-wanted';
  readonly id: InodeId;
  /** A multiple of `blockBytes`. */
  readonly offset: number;
  readonly length: number;
  readonly blockBytes: number;
  /** Of this session alone: see docs/decisions/0007. */
  readonly key: Uint8Array;
}

/** Answers, in order and in one or more messages. The base's last block is as long as the base lets it be. */
export interface Digests {
  readonly type: 'digests';
  readonly id: InodeId;
  readonly offset: number;
  readonly blockBytes: number;
  /** `digestBytes` for each block. */
  readonly digests: Uint8Array;
}

export interface Ack {
  readonly type: 'ack';
  /** Visible up to here, and on disk up to here. */
  readonly applied: Seq;
  readonly durable: Seq;
  /** Totals of this session. */
  readonly files: number;
  readonly bytes: number;
  /** Stream bytes and batches consumed so far: frees the source's window. */
  readonly consumed: number;
  /** True on the first ack after `reconciled`. */
  readonly reconciled: boolean;
}

export interface Problems {
  readonly type: 'problems';
  readonly problems: readonly Problem[];
}

/** What the replica has and the source lacks, kept for want of consent. */
export interface Extras {
  readonly type: 'extras';
  readonly count: number;
  /** The first few, as byte-string paths. */
  readonly paths: readonly string[];
}

/** What fam had not put there, or what was changed since, gave way: it is in the replica's trash (I6). */
export interface Kept {
  readonly type: 'kept';
  /** Since the last such message. */
  readonly count: number;
  /** Where the first ones were, relative to the root, as byte strings. */
  readonly paths: readonly string[];
  /** The trash, on the replica's host, for people. */
  readonly trash: string;
}

/** How much of what somebody can mend (core/problem.ts) has failed here and is not made up for yet. Said when it changes. */
export interface Failing {
  readonly type: 'failing';
  readonly count: number;
  /** Made up for since the last such message. */
  readonly mended: number;
  /** Where the first of these were, relative to the root, as byte strings. */
  readonly paths: readonly string[];
}

export interface Failed {
  readonly type: 'failed';
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
}

export type ToAgent =
  | Welcome
  | BatchMessage
  | Listing
  | Contents
  | Reconciled
  | StreamPiece
  | Version
  | BaseWanted
  | DigestsWanted
  | { readonly type: 'checkpoint' }
  | { readonly type: 'bye' };

export type ToSource =
  | Hello
  | Wants
  | Again
  | Ack
  | Base
  | Digests
  | Problems
  | Extras
  | Kept
  | Failing
  | Failed
  | { readonly type: 'alive' };

/** An agent says so often that it is there. */
export const heartbeatMs = 5000;
/** Contents up to this size travel inside batches and listings; larger ones are streamed. */
export const inlineMaxBytes = 128 * 1024;
/** Largest frame that either side sends; a longer length prefix is a protocol error, not an allocation. */
export const maxFrameBytes = 16 * 1024 * 1024;
/** Batches, listings and contents are cut at about this many bytes. */
export const batchTargetBytes = 512 * 1024;
/** Size of a stream piece: small enough that a page waits little behind it. */
export const pieceBytes = 256 * 1024;
/** Contents are compared by digests of blocks of this size, and what differs by those of smaller ones. */
export const blockBytes = 1024 * 1024;
export const subBlockBytes = 16 * 1024;
/** Size of a digest and of a version, and of the key that digests are made with. */
export const digestBytes = 16;
export const digestKeyBytes = 16;
/** Size of the digest of a whole content that the replica compares with its own. */
export const contentDigestBytes = 32;
/** Unanswered listings during reconcile, and unconsumed bytes in flight to one agent. */
export const reconcileWindow = 256;
export const inFlightBytes = 8 * 1024 * 1024;
