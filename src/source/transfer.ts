// One large content on its way to one replica. Where the replica has something like it (an older content of the same file, or
// another file that begins alike), only what differs is sent; the rest it copies for itself.
//
// What is known of either side comes from digests of blocks: the new content is read once for all replicas that get it; the old
// one's digests are in the ledger, or the replica is asked for them, and reads while the source reads.

import type { InodeId, Seq } from '../core/attributes.ts';
import { FamError } from '../core/errors.ts';
import { KeyedDigest } from '../runtime/keyed-digest.ts';
import {
  type Base,
  type BaseWanted,
  blockBytes,
  type Digests,
  type DigestsWanted,
  digestBytes,
  pieceBytes,
  type StreamPiece,
  subBlockBytes,
  type Version,
} from '../wire/messages.ts';
import { BlockComparison } from './block-comparison.ts';
import type { BlockLedger } from './block-ledger.ts';
import type { Contents, OpenContent } from './contents.ts';
import { Fingerprint, isComparable, isMostlyAsScanned, scanBlock } from './fingerprint.ts';

/** Smaller contents are sent whole, unless they have probably not changed: a question would take as long. */
const deltaMinBytes = 256 * 1024;
/** A copy keeps the replica's applier busy for a few milliseconds at most, and costs some 100 bytes on the way. */
const maxCopyBytes = 8 * 1024 * 1024;
/** Read at once, between two looks for small changes: about two milliseconds. */
const scanBlocks = 4;
/** Read ahead while the replica looks for a base: it may have none, and then all of this is read again. */
const askingScanBlocks = 16;

export type TransferStep =
  | { readonly kind: 'send'; readonly message: StreamPiece | Version | BaseWanted | DigestsWanted }
  /** Something was read; there is more to do. */
  | { readonly kind: 'worked' }
  /** There is something to send, and it may not be sent now. */
  | { readonly kind: 'full' }
  /** Nothing can be done until the replica answers. */
  | { readonly kind: 'wait' }
  /** The file has become shorter. */
  | { readonly kind: 'changed' }
  /** All of it is out. */
  | { readonly kind: 'sent' }
  /** What the replica has is the same, and it has been told so much of it that it can say so itself. */
  | { readonly kind: 'same' };

export interface TransferOptions {
  readonly id: InodeId;
  readonly contentSeq: Seq;
  readonly content: OpenContent;
  /** What the replica has of it, in bytes. */
  readonly offset: number;
  /** The replica may have an older content of the file. */
  readonly mayHaveOlder: boolean;
  /** What the replica has is probably the same. */
  readonly isDoubtful: boolean;
  /** Gives each question of the session a number of its own. */
  readonly nextAttempt: () => number;
  /** Of the session: what the replica's digests are made with. */
  readonly key: Uint8Array;
}

type State = 'begin' | 'probe' | 'asking' | 'whole' | 'comparing';

interface Comparing {
  readonly comparison: BlockComparison;
  readonly fresh: Fingerprint;
  readonly base: Fingerprint;
  /** The replica has been asked for the base's digests, if it had to be. */
  isAsked: boolean;
}

const noBytes = new Uint8Array(0);

export class Transfer {
  readonly content: OpenContent;
  readonly contentSeq: Seq;
  readonly #id: InodeId;
  readonly #contents: Contents;
  readonly #ledger: BlockLedger;
  readonly #key: Uint8Array;
  readonly #nextAttempt: () => number;
  /** Of the new content, for the ledger. */
  readonly #print: Fingerprint;
  readonly #hasPrint: boolean;
  #mayHaveOlder: boolean;
  /** Nothing is sent before the base has proven to be another content. */
  #isProbablySame: boolean;
  #state: State = 'begin';
  #asked: InodeId = 0;
  #attempt = 0;
  #comparing: Comparing | undefined;
  #offset: number;
  #isOut = false;
  #versionSent = false;
  #isNamed = false;
  /** Digest of the block that is being sent whole, while it is sent without a gap. */
  readonly #along: KeyedDigest;
  #alongTo = -1;

