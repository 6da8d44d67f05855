// The contents that one replica gets in pieces: large ones, and those that did not hold still when their batch was built. They take
// turns, so that a large file delays no smaller one, and each ends with a batch of its own that gives it its names.

import { randomBytes } from 'node:crypto';
import type { InodeId } from '../core/attributes.ts';
import type { Change } from '../core/change.ts';
import { dropOldest } from '../core/drop-oldest.ts';
import type { Problem } from '../core/problem.ts';
import type { InodeRecord } from '../tree/records.ts';
import { type Base, type Digests, digestKeyBytes, type ToAgent } from '../wire/messages.ts';
import { type BatchBuilder, unstableRetryMs } from './batch-builder.ts';
import type { BlockLedger } from './block-ledger.ts';
import { type Contents, isAsRecorded } from './contents.ts';
import type { InFlight } from './in-flight.ts';
import { Missing } from './missing.ts';
import type { Owed, OwedContents } from './owed.ts';
import { Transfer } from './transfer.ts';
import type { UnreadAttributes } from './unread-attributes.ts';
import type { TreeView } from './view.ts';

/** Contents streamed at once to one replica, in turns. */
const streamBytesInFlight = 2 * 1024 * 1024;
/** The same while small changes come along, which wait behind all that is on its way. */
const besideBatchesBytes = 256 * 1024;
/** Small changes within this time are not the last ones. */
const besideBatchesMs = 1000;
/** A copied byte keeps a replica about as busy as an eighth of a byte that it is sent. */
const copyWeight = 8;
/** So often a content is sent anew that was found replaced when it was out; one that is replaced more often is shown as it came. */
const maxReplaced = 5;
/** Of so many files it is remembered that they were told of. */
const maxTold = 1024;

/** What the streams of a session stand on. */
export interface StreamsOptions {
  readonly view: TreeView;
  readonly contents: Contents;
  readonly ledger: BlockLedger;
  readonly inFlight: InFlight;
  readonly owed: OwedContents;
  readonly unread: UnreadAttributes;
  readonly builder: BatchBuilder;
  /** After this a file that never holds still is sent as it is. */
  readonly hotFileMaxDelayMs: number;
}

export interface StreamsOutput {
  send(message: ToAgent): void;
  /** Sends a batch that does not move the session's position. */
  sendExtra(changes: readonly Change[]): void;
  report(problem: Problem): void;
  /** Nobody waits for one of them any more: it cannot be read, or not before an upload is whole. */
  excused(): void;
  /** It has left the tree together with a folder, which is all that the journal tells of. */
  gone(id: InodeId): void;
  /** It has not been where it is recorded for so long that no event will tell why. */
  missing(record: InodeRecord): void;
}

export class Streams {
  readonly #view: TreeView;
  readonly #contents: Contents;
  readonly #ledger: BlockLedger;
  readonly #inFlight: InFlight;
  readonly #owed: OwedContents;
  readonly #unread: UnreadAttributes;
  readonly #builder: BatchBuilder;
  readonly #hotFileMaxDelayMs: number;
  readonly #out: StreamsOutput;
  /** What this replica's digests are made with. Fresh: no content was made with knowledge of it (docs/decisions/0007). */
  readonly #digestKey = randomBytes(digestKeyBytes);
  /** Files that never hold still, of which that was said. */
  readonly #toldChanging = new Set<InodeId>();
  #attempts = 0;
  /** Stream bytes sent and not consumed, as the total of the session when each was sent. */
  #marks: { readonly sentBytes: number; readonly bytes: number }[] = [];
  #bytes = 0;
  #batchAt = -Infinity;

  constructor(options: StreamsOptions, out: StreamsOutput) {
    this.#view = options.view;
    this.#contents = options.contents;
    this.#ledger = options.ledger;
    this.#inFlight = options.inFlight;
    this.#owed = options.owed;
    this.#unread = options.unread;
    this.#builder = options.builder;
    this.#hotFileMaxDelayMs = options.hotFileMaxDelayMs;
    this.#out = out;
  }

  /** The replica has taken everything up to this total of the session. */
  consumed(total: number): void {
    while (this.#marks[0] !== undefined && this.#marks[0].sentBytes <= total) {
      this.#bytes -= this.#marks[0].bytes;
      this.#marks.shift();
    }
  }

