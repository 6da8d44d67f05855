// One connection, seen from the replica: what each message does. Synchronous; runs in the applier's thread.

import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Batch, Change } from '../core/change.ts';
import { FamError } from '../core/errors.ts';
import { type ByteString, bytesOfText } from '../core/name.ts';
import type { Place } from '../core/plan-operation.ts';
import { isMendable, type Problem } from '../core/problem.ts';
import type { Succession } from '../core/succession.ts';
import { check, ESTALE, Stat, statx, syncfs } from '../kernel/sys.ts';
import { overlapsHere } from '../tree/host-place.ts';
import type { TreeStore } from '../tree/store.ts';
import type {
  Contents,
  Hello,
  Listing,
  ReplicaState,
  StreamPiece,
  ToAgent,
  ToSource,
  Wants,
  Welcome,
} from '../wire/messages.ts';
import { protocolVersion, rulesKey } from '../wire/messages.ts';
import { follow } from './allegiance.ts';
import { type Applied, Applier, type Step } from './applier.ts';
import { ApplyingMark } from './applying-mark.ts';
import { AttributeRules } from './attribute-rules.ts';
import { Bases } from './bases.ts';
import { isFamiliar } from './familiar.ts';
import { fatalError, isFull } from './fatal-error.ts';
import { FormerInodes } from './former-inodes.ts';
import { type Home, isEmptyRoot } from './home.ts';
import { InTheWay } from './in-the-way.ts';
import { KnownContents } from './known-contents.ts';
import { isSameIdentity } from './local-identity.ts';
import { noteMount } from './mount-note.ts';
import { type FailedPlace, Reconcile } from './reconcile.ts';
import { Records, type ReplicaMemory } from './records.ts';
import { recover } from './recover.ts';
import { Relisting } from './relisting.ts';
import { Reserved } from './reserved.ts';
import { SameContents } from './same-contents.ts';
import { StagedStreams } from './staged-streams.ts';
import { readSuccession, writeSuccession } from './succession-file.ts';
import { Trash } from './trash.ts';
import { TrashRetention } from './trash-retention.ts';

export interface SessionOptions {
  readonly version: string;
  readonly send: (message: ToSource) => void;
  /** Makes everything written so far durable, off this thread, then calls `synced` with the same cursor. */
  readonly sync: (cursor: Seq) => void;
  readonly step?: Step;
}

/** Problems told at once. */
const maxProblems = 200;
/**
 * After there was no room for a large content the session goes on for so long: small changes may find room, and removals make it. Longer
 * than the source may hold them back for the sake of large contents (`contentsFirstMs`).
 */
const fullGraceMs = 5000;
/** A tenth of what a frame holds; a replica that lacks more is compared as a whole. */
const maxPendingTold = 50_000;

const isRoot = process.geteuid?.() === 0;

export class ReplicaSession {
  readonly #home: Home;
  readonly #records: Records;
  readonly #applier: Applier;
  readonly #options: SessionOptions;
  readonly #knownContents: KnownContents;
  readonly #bases: Bases;
  readonly #sameContents: SameContents;
  readonly #reserved: Reserved;
  readonly #retention: TrashRetention;
  /** Where first contact found that content is lacking: what is there may be an older one. */
  #wanted: ReadonlyMap<InodeId, readonly Place[]> = new Map();
  readonly #inTheWay: InTheWay;
  readonly #mark: ApplyingMark;
  readonly #isFamiliar: boolean;
  #memory: ReplicaMemory | undefined;
  #succession: Succession | undefined;
  #welcome: Welcome | undefined;
  #rules: AttributeRules | undefined;
  #reconcile: Reconcile | undefined;
  readonly #relisting: Relisting;
  #problems: Problem[] = [];
  #consumed = 0;
  #told = 0;
  #durable: Seq = 0;
  #syncing = false;
  #isSyncDue = false;
  #isAckDue = false;
  #isTidyDue = false;
  /** Nothing has been applied since it was said that this is all. */
  #isComplete = false;
  /** What fam had left here before a first contact is still on file. */
  #isFormerKept = true;
  #tellReconciled = false;
  #hasComparisonFailed = false;
  /** Directories that are to be listed, and whose listing has not begun: the end of what began before is not the end of that. */
  readonly #awaited = new Set<InodeId>();
  /** The source was asked to list something, and the end of that has not come. */
  #isListing = false;
  #full: { readonly error: FamError; readonly endsAt: number } | undefined;

