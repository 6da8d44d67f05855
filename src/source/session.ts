// source/: reads the tree for each replica and decides what it is told. One session is one connection to
// one replica; everything it knows is in the tree, in what the replica said in `hello`, and in a few maps that
// do not grow with lag (I10). Imports tree, wire, kernel, runtime and core.

import { createHash, randomBytes } from 'node:crypto';
import { type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Change, Content, SameContent } from '../core/change.ts';
import { FamError } from '../core/errors.ts';
import type { Problem } from '../core/problem.ts';
import { maxDepth } from '../tree/directories.ts';
import type { EntryRecord, InodeRecord } from '../tree/records.ts';
import {
  type Ack,
  type AttributeRules,
  type Base,
  batchTargetBytes,
  contentDigestBytes,
  type Digests,
  digestKeyBytes,
  type Extras,
  type Failed,
  type Hello,
  inlineMaxBytes,
  protocolVersion,
  type ToAgent,
  type ToSource,
  type Wants,
  type Welcome,
} from '../wire/messages.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { BlockLedger } from './block-ledger.ts';
import type { Contents } from './contents.ts';
import { InFlight } from './in-flight.ts';
import { type Owed, OwedContents } from './owed.ts';
import { ReconcileWalk } from './reconcile-walk.ts';
import { Transfer } from './transfer.ts';
import { UnreadAttributes } from './unread-attributes.ts';
import type { TreeView } from './view.ts';

/** A content that changed while it was read is tried again after this; most writers are done by then. */
const unstableRetryMs = 50;
/** Contents streamed at once to one replica, in turns. */
const streamBytesInFlight = 2 * 1024 * 1024;
/** A copied byte keeps a replica about as busy as an eighth of a byte that it is sent. */
const copyWeight = 8;
/** A byte that either side only reads keeps them about as busy as an eighth of a byte that is sent. */
const digestWeight = 8;
/** What a change without content counts towards a batch's size. */
const changeBytes = 64;

export interface SessionOptions {
  readonly version: string;
  readonly init: boolean;
  readonly durability: Welcome['durability'];
  /** After this a file that never holds still is sent as it is. */
  readonly hotFileMaxDelayMs: number;
  readonly attributeRules?: AttributeRules | undefined;
  /** Bytes a second to this replica at most. */
  readonly bandwidth?: number | undefined;
}

/** How far a replica is, for status, lag and the barrier. */
export interface SessionProgress {
  readonly type: 'progress';
  /** Everything up to here is visible on the replica; contents that it still owes count. */
  readonly applied: Seq;
  readonly durable: Seq;
  /** The source's head as this session last saw it. */
  readonly head: Seq;
  readonly owedFiles: number;
  /** Totals of this session, as the replica counts them. */
  readonly files: number;
  readonly bytes: number;
  readonly reconciling: boolean;
}

export type SessionEvent =
  | SessionProgress
  | {
      readonly type: 'met';
      readonly mode: Welcome['mode'];
      readonly lacks: readonly string[];
      readonly peerVersion: string;
      readonly cursor: Seq;
    }
  | { readonly type: 'problems'; readonly problems: readonly Problem[] }
  | { readonly type: 'extras'; readonly extras: Extras }
  | { readonly type: 'failed'; readonly failed: Failed };

export interface SessionOutput {
  /** Sends a message and returns its frame. */
  send(message: ToAgent): Uint8Array;
  /** Sends a frame that another session has built. */
  sendFrame(frame: Uint8Array): void;
  event(event: SessionEvent): void;
}

/** The batch built last, for the sessions that stand where its builder stood: contents are read once for all of them. */
export interface SharedBatch {
  readonly from: Seq;
  readonly head: Seq;
  readonly to: Seq;
  readonly complete: boolean;
  readonly frame: Uint8Array;
}

/** What the sessions of a thread that read the same tree have in common. */
export interface SharedReading {
  batch: SharedBatch | undefined;
  readonly ledger: BlockLedger;
  /** The tree is being scanned: what has not been listed will be. */
  scanning: boolean;
}