  /** A batch of the journal was sent at this moment. */
  batchSent(now: number): void {
    this.#batchAt = now;
  }

  base(base: Base): void {
    const owed = this.#owed.get(base.id);
    if (owed?.transfer === undefined) return;
    owed.waiting = false;
    if (owed.transfer.base(base)) owed.offset = 0;
  }

  digests(digests: Digests): void {
    const owed = this.#owed.get(digests.id);
    if (owed === undefined) return;
    owed.waiting = false;
    owed.transfer?.digests(digests);
  }

  /** Sends at most one piece of one content. Returns false when there is nothing to do now. */
  step(now: number): boolean {
    const owed = this.#owed.next(now);
    if (owed === undefined) return false;
    const record = this.#view.inode(owed.id);
    if (record === undefined || record.links === 0) {
      this.#owed.drop(owed.id);
      this.#out.gone(owed.id);
      return true;
    }
    owed.firstTriedAt ??= now;
    const transfer = this.#transferOf(owed, record, now);
    if (transfer === undefined) return true;
    const room = now - this.#batchAt < besideBatchesMs ? besideBatchesBytes : streamBytesInFlight;
    const step = transfer.step(this.#bytes < room);
    switch (step.kind) {
      case 'send':
        this.#send(step.message);
        return true;
      case 'worked':
        return true;
      case 'wait':
        owed.waiting = true;
        return true;
      case 'full':
        return false;
      case 'changed':
        this.#startOver(owed, now);
        return true;
      case 'sent':
      case 'same':
        this.#finish(owed, transfer, record, now, step.kind);
        return true;
    }
  }

  /** Of the content that the file has now, or of one that is sent as it is; undefined when it cannot be opened. */
  #transferOf(owed: Owed, record: InodeRecord, now: number): Transfer | undefined {
    if (owed.transfer !== undefined && this.#goesOn(owed, owed.transfer, record, now)) return owed.transfer;
    this.#owed.close(owed);
    if (owed.contentSeq !== record.contentSeq) {
      owed.offset = 0;
      this.#owed.waitFor(owed, 'turn');
    }
    owed.contentSeq = record.contentSeq;
    const opened = this.#contents.open(record, owed.waitsFor === 'upload');
    if (opened.kind === 'problem') {
      this.#out.report(opened.problem);
      this.#owed.waitFor(owed, 'record');
      // Names that were held back for the content.
      if (owed.mayHaveOlder) this.#out.sendExtra(this.#builder.withNames([], record));
      this.#out.excused();
      return undefined;
    }
    if (opened.kind === 'unfinished') {
      this.#awaitUpload(owed, now);
      return undefined;
    }
    if (opened.kind === 'moved') {
      owed.notBefore = now + unstableRetryMs;
      owed.missing ??= new Missing(now);
      if (owed.missing.again(now)) this.#out.missing(record);
      return undefined;
    }
    owed.missing = undefined;
    this.#owed.waitFor(owed, 'turn');
    // What the replica has staged of this version was read when the file was as it is recorded, or not long before.
    if (!isAsRecorded(opened.content, record)) owed.offset = 0;
    const transfer = new Transfer(this.#contents, this.#ledger, {
      id: owed.id,
      contentSeq: record.contentSeq,
      content: opened.content,
      offset: owed.offset,
      mayHaveOlder: owed.mayHaveOlder,
      isDoubtful: record.doubtful && !owed.isAskedFor,
      nextAttempt: () => ++this.#attempts,
      key: this.#digestKey,
    });
    owed.openedSeq = record.seq;
    this.#owed.open(owed, transfer);
    return transfer;
  }