  constructor(home: Home, store: TreeStore, options: SessionOptions) {
    this.#home = home;
    this.#options = options;
    this.#records = new Records(store);
    this.#inTheWay = new InTheWay(store);
    this.#relisting = new Relisting(this.#records);
    this.#memory = this.#records.memory();
    this.#succession = readSuccession(home.path);
    this.#mark = new ApplyingMark(home.state);
    const cutOff = this.#mark.read();
    if (cutOff !== undefined) {
      if (this.#memory?.reconciled === true) recover(home, this.#records, cutOff);
      this.#mark.clear();
    }
    const lastState = cutOff === undefined ? this.#memory : undefined;
    this.#isFamiliar = this.#memory?.reconciled !== true || isFamiliar(home, this.#records, lastState);
    if (!this.#isFamiliar)
      this.#problem({
        path: bytesOfText(home.root),
        action: 'go on where it was',
        code: 'not the files that fam left',
      });
    this.#applier = new Applier({
      home,
      records: this.#records,
      streams: new StagedStreams(home.stagingFd),
      mark: this.#mark,
      problem: (problem) => this.#problem(problem),
      ...(options.step === undefined ? {} : { step: options.step }),
    });
    this.#knownContents = new KnownContents(store);
    this.#bases = new Bases({
      locate: (id) => this.#fileOf(id),
      known: this.#knownContents,
      send: (message) => options.send(message),
    });
    this.#sameContents = new SameContents({ store, locate: (id) => this.#fileOf(id), bases: this.#bases });
    this.#reserved = new Reserved(home, (problem) => this.#problem(problem));
    this.#retention = new TrashRetention(home);
    this.#durable = this.#memory?.cursor ?? 0;
  }

  hello(): Hello {
    return {
      type: 'hello',
      protocol: protocolVersion,
      version: this.#options.version,
      root: this.#home.root,
      pid: process.pid,
      empty: isEmptyRoot(this.#home),
      state: this.#state(),
      lacks: isRoot ? [] : ['owner', 'xattr:trusted', 'device-nodes', 'read-only-folders'],
      takesAlive: true,
    };
  }

  /** @param frameBytes the frame's length, for the source's window */
  receive(sent: ToAgent, frameBytes: number): void {
    this.#consumed += frameBytes;
    const message = this.#rules === undefined ? sent : this.#rules.message(sent);
    // I7: a local user may have moved some of them out of the root since.
    this.#applier.directories.closeAll();
    switch (message.type) {
      case 'welcome':
        this.#meet(message);
        break;
      case 'listing':
        this.#listing(message);
        break;
      case 'contents':
        this.#contents(message);
        break;
      case 'reconciled':
        this.#reconciled(message.seq);
        break;
      case 'batch':
        this.#batch(message);
        break;
      case 'stream':
        this.#stream(message);
        break;
      case 'checkpoint':
        this.#isSyncDue = true;
        break;
      case 'version':
        this.#knownContents.expect(message);
        break;
      case 'base-wanted':
        this.#bases.hold(message);
        break;
      case 'digests-wanted':
        this.#bases.wantDigests(message);
        break;
      case 'bye':
        return;
    }
    this.#isAckDue = true;
  }

  /** The source says something this often, in milliseconds; undefined: when it has something to say. */
  get aliveMs(): number | undefined {
    return this.#welcome?.aliveMs;
  }

  /** Consumed since the source was last told. */
  get untoldBytes(): number {
    return this.#consumed - this.#told;
  }

  /**
   * Does a little of what may take long. Returns whether there is more of it.
   * @throws FamError DISK_FULL: there was no room for a large content some seconds ago
   */
  work(): boolean {
    if (this.#full !== undefined && performance.now() > this.#full.endsAt) {
      if (this.#records.pending.size > 0) throw this.#full.error;
      this.#full = undefined;
    }
    return this.#bases.work() || this.#retention.work();
  }

  /** Says what is to be said now. Called when there is nothing more to receive, or now and then under load. */
  flush(isIdle: boolean): void {
    if (this.#problems.length > 0) {
      this.#options.send({ type: 'problems', problems: this.#problems });
      this.#problems = [];
    }
    const kept = Trash.takeUntold();
    if (kept !== undefined)
      this.#options.send({ type: 'kept', ...kept, trash: join(this.#home.path, 'trash') });
    if (this.#isSyncDue && !this.#syncing) {
      this.#isSyncDue = false;
      this.#syncing = true;
      this.#options.sync(this.#memory?.cursor ?? 0);
    }
    if (this.#isAckDue) this.#ack();
    if (!isIdle) return;
    this.#mend();
    if (this.#isTidyDue) {
      this.#isTidyDue = false;
      this.#applier.tidy();
    }
    // A file system that is mounted in here can be unmounted.
    this.#applier.directories.closeAll();
  }

  /** What `sync` was asked for has been done. */
  synced(cursor: Seq): void {
    this.#syncing = false;
    this.#durable = Math.max(this.#durable, cursor);
    this.#isAckDue = true;
    this.flush(false);
  }

  /** Ends in order: everything is on disk, the state is clean. */
  close(): void {
    if (this.#welcome !== undefined && this.#welcome.durability !== 'none')
      check(syncfs(this.#home.rootFd), 'sync');
    this.#reconcile?.close();
    this.#bases.close();
    this.#retention.close();
    this.#applier.close();
    this.#mark.close();
  }

  #state(): ReplicaState | null {
    const memory = this.#memory;
    if (memory === undefined || !memory.reconciled || !this.#isFamiliar) return null;
    // Whoever was the main has changed since in ways that no cursor speaks of.
    if (this.#succession?.isMain === true) return null;
    // I8: whoever was killed before it had what it lacked is behind no cursor.
    if (memory.lackingSince > 0) return null;
    // Of what could not be done here no later batch speaks: somebody may have mended it. Most of it is listed again (`failedIn`).
    if (memory.hasFailed) return null;
    const { sourceId, epoch, cursor, rules } = memory;
    // A hello has to fit into a frame.
    if (this.#records.pending.size > maxPendingTold) return null;
    const pending = [...this.#records.pending].map((id) => {
      const staged = this.#applier.streams.received(id);
      return { id, contentSeq: staged?.contentSeq ?? 0, received: staged?.received ?? 0 };
    });
    const failing = memory.failedIn.length;
    return {
      sourceId,
      epoch,
      cursor,
      pending,
      ...(rules === undefined ? {} : { rules }),
      ...(failing === 0 ? {} : { failing }),
    };
  }

  #meet(welcome: Welcome): void {
    if (this.#welcome !== undefined) throw new FamError('PROTOCOL', 'a second welcome came');
    if (welcome.protocol !== protocolVersion) {
      throw new FamError(
        'PROTOCOL',
        `the source speaks protocol ${welcome.protocol}, this agent ${protocolVersion}`,
      );
    }
    const { root } = this.#home;
    if (welcome.place !== undefined && overlapsHere(welcome.place, root)) {
      throw new FamError(
        'OVERLAP',
        `${root} and the source ${welcome.place.path} lie within one another: this is the source's own host`,
      );
    }
    if (welcome.attributeRules !== undefined || !isRoot)
      this.#rules = new AttributeRules(welcome.attributeRules, isRoot);
    this.#welcome = welcome;
    const memory = this.#memory;
    const isSameMain = this.#succession?.promotedAt === (welcome.promotedAt ?? 0);
    this.#follow(welcome);
    this.#applier.maker.syncFiles = welcome.durability === 'file';
    if (welcome.mode === 'resume') {
      if (memory === undefined || memory.sourceId !== welcome.sourceId) {
        throw new FamError('PROTOCOL', 'the source resumes what this replica does not remember');
      }
      const sourceRoot = this.#sourceRootAfter(memory);
      if (sourceRoot !== memory.sourceRoot) this.#remember({ ...memory, sourceRoot });
      this.#applier.mending.resume(memory.failedIn);
      if (welcome.takesAgain !== true && memory.failedIn.length > 0) this.#ask([], [rootId]);
      return;
    }
    const isSameSource = memory?.sourceId === welcome.sourceId;
    // A first contact that is cut off begins anew with the same doubts.
    const settledEpoch = memory?.reconciled === true ? memory.epoch : memory?.settledEpoch;
    const settledCursor = memory?.reconciled === true ? memory.cursor : memory?.settledCursor;
    // Another main has another root.
    const sourceRoot = isSameSource && isSameMain ? memory.sourceRoot : undefined;
    const rootNow = welcome.place?.object;
    const isSamePast = isSameSource && settledEpoch === welcome.epoch;
    this.#isFormerKept = true;
    this.#reconcile = new Reconcile(this.#applier, {
      init: welcome.init,
      isSameSource,
      newestContent: isSamePast ? settledCursor : undefined,
      isDoubtful: settledEpoch !== welcome.epoch && welcome.trusted !== true,
      isOtherRoot: sourceRoot !== undefined && rootNow !== undefined && sourceRoot !== rootNow,
      wasMain: this.#succession?.wasMain === true,
      inTheWay: this.#inTheWay,
      problem: (problem, failed) => {
        if (isMendable(problem.code)) this.#failedComparing(failed);
        this.#problem(problem);
      },
    });
    this.#records.store.transaction(() => {
      this.#records.pending.clear();
      this.#remember({
        sourceId: welcome.sourceId,
        epoch: welcome.epoch,
        reconciled: false,
        ...(isSameSource ? { settledEpoch, settledCursor } : {}),
        cursor: 0,
        listedFrom: 0,
        deferred: [],
        nameless: [],
        lackingSince: 0,
        failedIn: [],
        hasFailed: false,
        latest: [],
        rules: rulesKey(welcome.attributeRules),
        sourceRoot,
      });
    });
  }

  /** The source itself has admitted its root, or has been told to. */
  #sourceRootAfter(memory: ReplicaMemory): string | undefined {
    return this.#welcome?.place?.object ?? memory.sourceRoot;
  }

  #follow(welcome: Welcome): void {
    const { root } = this.#home;
    this.#succeed(follow({ root, memory: this.#memory, succession: this.#succession }, welcome));
    noteMount(this.#home.rootFd, root);
  }

  #succeed(succession: Succession): void {
    if (!isDeepStrictEqual(this.#succession, succession)) writeSuccession(this.#home.path, succession);
    this.#succession = succession;
  }

  // --- first contact ------------------------------------------------------------------------------------------------------

  #listing(listing: Listing): void {
    if (this.#reconcile !== undefined) this.#options.send(this.#reconcile.listing(listing));
    else this.#options.send(this.#relist(listing));
  }

  #contents(message: Contents): void {
    if (this.#reconcile !== undefined) {
      this.#reconcile.contents(message);
      return;
    }
    const changes = this.#relisting.contents(message);
    if (changes.length === 0) return;
    const { lost, isLacking } = this.#apply(this.#incomplete(changes));
    this.#ask(lost, isLacking ? [rootId] : []);
  }

  #reconciled(seq: Seq): void {
    if (this.#reconcile === undefined) {
      // The end of a listing that was asked for; one that began too early for the last question is followed by another.
      const memory = this.#known();
      this.#applier.mending.ended();
      this.#isListing = this.#awaited.size > 0;
      if (seq >= memory.lackingSince && this.#awaited.size === 0)
        this.#remember({ ...memory, lackingSince: 0 });
      return;
    }
    const { extras } = this.#reconcile;
    this.#wanted = this.#reconcile.wanted;
    // The root's own attributes come after this, with the first batch.
    const lacking = [rootId, ...this.#reconcile.finish()];
    this.#reconcile = undefined;
    if (extras !== undefined) this.#options.send(extras);
    this.#records.store.transaction(() => {
      for (const id of lacking) this.#records.pending.add(id);
      this.#remember({
        ...this.#known(),
        cursor: seq,
        listedFrom: seq,
        reconciled: true,
        ...this.#applier.mending.memoryAfter(this.#hasComparisonFailed),
        sourceRoot: this.#sourceRootAfter(this.#known()),
      });
    });
    this.#tellReconciled = true;
    if (this.#succession !== undefined) this.#succeed({ ...this.#succession, wasMain: false });
    this.#options.step?.('reconciled');
    this.#records.store.releaseMemory();
    this.#syncSoon();
  }

  // --- batches ------------------------------------------------------------------------------------------------------------

  #batch(batch: Batch): void {
    const memory = this.#known();
    if (batch.from > memory.cursor) {
      throw new FamError(
        'PROTOCOL',
        `a batch from ${batch.from} came, this replica stands at ${memory.cursor}`,
      );
    }
    const passedBy = this.#passedBy(batch);
    // RACE: killed in the middle of the batch, the next agent finds them made, and would not know that they are to be asked for (I8).
    if (passedBy.length > 0)
      this.#records.store.transaction(() => this.#remember({ ...memory, lackingSince: batch.to }));
    const { lost, isLacking } = this.#apply(batch);
    this.#applier.mending.told(batch);
    for (const id of batch.dead) this.#awaited.delete(id);
    this.#ask(lost, isLacking ? [rootId] : passedBy);
  }

  #ask(contents: readonly InodeId[], missing: readonly InodeId[]): void {
    if (contents.length === 0 && missing.length === 0) return;
    for (const id of missing) this.#awaited.add(id);
    this.#isListing ||= missing.length > 0;
    this.#options.send({ type: 'wants', directory: 0, contents, missing });
  }

  /**
   * Folders that were there before first contact began to list, and that it never met: they moved behind its back, from where it was still
   * to come to where it had been. The journal says what has changed in them since, and nothing of what they held.
   */
  #passedBy({ changes }: Batch): InodeId[] {
    const { listedFrom } = this.#known();
    const found = new Set<InodeId>();
    for (const change of changes) {
      if (change.type !== 'inode' || change.attributes.kind !== Kind.directory) continue;
      // A folder's content is of when it was made.
      if (change.contentSeq > listedFrom || this.#records.inode(change.id) !== undefined) continue;
      found.add(change.id);
    }
    return [...found];
  }

  #apply(given: Batch): Applied {
    const { batch: compared, others } = this.#sameContents.compared(given);
    const batch = this.#reserved.leftOut(compared);
    this.#inTheWay.giveWay(batch, this.#applier, (problem) => this.#problem(problem));
    const applied = this.#applier.apply(batch, this.#known());
    this.#memory = applied.memory;
    this.#inTheWay.haveCome(batch, this.#records);
    this.#noteWhole();
    this.#isComplete = batch.complete;
    if (batch.complete) this.#noteComplete();
    this.#knownContents.placed(batch.changes, (id) => this.#lookAt(id));
    for (const id of batch.dead) this.#bases.drop(id);
    this.#isTidyDue = applied.isTidyDue;
    this.#syncSoon();
    // Of what is pending the plan believes that the source owes it: the source has given it up for handed over.
    const { pending } = this.#records;
    const stillLost = others.filter((id) => pending.has(id) && !applied.lost.includes(id));
    return { ...applied, lost: [...applied.lost, ...stillLost] };
  }

  /** The first copy has come to its end with the last content that it found lacking. From then on it is a whole one, if an older one. */
  #noteWhole(): void {
    if (this.#succession?.isWhole !== false || this.#memory?.reconciled !== true) return;
    if (this.#records.pending.size === 0) this.#succeed({ ...this.#succession, isWhole: true });
  }

  /** Whatever is not recorded by now is nothing that fam had left here. */
  #noteComplete(): void {
    const isSettled = this.#memory?.lackingSince === 0 && !this.#memory.hasFailed;
    if (!this.#isFormerKept || !isSettled || this.#records.pending.size > 0) return;
    FormerInodes.forget(this.#home.state);
    this.#isFormerKept = false;
  }

  #stream(piece: StreamPiece): void {
    if (piece.offset === 0) this.#knownContents.beginsAnew(piece.id);
    const { streams } = this.#applier;
    const result = streams.write(piece, (fd) => this.#bases.copy(piece.id, fd, piece.offset, piece.copy));
    if (piece.last) this.#bases.drop(piece.id);
    // The source knows, and begins anew.
    if (result === -ESTALE) streams.discard(piece.id);
    else if (result < 0) {
      streams.discard(piece.id);
      if (isFull(result)) {
        this.#full ??= {
          error: fatalError(this.#home.root, result),
          endsAt: performance.now() + fullGraceMs,
        };
        return;
      }
      this.#applier.throwIfFatal(result);
      check(result, 'write staged content');
    }
  }

  /** Where an inode's content can be read: under one of its names, or where first contact found that its content is lacking. */
  #fileOf(id: InodeId): { readonly dirfd: number; readonly name: ByteString } | undefined {
    const { store } = this.#records;
    store.refresh();
    const record = store.inode(id);
    if (record?.links === 0) return { dirfd: this.#home.limboFd, name: String(id) };
    const wanted = this.#reconcile?.wanted ?? this.#wanted;
    const place = record ?? wanted.get(id)?.[0];
    if (place === undefined || place.name === '') return undefined;
    const dirfd = this.#applier.directories.get(place.parent);
    return dirfd < 0 ? undefined : { dirfd, name: place.name };
  }

  /** What is where an inode is recorded to be, if it is that inode. */
  #lookAt(id: InodeId): Stat | undefined {
    const at = this.#fileOf(id);
    const record = this.#records.store.inode(id);
    const stat = new Stat();
    if (at === undefined || record === undefined || statx(at.dirfd, at.name, stat) < 0) return undefined;
    return isSameIdentity(record, stat) ? stat : undefined;
  }

  /** A listing after first contact: the source was asked for it. */
  #relist(listing: Listing): Wants {
    if (listing.first) this.#awaited.delete(listing.directory);
    this.#records.store.refresh();
    const found = this.#relisting.changes(listing);
    const answer = { type: 'wants', directory: listing.directory } as const;
    if (found === undefined) return { ...answer, contents: [], missing: [] };
    if (found.missing.length > 0) this.#noteUnlisted(found.missing);
    const { lost, isLacking } = this.#apply(this.#incomplete(found.changes));
    this.#relisting.ask(lost, listing);
    if (isLacking) this.#ask([], [rootId]);
    return { ...answer, contents: lost, missing: found.missing };
  }

  /** RACE: cut off when these have been made and before they have been listed, the next session lists them (I8). */
  #noteUnlisted(folders: readonly InodeId[]): void {
    const memory = this.#known();
    if (memory.lackingSince > 0) return;
    this.#applier.mending.willList(folders);
    this.#rememberFailures(memory);
  }

  #incomplete(changes: readonly Change[]): Batch {
    const { cursor } = this.#known();
    return { from: cursor, to: cursor, complete: false, dead: [], changes };
  }

  // --- what has failed ----------------------------------------------------------------------------------------------------

  #failedComparing(failed: FailedPlace | undefined): void {
    if (failed === undefined) this.#applier.mending.failedForGood();
    const isSeen =
      failed !== undefined && this.#applier.mending.failed(new Map([[failed.id, [failed.place]]]));
    if (!isSeen) this.#hasComparisonFailed = true;
  }

  #rememberFailures(memory: ReplicaMemory): void {
    this.#remember({ ...memory, ...this.#applier.mending.memoryAfter(memory.hasFailed) });
  }

  /** Asks for what somebody seems to have mended, and says what has come of it. */
  #mend(): void {
    if (this.#memory?.reconciled !== true || this.#reconcile !== undefined) return;
    if (this.#applier.mending.settle(this.#memory.deferred)) {
      this.#rememberFailures(this.#memory);
      this.#isTidyDue ||= this.#isComplete;
    }
    const untold = this.#applier.mending.takeUntold();
    if (untold !== undefined && this.#welcome?.takesAgain === true) this.#options.send(untold);
    if (this.#isListing || this.#welcome?.takesAgain !== true) return;
    const directories = this.#applier.mending.due(performance.now());
    if (directories.length === 0) return;
    this.#isListing = true;
    this.#options.send({ type: 'again', directories });
  }

  // --- state --------------------------------------------------------------------------------------------------------------

  #known(): ReplicaMemory {
    if (this.#memory === undefined) throw new FamError('PROTOCOL', 'a change came before welcome');
    return this.#memory;
  }

  #remember(memory: ReplicaMemory): void {
    this.#memory = memory;
    this.#records.remember(memory);
  }

  #syncSoon(): void {
    if (this.#welcome?.durability !== 'none') this.#isSyncDue = true;
  }

  #ack(): void {
    this.#isAckDue = false;
    this.#told = this.#consumed;
    const { files, bytes } = this.#applier;
    const applied = this.#memory?.reconciled === true ? this.#memory.cursor : 0;
    const durable = Math.min(this.#durable, applied);
    const reconciled = this.#tellReconciled;
    this.#tellReconciled = false;
    this.#options.send({ type: 'ack', applied, durable, files, bytes, consumed: this.#consumed, reconciled });
  }

  #problem(problem: Problem): void {
    this.#problems.push(problem);
    if (this.#problems.length >= maxProblems) {
      this.#options.send({ type: 'problems', problems: this.#problems });
      this.#problems = [];
    }
  }
}