/** What one replica is told. All methods are synchronous; `pump` does the work in small steps. */
export class Session {
  readonly #view: TreeView;
  readonly #contents: Contents;
  readonly #shared: SharedReading;
  readonly #out: SessionOutput;
  readonly #options: SessionOptions;
  readonly #limits: readonly Bandwidth[];
  #throttledUntil: number | undefined;

  #phase: 'hello' | 'reconciling' | 'live' = 'hello';
  #walk: ReconcileWalk | undefined;
  /** Everything with a seq up to here has been sent. */
  #position: Seq = 0;
  /**
   * Everything that had happened up to here has been sent: where a batch last reached the head. In a batch that was cut
   * short of it, what changed once before the cut and again after it is missing, as its one journal record has moved on.
   */
  #whole: Seq = 0;
  /** The last batch of the journal was complete. */
  #isComplete = false;
  #applied: Seq = 0;
  #durable: Seq = 0;
  #files = 0;
  #bytes = 0;
  /** The replica's root held nothing when it came. */
  #isEmpty = false;
  readonly #inFlight = new InFlight();
  /** Stream bytes sent and not consumed, as the total of the session when each was sent. */
  #streamMarks: { readonly sentBytes: number; readonly bytes: number }[] = [];
  #streamBytes = 0;
  readonly #owed = new OwedContents();
  readonly #unread = new UnreadAttributes();
  /** Listed without its extended attributes: a file comes once more, whole; anything else is read again in a moment. */
  readonly #moved = (record: InodeRecord): void => {
    if (record.kind === Kind.file) this.#owe(record.id, record.seq, true);
    else this.#unread.add(record.id, record.seq, performance.now());
  };
  /** What this replica's digests are made with. Fresh: no content was made with knowledge of it (docs/decisions/0007). */
  readonly #digestKey = randomBytes(digestKeyBytes);
  #attempts = 0;
  /** Directories and inodes sent ahead of their turn in the journal, with the seq that was sent. */
  readonly #early = new Map<string, Seq>();

  /**
   * @param shared one holder for all sessions of a thread that read the same view
   * @param limits what this session may send: its own limit, and that of all sessions together
   */
  constructor(
    view: TreeView,
    contents: Contents,
    shared: SharedReading,
    out: SessionOutput,
    options: SessionOptions,
    limits: readonly Bandwidth[] = [],
  ) {
    this.#limits = limits;
    this.#shared = shared;
    this.#view = view;
    this.#contents = contents;
    this.#out = out;
    this.#options = options;
  }

  /** A message from the replica. Throws a FamError when it cannot be part of this protocol. */
  receive(message: ToSource): void {
    switch (message.type) {
      case 'hello':
        this.#meet(message);
        break;
      case 'wants':
        this.#wanted(message);
        break;
      case 'ack':
        this.#acked(message);
        break;
      case 'problems':
        this.#out.event(message);
        break;
      case 'extras':
        this.#out.event({ type: 'extras', extras: message });
        break;
      case 'failed':
        this.#out.event({ type: 'failed', failed: message });
        break;
      case 'base':
        this.#base(message);
        break;
      case 'digests':
        this.#digests(message);
        break;
      case 'ping':
      case 'pong':
        break;
    }
  }

  /** When a step may have work again although nothing arrived; undefined: only when something does. */
  get wakeAt(): number | undefined {
    if (this.#phase === 'hello') return undefined;
    if (this.#phase === 'reconciling') return this.#throttledUntil;
    const retryAt = earliest(this.#owed.wakeAt(), this.#unread.wakeAt());
    return this.#throttledUntil === undefined ? retryAt : Math.min(this.#throttledUntil, retryAt ?? Infinity);
  }

  /** Does one step of work: sends at most about one message. Returns false when there is nothing to do now. */
  pump(now: number): boolean {
    if (this.#phase === 'hello' || this.#inFlight.isFull) return false;
    this.#throttledUntil = undefined;
    const readyAt = Math.max(now, ...this.#limits.map((limit) => limit.readyAt(now)));
    if (readyAt > now) {
      this.#throttledUntil = readyAt;
      return false;
    }
    this.#view.refresh();
    // I2: no name of a directory is emptied before it is known what will be there instead.
    if (this.#view.isMoving) return false;
    const stepped = this.#walk === undefined ? this.#sendBatch() : this.#stepWalk(this.#walk);
    // A batch, which ends a stream, would name folders that the replica is still building where nobody sees them.
    if (this.#phase === 'reconciling') return stepped;
    // After each batch one piece, so that a stream advances under constant small changes, and the other way round.
    const streamed = this.#stepTransfer(now, this.#streamBytes < streamBytesInFlight);
    const read = this.#stepUnread(now);
    return stepped || streamed || read;
  }

  close(): void {
    this.#walk?.close();
    this.#owed.closeAll();
  }

  #meet(hello: Hello): void {
    if (this.#phase !== 'hello') throw new FamError('PROTOCOL', 'a second hello came');
    if (hello.protocol !== protocolVersion) {
      throw new FamError(
        'PROTOCOL',
        `the agent speaks protocol ${hello.protocol}, this fam ${protocolVersion}: install the same version on both sides`,
      );
    }
    this.#view.refresh();
    const view = this.#view;
    const state = hello.state;
    const resumes =
      state !== null &&
      state.sourceId === view.sourceId &&
      state.epoch === view.epoch &&
      state.cursor >= view.pruned &&
      state.cursor <= view.head;
    const mode = resumes ? 'resume' : 'reconcile';
    this.#send({
      type: 'welcome',
      protocol: protocolVersion,
      version: this.#options.version,
      sourceId: view.sourceId,
      epoch: view.epoch,
      mode,
      init: this.#options.init,
      durability: this.#options.durability,
      ...(this.#options.attributeRules === undefined ? {} : { attributeRules: this.#options.attributeRules }),
    });
    this.#out.event({
      type: 'met',
      mode,
      lacks: hello.lacks,
      peerVersion: hello.version,
      cursor: resumes ? state.cursor : 0,
    });
    if (resumes) {
      this.#phase = 'live';
      this.#position = state.cursor;
      this.#whole = state.cursor;
      this.#applied = state.cursor;
      this.#durable = state.cursor;
      for (const one of state.pending) {
        const record = view.inode(one.id);
        if (record !== undefined && record.kind !== Kind.file) {
          this.#unread.add(one.id, Math.min(record.seq, state.cursor), performance.now());
          continue;
        }
        this.#owed.add(one.id, Math.min(one.contentSeq, state.cursor), one.contentSeq, true, one.received);
      }
      this.#progress();
    } else {
      this.#phase = 'reconciling';
      this.#walk = new ReconcileWalk(view, this.#contents, {
        empty: hello.empty,
        from: rootId,
        moved: this.#moved,
      });
      this.#isEmpty = hello.empty;
    }
  }

  #wanted(wants: Wants): void {
    if (this.#walk?.answers(wants) === true) return;
    // The replica met ids that it does not know (docs/protocol.md): bring the files, list the directories again.
    for (const id of wants.contents) {
      // Of a content that it has found to be another one the replica has been told in its turn.
      const since = Math.min(this.#position, this.#view.inode(id)?.contentSeq ?? this.#position);
      this.#owe(id, since, true);
    }
    const directory = wants.missing[0];
    if (directory !== undefined) {
      this.#walk ??= new ReconcileWalk(this.#view, this.#contents, {
        empty: false,
        from: directory,
        moved: this.#moved,
      });
      for (const other of wants.missing) this.#walk.alsoFrom(other);
    }
  }

  #acked(ack: Ack): void {
    this.#applied = Math.max(this.#applied, ack.applied);
    this.#durable = Math.max(this.#durable, ack.durable);
    this.#files = ack.files;
    this.#bytes = ack.bytes;
    this.#inFlight.consumed(ack.consumed, performance.now());
    this.#owed.consumed(ack.consumed);
    this.#unread.consumed(ack.consumed);
    while (this.#streamMarks[0] !== undefined && this.#streamMarks[0].sentBytes <= ack.consumed) {
      this.#streamBytes -= this.#streamMarks[0].bytes;
      this.#streamMarks.shift();
    }
    this.#progress();
  }

  #progress(): void {
    this.#out.event({
      type: 'progress',
      applied: this.#unread.contiguous(this.#owed.contiguous(this.#applied)),
      durable: this.#unread.contiguous(this.#owed.contiguous(this.#durable)),
      head: this.#view.head,
      owedFiles: this.#owed.unconfirmed,
      files: this.#files,
      bytes: this.#bytes,
      reconciling: this.#phase === 'reconciling',
    });
  }

  #send(message: ToAgent): Uint8Array {
    const frame = this.#out.send(message);
    this.#count(frame);
    return frame;
  }

  #count(frame: Uint8Array): void {
    this.#inFlight.sent(frame.length, performance.now());
    for (const limit of this.#limits) limit.take(frame.length);
  }

  #stepWalk(walk: ReconcileWalk): boolean {
    const step = walk.step(this.#phase === 'reconciling' && this.#shared.scanning);
    switch (step.kind) {
      case 'send':
        for (const id of step.large) this.#owe(id, walk.seq, !this.#isEmpty);
        this.#send(step.message);
        return true;
      case 'wait':
        return false;
      case 'done': {
        walk.close();
        this.#walk = undefined;
        if (this.#phase !== 'reconciling') return true;
        this.#send({ type: 'reconciled', seq: walk.seq });
        this.#phase = 'live';
        this.#position = walk.seq;
        this.#whole = walk.seq;
        const changes: Change[] = [];
        // The root is no entry of any listing.
        const root = this.#view.inode(rootId);
        if (root !== undefined) {
          const attributes = this.#contents.attributesOf(root, this.#moved);
          changes.push({
            type: 'inode',
            id: rootId,
            attributes,
            contentSeq: root.contentSeq,
            content: { from: 'none' },
          });
        }
        // The replica's cursor passes these files without their content: it must remember that.
        for (const owed of this.#owed.values()) changes.push({ type: 'pending', id: owed.id });
        for (const id of this.#unread.ids()) changes.push({ type: 'pending', id });
        this.#send({ type: 'batch', from: walk.seq, to: walk.seq, complete: true, dead: [], changes });
        // The replica is not equal before it has this, too.
        this.#owed.sent(walk.seq, this.#inFlight.sentBytes);
        return true;
      }
    }
  }

  #owe(id: InodeId, since: Seq, mayHaveOlder: boolean): void {
    const record = this.#view.inode(id);
    if (record !== undefined && record.links > 0) this.#owed.add(id, since, record.contentSeq, mayHaveOlder);
  }

  /** The next stretch of the journal, up to about batchTargetBytes. */
  #sendBatch(): boolean {
    const view = this.#view;
    if (this.#position >= view.head) return this.#sendComplete();
    const from = this.#position;
    const head = view.head;
    const plain = this.#early.size === 0 && this.#owed.size === 0 && this.#whole === from;
    const shared = this.#shared.batch;
    if (plain && shared?.from === from && shared.head === head) {
      this.#position = shared.to;
      this.#isComplete = shared.complete;
      if (shared.to === head) this.#whole = head;
      this.#out.sendFrame(shared.frame);
      this.#count(shared.frame);
      return true;
    }
    this.#contents.reuse();
    const building: Building = { from, changes: [], dead: [], bytes: 0 };
    let to = from;
    for (const record of view.journal(from, head)) {
      if (record.type === 'inode') {
        const key = `i${record.id}`;
        if (this.#early.get(key) === record.seq) this.#early.delete(key);
        else this.#addInode(building, record.id);
      } else {
        const key = `e${record.parent}/${record.name}`;
        const entry = view.entry(record.parent, record.name);
        if (this.#early.get(key) === record.seq) this.#early.delete(key);
        else if (entry === undefined || entry.id === 0) {
          building.changes.push({ type: 'removed', parent: record.parent, name: record.name });
          building.bytes += changeBytes;
        } else this.#addEntry(building, entry);
      }
      to = record.seq;
      if (building.bytes >= batchTargetBytes) break;
    }
    if (building.bytes < batchTargetBytes) to = head;
    this.#position = to;
    if (to === head) {
      this.#early.clear();
      this.#whole = head;
    }
    const complete = to === head && view.isSettled;
    this.#isComplete = complete;
    const frame = this.#send({
      type: 'batch',
      from,
      to,
      complete,
      dead: building.dead,
      changes: building.changes,
    });
    // What has to be sent again is in nobody else's books.
    if (plain && this.#early.size === 0 && this.#owed.size === 0 && !this.#unread.isPending)
      this.#shared.batch = { from, head, to, complete, frame };
    return true;
  }

  /**
   * Says once that the replica stands where the source is, if no batch has said so: what it keeps for later changes can go. It may
   * have been killed before it got that far.
   */
  #sendComplete(): boolean {
    if (this.#isComplete || !this.#view.isSettled) return false;
    this.#isComplete = true;
    this.#sendExtra([]);
    return true;
  }

  /** The replica has met this inode: before this stretch of the journal, in it, or ahead of its turn. */
  #knows(record: InodeRecord, from: Seq): boolean {
    return record.bornSeq <= this.#whole || record.seq <= from || this.#early.has(`i${record.id}`);
  }

  /** Adds the inode's present state; false when its content could not be read now and is owed instead. */
  #addInode(building: Building, id: InodeId): boolean {
    const record = this.#view.inode(id);
    if (record === undefined || record.links === 0) {
      building.dead.push(id);
      this.#owed.drop(id);
      this.#unread.drop(id);
      return false;
    }
    const isKnown = this.#knows(record, building.from);
    const contentIsNew = record.kind === Kind.file && (record.contentSeq > this.#whole || !isKnown);
    if (!contentIsNew) {
      if (this.#owed.get(id) !== undefined) {
        // Its content is on its way; attributes and names come with it.
        this.#owed.add(id, record.seq, record.contentSeq, isKnown);
        return false;
      }
      let hasMoved = false;
      const attributes = this.#contents.attributesOf(record, () => {
        hasMoved = true;
      });
      building.bytes += changeBytes;
      // The replica remembers what it still has to get, whatever becomes of this connection (I8).
      if (hasMoved && record.kind === Kind.file) {
        this.#owed.add(id, record.seq, record.contentSeq, isKnown);
        building.changes.push({ type: 'pending', id });
        return false;
      }
      building.changes.push({
        type: 'inode',
        id,
        attributes,
        contentSeq: record.contentSeq,
        content: { from: 'none' },
      });
      if (hasMoved) {
        this.#unread.add(id, record.seq, performance.now());
        building.changes.push({ type: 'pending', id });
      }
      return true;
    }
    if (record.size <= inlineMaxBytes && this.#owed.get(id) === undefined) {
      const read = this.#contents.readWhole(record);
      if (read.kind === 'content') {
        const content = isKnown && record.doubtful ? asSame(read.bytes) : inline(read.bytes);
        building.changes.push({
          type: 'inode',
          id,
          attributes: read.attributes,
          contentSeq: record.contentSeq,
          content,
        });
        const weight = content.from === 'same' ? digestWeight : 1;
        building.bytes += changeBytes + Math.ceil(read.bytes.length / weight);
        return true;
      }
      if (read.kind === 'problem') this.#out.event({ type: 'problems', problems: [read.problem] });
      const owed = this.#owed.add(id, record.seq, record.contentSeq, isKnown);
      owed.blocked = read.kind === 'problem';
      if (read.kind !== 'problem') owed.notBefore = performance.now() + unstableRetryMs;
    } else this.#owed.add(id, record.seq, record.contentSeq, isKnown);
    building.changes.push({ type: 'pending', id });
    building.bytes += changeBytes;
    return false;
  }

  #addEntry(building: Building, { parent, name, id, seq }: EntryRecord): void {
    const record = this.#view.inode(id);
    if (record === undefined || record.links === 0) return;
    this.#addAncestors(building, parent);
    const isKnown = this.#knows(record, building.from);
    // What has changed since is sent ahead, even where this batch ends before its turn: no name shows an inode as it was before (I2).
    const isNewer = record.seq > seq && this.#early.get(`i${id}`) !== record.seq;
    if (!isKnown || isNewer) {
      const isWhole = this.#addInode(building, id);
      if (!isKnown && !isWhole) return;
      this.#early.set(`i${id}`, record.seq);
    }
    // A name comes with the content that it had when it was given (I2), unless nobody can read that.
    const owed = this.#owed.get(id);
    if (owed !== undefined && !(owed.blocked && isKnown)) return;
    building.changes.push({ type: 'entry', parent, name, id, links: record.links });
    building.bytes += changeBytes;
  }

  /**
   * Sends the directory and everything above it ahead, outermost first, where the replica does not have them as they
   * are: an entry's parent is always there (docs/protocol.md), and no move of a directory can make a cycle, since
   * all that is above its new place is where it belongs.
   */
  #addAncestors(building: Building, directory: InodeId): void {
    const chain: InodeRecord[] = [];
    for (let id = directory; id !== rootId; ) {
      const record = this.#view.inode(id);
      // Deeper than any tree: the records show a loop for a moment (folders that trade places); what is left out now comes later.
      if (record === undefined || record.links === 0 || chain.length > maxDepth) return;
      chain.push(record);
      id = record.parent;
    }
    for (const record of chain.reverse()) {
      if (record.name === '') continue;
      const entry = this.#view.entry(record.parent, record.name);
      if (entry === undefined || entry.id !== record.id || entry.seq <= building.from) continue;
      const key = `e${entry.parent}/${entry.name}`;
      if (this.#early.get(key) === entry.seq) continue;
      if (!this.#knows(record, building.from)) {
        this.#addInode(building, record.id);
        this.#early.set(`i${record.id}`, record.seq);
      }
      building.changes.push({
        type: 'entry',
        parent: entry.parent,
        name: entry.name,
        id: entry.id,
        links: 1,
      });
      building.bytes += changeBytes;
      this.#early.set(key, entry.seq);
    }
  }

  #base(base: Base): void {
    const owed = this.#owed.get(base.id);
    if (owed?.transfer === undefined) return;
    owed.waiting = false;
    if (owed.transfer.base(base)) owed.offset = 0;
  }

  #digests(digests: Digests): void {
    const owed = this.#owed.get(digests.id);
    if (owed === undefined) return;
    owed.waiting = false;
    owed.transfer?.digests(digests);
  }

  /** @param mayEmit the replica can take more of streams now */
  #stepTransfer(now: number, mayEmit: boolean): boolean {
    const owed = this.#owed.next(now);
    if (owed === undefined) return false;
    const record = this.#view.inode(owed.id);
    if (record === undefined || record.links === 0) {
      this.#owed.drop(owed.id);
      this.#progress();
      return true;
    }
    owed.firstTriedAt ??= now;
    const transfer = this.#transferOf(owed, record, now);
    if (transfer === undefined) return true;
    const step = transfer.step(mayEmit);
    switch (step.kind) {
      case 'send':
        this.#sendOfStream(step.message);
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
        this.#finishStream(owed, transfer, record, now, step.kind);
        return true;
    }
  }

  /** Sends one inode again whose extended attributes could not be read. True when there was something to do. */
  #stepUnread(now: number): boolean {
    if (this.#phase !== 'live') return false;
    const id = this.#unread.next(now);
    if (id === undefined) return false;
    const record = this.#view.inode(id);
    // A content that is on its way brings all attributes along.
    if (record === undefined || record.links === 0 || this.#owed.get(id) !== undefined) {
      this.#unread.drop(id);
      this.#progress();
      return true;
    }
    let hasMoved = false;
    const attributes = this.#contents.attributesOf(record, () => {
      hasMoved = true;
    });
    if (hasMoved) {
      this.#unread.failed(id, now);
      return true;
    }
    const from = this.#position;
    const { contentSeq } = record;
    // What the replica has not been told of yet comes with its own record.
    if (record.seq <= from) {
      this.#sendExtra([{ type: 'inode', id, attributes, contentSeq, content: { from: 'none' } }]);
      this.#unread.sent(id, this.#inFlight.sentBytes);
    } else this.#unread.drop(id);
    return true;
  }

  /** Of the content that the file has now; undefined when it cannot be opened. */
  #transferOf(owed: Owed, record: InodeRecord, now: number): Transfer | undefined {
    if (owed.transfer?.contentSeq === record.contentSeq) return owed.transfer;
    this.#owed.close(owed);
    if (owed.contentSeq !== record.contentSeq) owed.offset = 0;
    owed.contentSeq = record.contentSeq;
    const opened = this.#contents.open(record);
    if (opened.kind === 'problem') {
      this.#out.event({ type: 'problems', problems: [opened.problem] });
      owed.blocked = true;
      // Names that were held back for the content.
      if (owed.mayHaveOlder) this.#sendExtra(this.#names(record, []));
      // Nobody waits for what cannot be had.
      this.#progress();
      return undefined;
    }
    if (opened.kind === 'moved') {
      owed.notBefore = now + unstableRetryMs;
      return undefined;
    }
    const transfer = new Transfer(this.#contents, this.#shared.ledger, {
      id: owed.id,
      contentSeq: record.contentSeq,
      content: opened.content,
      offset: owed.offset,
      mayHaveOlder: owed.mayHaveOlder,
      isDoubtful: record.doubtful,
      nextAttempt: () => ++this.#attempts,
      key: this.#digestKey,
    });
    owed.openedSeq = record.seq;
    this.#owed.open(owed, transfer);
    return transfer;
  }

  #sendOfStream(message: ToAgent): void {
    const before = this.#inFlight.sentBytes;
    this.#send(message);
    const copied = message.type === 'stream' ? message.copy / copyWeight : 0;
    const bytes = this.#inFlight.sentBytes - before + copied;
    this.#streamMarks.push({ sentBytes: this.#inFlight.sentBytes, bytes });
    this.#streamBytes += bytes;
  }

  #startOver(owed: Owed, now: number): void {
    this.#owed.close(owed);
    owed.offset = 0;
    owed.notBefore = now + unstableRetryMs;
  }

  /** Everything is out: if the file held still meanwhile, its inode and names follow. */
  #finishStream(
    owed: Owed,
    transfer: Transfer,
    record: InodeRecord,
    now: number,
    how: 'sent' | 'same',
  ): void {
    const { content } = transfer;
    const waitedTooLong = now - (owed.firstTriedAt ?? now) > this.#options.hotFileMaxDelayMs;
    const held = this.#contents.holdsStill(content);
    if (!held && !waitedTooLong) {
      this.#startOver(owed, now);
      return;
    }
    if (held) {
      transfer.keep();
      this.#shared.ledger.sweep((id) => (this.#view.inode(id)?.links ?? 0) > 0);
    } else {
      const problem: Problem = { path: this.#contents.pathOf(record), action: 'read', code: 'changing' };
      this.#out.event({ type: 'problems', problems: [problem] });
    }
    const inode: Change = {
      type: 'inode',
      id: owed.id,
      attributes: content.attributes,
      contentSeq: owed.contentSeq,
      content: how === 'sent' ? { from: 'staged' } : { from: 'same', digest: undefined },
    };
    const changes = this.#names(record, [inode]);
    // Attributes that changed while the content was on its way were to come with it; these are older.
    const isOutdated = !held && record.seq > owed.openedSeq;
    if (isOutdated) changes.push({ type: 'pending', id: owed.id });
    this.#sendExtra(changes);
    this.#owed.handOver(owed, this.#inFlight.sentBytes);
    if (isOutdated) this.#unread.add(owed.id, record.seq, now);
  }

  /** `changes` and then all names of the inode, with what they hang on. */
  #names(record: InodeRecord, changes: Change[]): Change[] {
    const { id, links } = record;
    const building: Building = { from: this.#position, changes, dead: [], bytes: 0 };
    for (const { parent, name } of this.#view.namesOf(id)) {
      this.#addAncestors(building, parent);
      changes.push({ type: 'entry', parent, name, id, links });
    }
    return changes;
  }

  /** A batch that does not move the position. */
  #sendExtra(changes: readonly Change[]): void {
    const position = this.#position;
    const complete = position === this.#view.head && this.#view.isSettled;
    this.#send({ type: 'batch', from: position, to: position, complete, dead: [], changes });
  }
}

function inline(bytes: Uint8Array): Content {
  return { from: 'inline', bytes };
}

/** In place of a content that the replica probably has. */
function asSame(bytes: Uint8Array): Content | SameContent {
  if (bytes.length <= contentDigestBytes) return inline(bytes);
  return { from: 'same', digest: createHash('sha256').update(bytes).digest() };
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

interface Building {
  readonly from: Seq;
  readonly changes: Change[];
  readonly dead: InodeId[];
  bytes: number;
}