  /**
   * I3: what is written to all the time would begin anew for ever. What is another content by now does: a page that is uploaded anew is not
   * shown half (docs/decisions/0009).
   */
  #goesOn(owed: Owed, transfer: Transfer, record: InodeRecord, now: number): boolean {
    if (record.contentSeq === transfer.contentSeq || record.contentSeq === owed.passedOver) return true;
    const isOn = this.#waitedTooLong(owed, now) && this.#isWrittenInPlace(transfer);
    owed.passedOver = isOn ? record.contentSeq : undefined;
    return isOn;
  }

  /** By one who has it open, as a database's; or by one after the other, as lines are added to a log. */
  #isWrittenInPlace(transfer: Transfer): boolean {
    const { content } = transfer;
    if (this.#contents.isUploadedAnew(content)) return false;
    return this.#contents.isWrittenTo(content) || transfer.isMostlyThere;
  }

  #waitedTooLong({ firstTriedAt = Infinity }: Owed, now: number): boolean {
    return now - firstTriedAt > this.#hotFileMaxDelayMs;
  }

  #send(message: ToAgent): void {
    const before = this.#inFlight.sentBytes;
    this.#out.send(message);
    const copied = message.type === 'stream' ? message.copy / copyWeight : 0;
    const bytes = this.#inFlight.sentBytes - before + copied;
    this.#marks.push({ sentBytes: this.#inFlight.sentBytes, bytes });
    this.#bytes += bytes;
  }

  #startOver(owed: Owed, now: number): void {
    this.#owed.close(owed);
    owed.offset = 0;
    owed.notBefore = now + unstableRetryMs;
  }

  /** An upload may take as long as it likes (docs/decisions/0009): no patience is lost. */
  #awaitUpload(owed: Owed, now: number): void {
    this.#startOver(owed, now);
    owed.firstTriedAt = undefined;
    if (owed.waitsFor === 'upload') return;
    this.#owed.waitFor(owed, 'upload');
    this.#out.excused();
  }

  /** Everything is out: if the file held still meanwhile, its inode and names follow. */
  #finish(owed: Owed, transfer: Transfer, record: InodeRecord, now: number, how: 'sent' | 'same'): void {
    const { content, contentSeq } = transfer;
    const holdsStill = this.#contents.holdsStill(content);
    const held = holdsStill || transfer.isNamed;
    if (!held && this.#contents.isUploadedAnew(content)) {
      this.#awaitUpload(owed, now);
      return;
    }
    if (!held && !this.#isToBeShown(owed, transfer, now)) {
      this.#startOver(owed, now);
      return;
    }
    if (held) {
      transfer.keep();
      this.#toldChanging.delete(owed.id);
      this.#ledger.sweep((id) => (this.#view.inode(id)?.links ?? 0) > 0);
    } else this.#tellChanging(record);
    const inode: Change = {
      type: 'inode',
      id: owed.id,
      attributes: content.attributes,
      contentSeq,
      content: how === 'sent' ? { from: 'staged' } : { from: 'same', digest: undefined },
    };
    const changes = this.#builder.withNames([inode], record);
    const hasNewer = record.contentSeq !== contentSeq;
    // Attributes that changed while the content was on its way were to come with it; these are older.
    const isOutdated = hasNewer || (!holdsStill && record.seq > owed.openedSeq);
    if (isOutdated) changes.push({ type: 'pending', id: owed.id });
    this.#out.sendExtra(changes);
    this.#owed.handOver(owed, this.#inFlight.sentBytes);
    if (hasNewer) this.#oweNewer(owed, record);
    else if (isOutdated) this.#unread.add(owed.id, record.seq, now);
  }

  /** I3, of what did not hold still: that it is part of one content and part of another is the last resort. */
  #isToBeShown(owed: Owed, transfer: Transfer, now: number): boolean {
    if (!this.#waitedTooLong(owed, now)) return false;
    if (owed.replaced >= maxReplaced || this.#isWrittenInPlace(transfer)) return true;
    owed.replaced += 1;
    return false;
  }

  /** As much as what was handed over: nobody waits again to see whether it holds still. */
  #oweNewer({ id, firstTriedAt }: Owed, { contentSeq }: InodeRecord): void {
    const newer = this.#owed.add(id, contentSeq, contentSeq, true);
    newer.firstTriedAt = firstTriedAt;
  }

  /** Once, until it has held still. */
  #tellChanging(record: InodeRecord): void {
    if (this.#toldChanging.has(record.id)) return;
    this.#toldChanging.add(record.id);
    dropOldest(this.#toldChanging, maxTold);
    this.#out.report({ path: this.#contents.pathOf(record), action: 'read', code: 'changing' });
  }
}
