// source/: reads the tree for each replica and decides what it is told. One session is one connection to
// one replica; everything it knows is in the tree, in what the replica said in `hello`, and in a few maps that
// do not grow with lag (I10). Imports tree, wire, kernel, runtime and core.

import { type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Change } from '../core/change.ts';
import { FamError } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';
import type { InodeRecord } from '../tree/records.ts';
import {
  type Ack,
  type AttributeRules,
  type Extras,
  type Failed,
  type Failing,
  type Hello,
  heartbeatMs,
  type Kept,
  protocolVersion,
  rulesKey,
  type ToAgent,
  type ToSource,
  type Wants,
  type Welcome,
} from '../wire/messages.ts';
import type { Bandwidth } from './bandwidth.ts';
import { BatchBuilder } from './batch-builder.ts';
import type { BlockLedger } from './block-ledger.ts';
import type { Contents } from './contents.ts';
import type { FormerNames } from './former-names.ts';
import { InFlight } from './in-flight.ts';
import { OwedContents } from './owed.ts';
import { ReconcileWalk } from './reconcile-walk.ts';
import { type Standing, StandingOfReplica } from './standing.ts';
import { Streams } from './streams.ts';
import { UnreadAttributes } from './unread-attributes.ts';
import type { TreeView } from './view.ts';

/** Nothing else is shown meanwhile; a large file takes longer than anybody should wait for that. */
const contentsFirstMs = 2000;

export interface SessionOptions {
  readonly version: string;
  readonly init: boolean;
  /** The whole replica, whatever it remembers. Default false. */
  readonly compares?: boolean;
  readonly durability: Welcome['durability'];
  /** As in `Welcome`. */
  readonly trusted?: boolean | undefined;
  /** After this a file that never holds still is sent as it is. */
  readonly hotFileMaxDelayMs: number;
  readonly attributeRules?: AttributeRules | undefined;
  /** As in `Welcome`. */
  readonly promotedAt?: number | undefined;
  readonly follows?: string | undefined;
  readonly descent?: readonly string[] | undefined;
  readonly place?: Welcome['place'];
  /** Bytes a second to this replica at most. */
  readonly bandwidth?: number | undefined;
}