  constructor(contents: Contents, ledger: BlockLedger, options: TransferOptions) {
    const { id, contentSeq, content, offset, mayHaveOlder, isDoubtful, nextAttempt, key } = options;
    this.content = content;
    this.contentSeq = contentSeq;
    this.#id = id;
    this.#contents = contents;
    this.#ledger = ledger;
    this.#key = key;
    this.#nextAttempt = nextAttempt;
    this.#print = ledger.fingerprint(id, contentSeq, content);
    this.#along = new KeyedDigest(this.#print.key);
    const { size } = content.attributes;
    // Nothing can be asked about nothing.
    const isWorth = size >= deltaMinBytes || (isDoubtful && size > 0);
    this.#hasPrint = isWorth && isComparable(size, content.allocatedBytes);
    this.#mayHaveOlder = mayHaveOlder;
    this.#offset = offset > size ? 0 : offset;
    this.#isOut = this.#offset === size && size > 0;
    if (!this.#hasPrint || this.#isOut) this.#state = 'whole';
    this.#isProbablySame = isDoubtful && this.#offset === 0;
  }

  /** Does a little: sends at most one message, or reads a few blocks. */
  step(mayEmit: boolean): TransferStep {
    switch (this.#state) {
      case 'begin':
        if (this.#mayHaveOlder) return this.#ask(this.#id);
        this.#state = 'probe';
        return { kind: 'worked' };
      case 'probe': {
        if (this.#print.known === 0) return this.#scan();
        const similar = this.#ledger.beginsWith(this.#print.at(0));
        if (similar !== undefined && similar !== this.#id) return this.#ask(similar);
        this.#state = 'whole';
        return { kind: 'worked' };
      }
      case 'asking':
        return this.#print.known < askingScanBlocks ? this.#scanOr({ kind: 'wait' }) : { kind: 'wait' };
      case 'whole':
        if (this.#isOut) return this.#finish();
        return mayEmit ? this.#emit(this.content.attributes.size) : { kind: 'full' };
      case 'comparing':
        return this.#comparing === undefined ? { kind: 'wait' } : this.#compare(this.#comparing, mayEmit);
    }
  }

  /** What the replica holds for this stream to be built from; unasked: no longer. Returns true when the stream begins anew. */
  base({ attempt, size, version }: Base): boolean {
    if (attempt !== this.#attempt) return false;
    if (this.#state === 'asking') {
      // The replica may have, or say that it has, what is too long to be compared.
      if (size > 0 && isComparable(size)) this.#compareWith(size, version);
      else this.#state = this.#asked === this.#id ? 'probe' : 'whole';
      return false;
    }
    if (this.#state !== 'comparing' || size > 0) return false;
    this.#state = 'whole';
    this.#comparing = undefined;
    this.#offset = 0;
    this.#isOut = false;
    this.#versionSent = false;
    this.#isNamed = false;
    return true;
  }

  digests({ offset, blockBytes: size, digests }: Digests): void {
    const comparing = this.#comparing;
    if (comparing === undefined) return;
    const { comparison, base } = comparing;
    if (size === subBlockBytes) this.#narrowed(comparison, offset, digests);
    else if (size === blockBytes) {
      const block = offset / blockBytes;
      const isNext = block === base.known && digests.length <= (base.blocks - block) * digestBytes;
      if (!isNext) throw new FamError('PROTOCOL', `digests from ${offset} on answer no question`);
      base.add(block, digests);
      comparison.baseBlocks = base.known;
    }
  }

  /** All of it was out and the file had held still when the replica was told its name: this content it is, whatever the file is by now. */
  get isNamed(): boolean {
    return this.#isNamed;
  }

  /** Most of what has been read of it is still there: it is added to, or changed here and there. */
  get isMostlyThere(): boolean {
    return isMostlyAsScanned(this.#contents, this.content, this.#print);
  }

  /** It has been sent, and held still: what is known of it is kept. */
  keep(): void {
    if (this.#hasPrint) this.#ledger.record(this.#id, this.contentSeq, this.content, this.#print);
  }

  close(): void {
    this.#ledger.release(this.#id, this.contentSeq, this.content);
    this.#contents.close(this.content);
  }

  #ask(base: InodeId): TransferStep {
    this.#state = 'asking';
    this.#asked = base;
    this.#attempt = this.#nextAttempt();
    return { kind: 'send', message: { type: 'base-wanted', id: this.#id, base, attempt: this.#attempt } };
  }

  #compareWith(baseSize: number, version: Uint8Array): void {
    const known = this.#ledger.find(this.#asked, version, baseSize);
    const fresh = known === undefined ? new Fingerprint(this.#key, this.#print.size) : this.#print;
    const base = known ?? new Fingerprint(this.#key, baseSize);
    const isSame = (block: number): boolean => fresh.at(block).equals(base.at(block));
    const size = this.#print.size;
    const comparison = new BlockComparison({ size, baseSize, blockBytes, subBlockBytes, isSame });
    comparison.baseBlocks = base.known;
    this.#comparing = { comparison, fresh, base, isAsked: known !== undefined };
    this.#state = 'comparing';
  }

  #compare(comparing: Comparing, mayEmit: boolean): TransferStep {
    const { comparison, fresh, base } = comparing;
    if (!comparing.isAsked) {
      comparing.isAsked = true;
      return this.#wantDigests(0, base.size, blockBytes);
    }
    comparison.freshBlocks = fresh.known;
    if (this.#isProbablySame && this.#asked === this.#id) {
      const isSame = comparison.isSame();
      if (isSame === 'scan') return this.#scan();
      if (isSame === 'wait') return this.#scanOr({ kind: 'wait' });
      if (isSame) return this.#finish('same');
      this.#isProbablySame = false;
    }
    const narrow = comparison.narrow(this.#offset);
    if (narrow !== undefined) {
      return this.#wantDigests(narrow * blockBytes, comparison.baseLength(narrow), subBlockBytes);
    }
    const next = comparison.next(this.#offset, maxCopyBytes);
    switch (next.kind) {
      case 'end':
        this.#isOut = true;
        return this.#finish();
      case 'scan':
        return this.#scan();
      case 'wait':
        return this.#scanOr({ kind: 'wait' });
      case 'copy':
        return mayEmit ? this.#emitCopy(next.to) : this.#scanOr({ kind: 'full' });
      case 'data':
        return mayEmit ? this.#emit(next.to) : this.#scanOr({ kind: 'full' });
    }
  }

  #wantDigests(offset: number, length: number, size: number): TransferStep {
    const message: DigestsWanted = {
      type: 'digests-wanted',
      id: this.#id,
      offset,
      length,
      blockBytes: size,
      key: this.#key,
    };
    return { kind: 'send', message };
  }

  /** The replica's sub-blocks of one block, against the same of the new content. */
  #narrowed(comparison: BlockComparison, offset: number, digests: Uint8Array): void {
    const { size } = this.content.attributes;
    const block = Math.floor(offset / blockBytes);
    const baseEnd = offset + comparison.baseLength(block);
    const same: boolean[] = [];
    for (let at = offset, index = 0; index * digestBytes < digests.length; at += subBlockBytes, index++) {
      const length = Math.min(subBlockBytes, size - at);
      const isAsLong = length > 0 && length === Math.min(subBlockBytes, baseEnd - at);
      const theirs = digests.subarray(index * digestBytes, (index + 1) * digestBytes);
      same.push(isAsLong && this.#digestAt(at, length)?.equals(theirs) === true);
    }
    comparison.narrowed(block, same);
  }

  #digestAt(offset: number, length: number): Buffer | undefined {
    const got = this.#contents.read(this.content, subBlock, offset, length);
    if (got !== length) return undefined;
    const digest = new KeyedDigest(this.#key);
    digest.update(subBlock.subarray(0, length));
    return digest.digest();
  }

  #scan(): TransferStep {
    const fresh = this.#comparing?.fresh;
    const prints = fresh === undefined || fresh === this.#print ? [this.#print] : [this.#print, fresh];
    for (let left = scanBlocks; left > 0 && prints.some((print) => !print.isComplete); left--) {
      if (!scanBlock(this.#contents, this.content, prints)) return { kind: 'changed' };
    }
    return { kind: 'worked' };
  }

  #scanOr(otherwise: TransferStep): TransferStep {
    const fresh = this.#comparing?.fresh ?? this.#print;
    return fresh.isComplete && this.#print.isComplete ? otherwise : this.#scan();
  }

  /** Data, or the hole that is there. */
  #emit(to: number): TransferStep {
    const offset = this.#offset;
    const blockEnd = (Math.floor(offset / blockBytes) + 1) * blockBytes;
    const maxBytes = Math.min(pieceBytes, to - offset, blockEnd - offset);
    const piece = this.#contents.piece(this.content, offset, maxBytes);
    if (piece === undefined) return { kind: 'changed' };
    if (piece.hole === 0) this.#noteSent(offset, piece.bytes);
    return this.#piece(piece.hole, 0, piece.bytes, piece.room);
  }

  #emitCopy(to: number): TransferStep {
    const { content } = this;
    const offset = this.#offset;
    const data = this.#contents.dataFrom(content, offset);
    if (data > offset) return this.#piece(data - offset, 0, noBytes);
    return this.#piece(0, Math.min(to, this.#contents.holeFrom(content, offset)) - offset, noBytes);
  }

  #piece(hole: number, copy: number, bytes: Uint8Array, room?: Buffer): TransferStep {
    const offset = this.#offset;
    const total = this.content.attributes.size;
    this.#offset += hole + copy + bytes.length;
    const last = this.#offset >= total;
    if (last) this.#isOut = true;
    const { contentSeq } = this;
    return {
      kind: 'send',
      message: { type: 'stream', id: this.#id, contentSeq, offset, total, last, hole, copy, bytes, room },
    };
  }

  /** What is sent whole and in order need not be read again for its digest. */
  #noteSent(offset: number, bytes: Uint8Array): void {
    const print = this.#print;
    if (!this.#hasPrint || this.#state !== 'whole') return;
    const block = Math.floor(offset / blockBytes);
    if (offset === block * blockBytes) {
      if (this.#alongTo !== -1) this.#along.digest();
      this.#alongTo = offset;
    }
    if (this.#alongTo !== offset || block < print.known) return;
    this.#along.update(bytes);
    this.#alongTo = offset + bytes.length;
    if (this.#alongTo % blockBytes !== 0 && this.#alongTo !== print.size) return;
    const digest = this.#along.digest();
    this.#alongTo = -1;
    if (print.known === block) print.add(block, digest);
  }

  /** Everything is out except the content's name, for which all of it has to be known. */
  #finish(kind: 'sent' | 'same' = 'sent'): TransferStep {
    if (!this.#hasPrint || this.#versionSent) return { kind };
    if (!this.#print.isComplete) return this.#scan();
    this.#versionSent = true;
    // What was sent is what was read for its digests only if nothing has changed in between.
    if (!this.#contents.holdsStill(this.content)) return { kind };
    this.#isNamed = true;
    const version = this.#print.version();
    return {
      kind: 'send',
      message: { type: 'version', id: this.#id, contentSeq: this.contentSeq, version },
    };
  }
}

const subBlock = Buffer.allocUnsafeSlow(subBlockBytes);