export interface SessionProgress extends Standing {
  readonly type: 'progress';
  /** The source's head as this session last saw it. */
  readonly head: Seq;
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
      /** As in `ReplicaState`, where it goes on from that. */
      readonly failing: number | undefined;
    }
  | { readonly type: 'problems'; readonly problems: readonly Problem[] }
  | { readonly type: 'extras'; readonly extras: Extras }
  | { readonly type: 'kept'; readonly kept: Kept }
  | { readonly type: 'failing'; readonly failing: Failing }
  /** This (relative to the root) has not been where it is recorded for so long that no event will tell why. */
  | { readonly type: 'missing'; readonly path: ByteString }
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
  /** Of a source that was a replica. */
  readonly former?: FormerNames | undefined;
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
  /** The last batch of the journal was complete. */
  #isComplete = false;
  /**
   * Until then the contents that a replica lacks when it comes, or that first contact has found lacking, come before all that the journal
   * says of their folders.
   */
  #contentsFirstUntil: number | undefined;
  /** The replica's root held nothing when it came. */
  #isEmpty = false;
  #takesAlive = false;
  readonly #inFlight = new InFlight();
  readonly #owed = new OwedContents();
  readonly #unread = new UnreadAttributes();
  readonly #standing = new StandingOfReplica(this.#owed, this.#unread);
  /** Listed without its extended attributes: a file comes once more, whole; anything else is read again in a moment. */
  readonly #moved = (record: InodeRecord): void => {
    if (record.kind === Kind.file) this.#owe(record.id, record.seq, true);
    else this.#unread.add(record.id, record.seq, performance.now());
  };
  readonly #builder: BatchBuilder;
  readonly #streams: Streams;

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
    const report = (problem: Problem) => {
      out.event({ type: 'problems', problems: [problem] });
    };
    this.#builder = new BatchBuilder(view, contents, this.#owed, this.#unread, report);
    this.#streams = new Streams(
      {
        view,
        contents,
        ledger: shared.ledger,
        inFlight: this.#inFlight,
        owed: this.#owed,
        unread: this.#unread,
        builder: this.#builder,
        hotFileMaxDelayMs: options.hotFileMaxDelayMs,
      },
      {
        send: (message) => this.#send(message),
        sendExtra: (changes) => {
          this.#sendExtra(changes);
        },
        report,
        excused: () => {
          this.#progress();
        },
        gone: (id) => {
          this.#sendGone(id);
        },
        missing: (record) => {
          this.#missing(record);
        },
      },
    );
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
      case 'kept':
        this.#out.event({ type: 'kept', kept: message });
        break;
      case 'again':
        this.#listAgain(message.directories, true);
        break;
      case 'failing':
        this.#out.event({ type: 'failing', failing: message });
        break;
      case 'failed':
        this.#out.event({ type: 'failed', failed: message });
        break;
      case 'base':
        this.#streams.base(message);
        break;
      case 'digests':
        this.#streams.digests(message);
        break;
      case 'alive':
        break;
    }
  }

  /** When a step may have work again although nothing arrived; undefined: only when something does. */
  get wakeAt(): number | undefined {
    if (this.#phase === 'hello' || this.#inFlight.isFull) return undefined;
    if (this.#phase === 'reconciling' || this.#throttledUntil !== undefined) return this.#throttledUntil;
    return earliest(earliest(this.#owed.wakeAt(), this.#unread.wakeAt()), this.#contentsFirstUntil);
  }

  /** The agent has been told that it hears of us now and then, whether there is news or not. */
  get isToBeat(): boolean {
    return this.#takesAlive;
  }

  get hasMet(): boolean {
    return this.#phase !== 'hello';
  }

  /** What is to be sent next waits for what the replica says. */
  get awaitsReplica(): boolean {
    return this.#throttledUntil === undefined && (this.#walk !== undefined || this.#inFlight.isFull);
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
    const stepped = this.#walk === undefined ? this.#sendBatch(now) : this.#stepWalk(this.#walk, now);
    // A batch, which ends a stream, would name folders that the replica is still building where nobody sees them.
    if (this.#phase === 'reconciling') return stepped;
    // After each batch one piece, so that a stream advances under constant small changes, and the other way round.
    const streamed = this.#streams.step(now);
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
    const rules = rulesKey(this.#options.attributeRules);
    const resumes =
      this.#options.compares !== true &&
      state !== null &&
      state.sourceId === view.sourceId &&
      state.epoch === view.epoch &&
      state.cursor >= view.pruned &&
      state.cursor <= view.head &&
      // Owners and modes that were made by other rules are to be made anew.
      (state.rules ?? rules) === rules;
    const mode = resumes ? 'resume' : 'reconcile';
    const {
      version,
      init,
      durability,
      attributeRules,
      promotedAt = 0,
      follows,
      descent,
      trusted,
      place,
    } = this.#options;
    this.#takesAlive = hello.takesAlive === true;
    this.#send({
      type: 'welcome',
      protocol: protocolVersion,
      version,
      sourceId: view.sourceId,
      epoch: view.epoch,
      mode,
      init,
      durability,
      ...(trusted === true ? { trusted } : {}),
      ...(attributeRules === undefined ? {} : { attributeRules }),
      ...(promotedAt === 0 ? {} : { promotedAt }),
      ...(follows === undefined ? {} : { follows }),
      ...(descent === undefined ? {} : { descent: [...descent] }),
      ...(place === undefined ? {} : { place }),
      ...(this.#takesAlive ? { aliveMs: heartbeatMs } : {}),
      takesAgain: true,
    });
    this.#out.event({
      type: 'met',
      mode,
      lacks: hello.lacks,
      peerVersion: hello.version,
      cursor: resumes ? state.cursor : 0,
      failing: resumes ? state.failing : undefined,
    });
    if (resumes) {
      this.#phase = 'live';
      this.#builder.startAt(state.cursor);
      this.#standing.startAt(state.cursor);
      for (const one of state.pending) {
        const record = view.inode(one.id);
        if (record !== undefined && record.kind !== Kind.file) {
          this.#unread.add(one.id, Math.min(record.seq, state.cursor), performance.now());
          continue;
        }
        this.#owed.add(one.id, Math.min(one.contentSeq, state.cursor), one.contentSeq, true, one.received);
      }
      // It may be the first contact that was cut off before they had come.
      this.#contentsFirstUntil = performance.now() + contentsFirstMs;
      this.#progress();
    } else {
      const { former } = this.#shared;
      this.#phase = 'reconciling';
      this.#walk = new ReconcileWalk(view, this.#contents, {
        empty: hello.empty,
        from: rootId,
        moved: this.#moved,
        removedFrom: former === undefined ? undefined : (directory) => former.removedFrom(directory, view),
      });
      this.#isEmpty = hello.empty;
    }
  }

  #wanted(wants: Wants): void {
    if (this.#walk?.answers(wants) === true) return;
    // The replica met ids that it does not know (docs/protocol.md): bring the files, list the directories again.
    for (const id of wants.contents) {
      // Of a content that it has found to be another one the replica has been told in its turn.
      const since = Math.min(
        this.#builder.position,
        this.#view.inode(id)?.contentSeq ?? this.#builder.position,
      );
      this.#owe(id, since, true, true);
    }
    if (wants.missing.length === 0) return;
    this.#standing.lacksFolders();
    this.#listAgain(wants.missing, false);
  }

  /** @param areAlone without what is below them, but for what the replica lacks */
  #listAgain(directories: readonly InodeId[], areAlone: boolean): void {
    const [from] = directories;
    if (from === undefined) return;
    this.#walk ??= new ReconcileWalk(this.#view, this.#contents, {
      empty: false,
      from,
      isAlone: areAlone,
      moved: this.#moved,
    });
    for (const directory of directories) this.#walk.alsoFrom(directory, areAlone);
  }

  #acked(ack: Ack): void {
    this.#standing.acked(ack);
    this.#inFlight.consumed(ack.consumed, performance.now());
    this.#owed.consumed(ack.consumed);
    this.#unread.consumed(ack.consumed);
    this.#streams.consumed(ack.consumed);
    this.#progress();
  }

  #progress(): void {
    const { head } = this.#view;
    this.#out.event({
      type: 'progress',
      ...this.#standing.now,
      head,
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

  #stepWalk(walk: ReconcileWalk, now: number): boolean {
    const step = walk.step(this.#phase === 'reconciling' && this.#shared.scanning);
    switch (step.kind) {
      case 'send':
        for (const id of step.large)
          this.#owe(id, walk.seq, !this.#isEmpty, step.message.type === 'contents');
        this.#send(step.message);
        return true;
      case 'wait':
        return false;
      case 'done': {
        walk.close();
        this.#walk = undefined;
        this.#view.releaseMemory();
        this.#send({ type: 'reconciled', seq: this.#phase === 'reconciling' ? walk.seq : walk.passSeq });
        if (this.#phase !== 'reconciling') {
          this.#standing.listed(this.#inFlight.sentBytes);
          // What has given way to what was listed can go when it is said that this is all.
          this.#isComplete = false;
          return true;
        }
        this.#phase = 'live';
        this.#builder.startAt(walk.seq);
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
        // What moved meanwhile may wait in limbo for what the journal says of it.
        this.#isComplete = walk.seq === this.#view.head && this.#view.isSettled;
        const complete = this.#isComplete;
        this.#send({ type: 'batch', from: walk.seq, to: walk.seq, complete, dead: [], changes });
        // The replica is not equal before it has this, too.
        this.#owed.sent(walk.seq, this.#inFlight.sentBytes);
        if (!this.#isEmpty) this.#contentsFirstUntil = now + contentsFirstMs;
        return true;
      }
    }
  }

  #owe(id: InodeId, since: Seq, mayHaveOlder: boolean, isAskedFor = false): void {
    const record = this.#view.inode(id);
    if (record === undefined || record.links === 0) return;
    const owed = this.#owed.add(id, since, record.contentSeq, mayHaveOlder);
    owed.isAskedFor ||= isAskedFor;
  }

  /** The next stretch of the journal: read, or as another session has read it. */
  #sendBatch(now: number): boolean {
    const builder = this.#builder;
    const { head } = this.#view;
    if (this.#doContentsComeFirst(now)) return false;
    if (builder.position >= head) return this.#sendComplete();
    this.#streams.batchSent(now);
    const { isPlain } = builder;
    const shared = this.#shared.batch;
    if (isPlain && shared?.from === builder.position && shared.head === head) {
      builder.passed(shared.to, head);
      this.#isComplete = shared.complete;
      this.#out.sendFrame(shared.frame);
      this.#count(shared.frame);
      return true;
    }
    const stretch = builder.next(head);
    const complete = stretch.to === head && this.#view.isSettled;
    this.#isComplete = complete;
    const frame = this.#send({ type: 'batch', complete, ...stretch });
    // What has to be sent again is in nobody else's books.
    if (isPlain && builder.hasLeftNothing && !this.#unread.isPending)
      this.#shared.batch = { from: stretch.from, head, to: stretch.to, complete, frame };
    return true;
  }

  /** I2: a folder that was renamed during first contact shows no old page under its new name. For a moment: the changes wait. */
  #doContentsComeFirst(now: number): boolean {
    if (this.#contentsFirstUntil === undefined) return false;
    if (now < this.#contentsFirstUntil && this.#owed.dueCount > 0) return true;
    this.#contentsFirstUntil = undefined;
    return false;
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

  /** Sends one inode again whose extended attributes could not be read. True when there was something to do. */
  #stepUnread(now: number): boolean {
    if (this.#phase !== 'live') return false;
    const id = this.#unread.next(now);
    if (id === undefined) return false;
    const record = this.#view.inode(id);
    // A content that is on its way brings all attributes along.
    const isGone = record === undefined || record.links === 0;
    if (isGone || this.#owed.get(id) !== undefined) {
      this.#unread.drop(id);
      if (isGone) this.#sendGone(id);
      else this.#progress();
      return true;
    }
    let hasMoved = false;
    const attributes = this.#contents.attributesOf(record, () => {
      hasMoved = true;
    });
    if (hasMoved) {
      if (this.#unread.failed(id, now)) this.#missing(record);
      return true;
    }
    const from = this.#builder.position;
    const { contentSeq } = record;
    // What the replica has not been told of yet comes with its own record.
    if (record.seq <= from) {
      // With its names: a replica that could not place it when it came has kept nothing of it but that it is pending.
      const inode: Change = { type: 'inode', id, attributes, contentSeq, content: { from: 'none' } };
      this.#sendExtra(this.#builder.withNames([inode], record));
      this.#unread.sent(id, this.#inFlight.sentBytes);
    } else this.#unread.drop(id);
    return true;
  }

  #missing(record: InodeRecord): void {
    this.#out.event({ type: 'missing', path: this.#contents.pathOf(record) });
  }

  /** A batch that does not move the position. */
  #sendExtra(changes: readonly Change[], dead: readonly InodeId[] = []): void {
    const position = this.#builder.position;
    const complete = position === this.#view.head && this.#view.isSettled;
    this.#send({ type: 'batch', from: position, to: position, complete, dead, changes });
  }

  /** The replica was told that this one is pending: it would wait for ever, and keep what it has of it. */
  #sendGone(id: InodeId): void {
    this.#sendExtra([], [id]);
    this.#progress();
  }
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
