// Kernel events into records. An event is only a hint: "look at this name again".

import { type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import { asName, type ByteString, type Name } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';
import {
  type ConditionEvent,
  type EventSource,
  Hint,
  type KernelEvent,
  type MountEvent,
  type MountedFileEvent,
} from '../kernel/event-source.ts';
import { countDirectories, watchLimit } from '../kernel/watch-limit.ts';
import { Copies } from './copies.ts';
import { Directories } from './directories.ts';
import { TreeEditor } from './editor.ts';
import { type Hinted, HintTable } from './hints.ts';
import { HotFiles } from './hot-files.ts';
import { Look, settled, type Verdict } from './look.ts';
import { LoopedDirectories } from './looped-directories.ts';
import { LostDirectories } from './lost-directories.ts';
import { OuterNames } from './outer-names.ts';
import { hintsAtOnce, stepMs } from './pace.ts';
import type { InodeRecord } from './records.ts';
import { Scanner } from './scan.ts';
import { baseSeq, guardAgainstMassDeletion } from './source-check.ts';
import type { TreeStore } from './store.ts';
import { Uploads } from './uploads.ts';

/** What a recorder needs of its event source; whoever has it reads the events, and feeds them. */
export type RecordedSource = Pick<
  EventSource,
  'add' | 'remove' | 'addFile' | 'removeFile' | 'queued' | 'isDrained'
>;

export interface RecorderOptions {
  readonly store: TreeStore;
  /** The root, open (O_PATH suffices); stays the caller's. */
  readonly rootFd: number;
  readonly source: RecordedSource;
  /** Milliseconds of quiet after which a file that is held open counts as settled. Default 200. */
  readonly settleMs?: number;
  /** Milliseconds after which a file that never rests is recorded all the same. Default 2000. */
  readonly hotFileMaxDelayMs?: number;
  /** I4: a restart scan that misses more than this fraction of the entries, and more than `maxDeleteCount`, refuses. Default 0.5. */
  readonly maxDeleteFraction?: number;
  /** Default 1000. */
  readonly maxDeleteCount?: number;
  /** A name at the top of the root that is not of the tree. */
  readonly hidden?: Name | undefined;
  readonly onProblem?: (problem: Problem) => void;
  readonly onCondition?: (condition: ConditionEvent) => void;
}

/** How often a round is prolonged for hints that have lost their name; what is still open then waits for the next one. */
const maxHandings = 16;

/** A name that was found missing. */
interface Gone extends Hinted {
  /** The inode that the records had there. 0: nothing was hinted at. */
  readonly former: InodeId;
}

/** A mount whose place is not recorded: what leads there may be told after it. */
interface WaitingMount {
  readonly event: MountEvent;
  /** The names on the way have been looked at for it. */
  readonly isSought: boolean;
}

const attributesOfDirectory = Hint.attributes | Hint.directory;

/**
 * The only writer of a tree's records; one thread's. `feed` gathers, `step` works.
 *
 * A round: every hinted name is looked at; names that are there now come before names that are gone, so that what moved is
 * found under its new name first; directories that are new are listed; then the names that are gone get their
 * tombstones, directories that have lost their last name are sought where the kernel has them, and inodes without names are buried.
 * What is hinted at meanwhile joins the round, unless a directory is between two places. While a scan runs, a name that has gone
 * keeps its last place: what it named may still be found elsewhere.
 */
export class Recorder implements Disposable {
  readonly #store: TreeStore;
  readonly #source: RecordedSource;
  readonly #editor: TreeEditor;
  readonly #directories: Directories;
  readonly #copies: Copies;
  readonly #look: Look;
  readonly #scanner: Scanner;
  readonly #lost: LostDirectories;
  readonly #looped: LoopedDirectories;
  readonly #hot: HotFiles;
  readonly #uploads: Uploads;
  readonly #hints = new HintTable();
  readonly #onCondition: (condition: ConditionEvent) => void;
  readonly #limits: { readonly fraction: number; readonly count: number };
  #batch: Hinted[] = [];
  #next = 0;
  #gone: Gone[] = [];
  #mounts: WaitingMount[] = [];
  readonly #touched = new Set<InodeId>();
  #handings = 0;
  /** Hints have been taken for a round that is not over. */
  #isUnderWay = false;
  /** The kernel's queue has been empty since the last round that ended with nothing left to look at. */
  #hasDrained = false;
  #guarded = false;
  #hasWatchLimit = false;
  #rounds = 0;

  constructor(options: RecorderOptions) {
    this.#store = options.store;
    this.#source = options.source;
    this.#onCondition = options.onCondition ?? (() => {});
    this.#limits = { fraction: options.maxDeleteFraction ?? 0.5, count: options.maxDeleteCount ?? 1000 };
    this.#hot = new HotFiles({
      settleMs: options.settleMs ?? 200,
      hotFileMaxDelayMs: options.hotFileMaxDelayMs ?? 2000,
    });
    const editor = new TreeEditor(options.store);
    const directories = new Directories(
      options.rootFd,
      (id) => editor.inode(id),
      (id) => options.store.handleOf(id),
    );
    const outerNames = new OuterNames(options.source, () => this.#watchLimit(options.rootFd));
    editor.onGone = (id, kind) => {
      if (kind !== Kind.directory) {
        outerNames.forget(id);
        return;
      }
      this.#source.remove(id);
      options.store.removeHandle(id);
      directories.forget(id);
    };
    this.#editor = editor;
    this.#directories = directories;
    this.#copies = new Copies(options.rootFd);
    this.#uploads = new Uploads(directories);
    this.#look = new Look({
      store: options.store,
      editor,
      directories,
      copies: this.#copies,
      hot: this.#hot,
      uploads: this.#uploads,
      outerNames,
      hidden: options.hidden,
      listener: {
        list: (id, isNew) => this.#scanner.push(id, isNew),
        moved: (id) => {
          if (this.#scanner.inPass) this.#scanner.push(id, false);
        },
        recheck: (directory, name, hints) => this.#batch.push({ directory, name, hints, deferred: 0 }),
        unreachable: (record) => this.#lost.seek(record),
        denied: (directory) => this.#lost.denied(directory),
        problem: options.onProblem ?? (() => {}),
      },
    });
    this.#scanner = new Scanner({
      store: options.store,
      editor,
      directories,
      look: this.#look,
      source: options.source,
      onGone: (directory, name) => this.#gone.push({ directory, name, hints: 0, deferred: 0, former: 0 }),
      onWatchLimit: () => this.#watchLimit(options.rootFd),
      onUnlisted: (directory) => this.#lost.unlisted(directory),
    });
    this.#lost = new LostDirectories({
      editor,
      directories,
      look: this.#look,
      list: (id) => this.#scanner.push(id, false),
      lookAgain: (item) => this.#batch.push(item),
    });
    this.#looped = new LoopedDirectories({
      editor,
      directories,
      lookAlong: (path, now) => this.#lookAlong(path, now),
    });
  }

  /**
   * Begins the scan of the whole tree: the first one, or the comparison after a time when nobody watched.
   * @param isFirst the store is empty: what is found is the base, without journal
   * @param trusted the caller consents to whatever is missing (I4)
   */
  startScan(isFirst: boolean, trusted: boolean): void {
    this.#store.transaction(() => {
      if (isFirst) {
        this.#look.nothingMoved = true;
        this.#scanner.startFirstPass(rootId, baseSeq);
        return;
      }
      // Before the scan comes to them, who reads the records sees a directory in two places.
      for (const { parent, name } of this.#editor.adoptOrphans()) this.#hints.add(parent, name, 0);
      this.#look.watchedUntil(this.#store.committedAt);
      this.#guarded = !trusted;
      this.rescan(rootId);
    });
  }

  /** Takes in what the kernel said. Cheap: nothing is looked at yet. */
  feed(events: readonly KernelEvent[]): void {
    if (this.#source.isDrained) this.#hasDrained = true;
    for (const event of events) {
      if (event.type === 'name' || event.type === 'rename') {
        this.#uploads.note(event);
        this.#hints.addEvent(event);
      } else if (event.type === 'mounted-file') {
        this.#store.transaction(() => this.#mountedFileChanged(event));
      } else this.#condition(event);
    }
  }

  #condition(event: ConditionEvent): void {
    if (event.type === 'overflow') this.rescan(rootId);
    else if (event.type === 'mounted' || event.type === 'unmounted') {
      this.#copies.mountsChanged();
      const isKnown = this.#store.transaction(() => this.#mountChanged(event));
      if (!isKnown) this.#mounts.push({ event, isSought: false });
    }
    this.#onCondition(event);
  }

  /** Told once: it is reached again for every folder that follows. */
  #watchLimit(rootFd: number): void {
    if (this.#hasWatchLimit) return;
    this.#hasWatchLimit = true;
    this.#onCondition({ type: 'watch-limit', limit: watchLimit(), needed: countDirectories(rootFd) });
  }

  /**
   * Something is not where it is recorded, and no event has told why: everything is to be compared. False while there is something to look
   * at, which may tell; ask again then.
   */
  suspect(): boolean {
    if (this.busy) return false;
    this.#lost.suspect();
    return true;
  }

  /** Compares a subtree with its records, as after lost events. */
  rescan(top: InodeId): void {
    this.#look.nothingMoved = false;
    this.#looped.comparisonBegins();
    this.#scanner.startPass(top);
  }

  /** False when nothing is recorded there. */
  #mountChanged(event: MountEvent): boolean {
    const place = this.#editor.along(event.path);
    if (place?.isLast !== true) return false;
    const { directory, name } = place;
    this.#hints.add(directory, name, Hint.directory);
    const record = this.#editor.at(directory, name);
    if (record === undefined) return false;
    this.#directories.forget(record.id);
    if (event.type === 'mounted' && record.kind === Kind.directory) this.rescan(record.id);
    return true;
  }

  /** Where its way is not recorded as it is, it is looked for like a mount. */
  #mountedFileChanged({ path, hints }: MountedFileEvent): void {
    const place = this.#editor.along(path);
    if (place?.isLast === true) this.#hints.add(place.directory, place.name, hints);
    else this.#mounts.push({ event: { type: 'mounted', path }, isSought: false });
  }

  /** What was queued before the mounts has been looked at: what leads to them is recorded by now, or is sought. */
  #lookAtMounts(now: number): void {
    const mounts = this.#mounts;
    this.#mounts = [];
    for (const { event, isSought } of mounts) {
      if (this.#mountChanged(event) || isSought) continue;
      this.#lookAlong(event.path, now);
      this.#mounts.push({ event, isSought: true });
    }
  }

  /** True while there is something to do without a new event. */
  get busy(): boolean {
    return this.#hints.size > 0 || this.#mounts.length > 0 || this.#lost.areWaiting || this.#hasMore;
  }

  /** Not everything that is there has been compared yet: a scan runs, or is due. */
  get scanning(): boolean {
    return this.#scanner.inPass || this.#lost.isLost;
  }

  /** `TreeStore.isMoving` as the last step has written it. */
  get isMoving(): boolean {
    return this.#store.isMoving;
  }

  get scanned(): { readonly files: number; readonly directories: number; readonly sockets: number } {
    const { files, directories } = this.#scanner;
    return { files, directories, sockets: this.#look.sockets };
  }

  /** Rounds that are complete: what was fed before a round began is in the tree when it is. */
  get rounds(): number {
    return this.#rounds;
  }

  get head(): Seq {
    return this.#store.head;
  }

  /** When `step` should be called though nothing happened (ms of `performance.now()`); undefined: never. */
  get deadline(): number | undefined {
    const at = Math.min(this.#hot.deadline ?? Infinity, this.#lost.rescanAt ?? Infinity);
    return at === Infinity ? undefined : at;
  }

  /** Files that are still written to are recorded as they are now, with the next `step`; uploads are not (`Uploads`). */
  settleAll(now: number): void {
    this.#settle(now, true);
  }

  #settle(now: number, everything: boolean): void {
    const due = this.#hot.due(now, everything);
    if (due.length === 0) return;
    this.#store.transaction(() => {
      for (const file of due) {
        const until = this.#uploads.heldUntil(file, now);
        if (until === undefined)
          this.#hints.add(file.directory, file.name, file.hints | Hint.closedWrite | settled);
        else this.#hot.putBack(file, until);
      }
    });
  }

  /**
   * One transaction's worth of work.
   * @throws FamError SOURCE_DOUBTFUL when a restart scan would delete too much (I4); nothing of that is recorded
   */
  step(now: number = performance.now()): void {
    this.#settle(now, false);
    if (!this.busy && now >= (this.#lost.rescanAt ?? Infinity)) {
      this.#lost.rescanned(now);
      this.rescan(rootId);
    }
    if (!this.busy) return;
    const end = now + stepMs;
    const isOver = (): boolean => performance.now() >= end;
    this.#store.transaction(() => {
      // Hints come first, but a scan goes on under any load.
      const isHalfOver = (): boolean => performance.now() >= now + stepMs / 2;
      this.#lookAtHints(now, this.#scanner.busy ? isHalfOver : isOver);
      this.#scanner.step(isOver);
      // The scanner may have found names to look at again.
      if (!isOver()) this.#lookAtHints(now, isOver);
      while (this.#next >= this.#batch.length) {
        this.#batch = [];
        this.#next = 0;
        if (this.#scanner.busy) break;
        this.#endRound(now);
        // What has to be looked at again for this round is, before anybody reads what it has recorded so far.
        if (this.#batch.length === 0 || isOver()) break;
        this.#lookAtHints(now, isOver);
      }
      for (const id of this.#touched) this.#look.atSelf(id, 0);
      this.#touched.clear();
      this.#editor.flush(this.#scanner.inPass);
    });
    this.#directories.releaseMounts();
  }

  #lookAtHints(now: number, isOver: () => boolean): void {
    if (this.#batch.length === 0 && this.#hints.size > 0 && !this.#isPressed) {
      this.#batch = this.#hints.take();
      this.#isUnderWay = true;
      this.#look.nothingMoved = false;
    }
    for (let item = this.#batch[this.#next]; item !== undefined; item = this.#batch[this.#next]) {
      this.#next += 1;
      this.#lookAt(item, now);
      if (this.#next % hintsAtOnce === 0 && isOver()) return;
    }
  }

  /**
   * Somebody waits for the end of this round: nothing is sent while a directory is between two places. What has been hinted at since it
   * began waits for the next one, which is as good where directories are found by handle (`#house`).
   */
  get #isPressed(): boolean {
    const isFinding = !this.#scanner.inPass && this.#directories.areFoundByHandle;
    return this.#isUnderWay && isFinding && this.#editor.isBetweenPlaces;
  }

  #lookAt(item: Hinted, now: number): void {
    const { directory, name, hints } = item;
    if ((hints & attributesOfDirectory) === attributesOfDirectory) this.#lost.tryDenied();
    const verdict = this.#verdictOn(item, now);
    if (verdict === 'unreachable') {
      this.#lost.wait(item);
      return;
    }
    if (name === '') return;
    if (verdict === 'present') this.#listInPass(directory, name);
    this.#look.leaveUnattributed(hints);
    if (verdict === 'gone') {
      const record = this.#editor.at(directory, name);
      const isNothing = record === undefined && hints === 0;
      if (!isNothing && !this.#hasMovedOn(directory, name, record))
        this.#gone.push({ ...item, former: record?.id ?? 0 });
      this.#hints.leaveUnclaimed(directory, name, hints);
      const hot = this.#hot.findName(directory, name);
      if (hot !== undefined && (hints & Hint.closedWrite) !== 0) hot.closed = true;
    }
    if ((hints & (Hint.appeared | Hint.vanished)) !== 0) this.#touched.add(directory);
  }

  /** It was away when the scan listed its folder, and is back where the records have it: nothing else tells the scan that it is there. */
  #listInPass(directory: InodeId, name: Name): void {
    if (!this.#scanner.inPass) return;
    const record = this.#editor.at(directory, name);
    if (record?.kind === Kind.directory) this.#scanner.push(record.id, false);
  }

  #verdictOn({ directory, name, hints }: Hinted, now: number): Verdict {
    if (this.#lost.isSought(directory)) return 'unreachable';
    return name === '' ? this.#look.atSelf(directory, hints) : this.#look.atName(directory, name, hints, now);
  }

  /**
   * A name that a directory has left which was seen under another one: that is settled at once, so that nobody has to wait for the
   * end of the round to know where the directory is. RACE: if it has come back meanwhile, that has an event of its own.
   */
  #hasMovedOn(directory: InodeId, name: Name, record: InodeRecord | undefined): boolean {
    if (record?.kind !== Kind.directory || record.links < 2) return false;
    this.#editor.unlink(directory, name);
    this.#touched.add(directory);
    return true;
  }

  /** Looks where directories without a name may be now. */
  #house(now: number): void {
    for (const path of this.#lost.homesOfHomeless()) this.#lookAlong(path, now);
  }

  /**
   * Looks at each name of a path that the kernel tells, from the root on: a directory in between may have come to its name a moment ago,
   * and what was told of that waits for the next round.
   */
  #lookAlong(path: ByteString, now: number): void {
    let directory: InodeId = rootId;
    for (const part of path.split('/')) {
      const name = asName(part);
      if (name === undefined) return;
      this.#lookAt({ directory, name, hints: 0, deferred: 0 }, now);
      const record = this.#editor.at(directory, name);
      // One that is new is listed in this round: what is in it is found by that.
      if (record?.kind !== Kind.directory || !record.listed) return;
      directory = record.id;
    }
  }

  /** There is something to list or to look at before the round can end. */
  get #hasMore(): boolean {
    return this.#scanner.busy || this.#next < this.#batch.length || this.#gone.length > 0;
  }

  /** Everything that is there has been seen: the names that are gone, and the inodes that nothing names any more. */
  #endRound(now: number): void {
    if (this.#guarded && this.#scanner.inPass) {
      // It counts what the store says: moves found in this round must be there.
      this.#editor.flush(true);
      guardAgainstMassDeletion(this.#store, withoutEvents(this.#gone), this.#limits);
    }
    const gone = this.#gone;
    this.#gone = [];
    for (const item of gone) this.#bringDown(item, now);
    this.#look.recheckOverlinked();
    if (this.#hasMore) return;
    if (!this.#looped.break(this.#scanner.inWholePass, now)) this.#lost.suspect();
    if (this.#hasMore) return;
    // First, so that names in folders that live on are looked at there.
    this.#house(now);
    if (this.#hasMore) return;
    this.#lost.reachAgain();
    if (this.#hasMore) return;
    if (this.#handings < maxHandings && this.#look.settleBequests()) {
      this.#handings += 1;
      return;
    }
    this.#lost.listReturned();
    if (this.#hasMore) return;
    if (this.#hasDrained && this.#hints.size === 0) this.#lookAtMounts(now);
    if (this.#hasMore) return;
    this.#look.dropFormerNames();
    this.#editor.bury();
    this.#lookAtBereaved();
    this.#handings = 0;
    this.#looped.endRound();
    this.#isUnderWay = false;
    this.#lost.endRound();
    this.#rounds += 1;
    if (this.#hasDrained && this.#hints.size === 0) {
      this.#hasDrained = false;
      this.#look.recordNoted();
    }
    if (!this.#scanner.inPass) return;
    this.#scanner.endPass();
    this.#look.nothingMoved = false;
    this.#look.watchedUntil(undefined);
    this.#guarded = false;
  }

  /** A file that has lost a name may have it still, outside of the tree: of a folder that has left no event tells that. */
  #lookAtBereaved(): void {
    for (const id of this.#editor.bereaved) {
      const record = this.#editor.inode(id);
      if (record !== undefined && record.links > 0) this.#hints.add(record.parent, record.name, 0);
    }
    this.#editor.bereaved.clear();
  }

  #bringDown(item: Gone, now: number): void {
    const { directory, hints } = item;
    if (item.name === '') return;
    const name: Name = item.name;
    const record = this.#editor.at(directory, name);
    const isLast = record?.links === 1;
    if (isLast && (hints & Hint.moved) !== 0 && item.deferred === 0 && this.#source.queued() > 0) {
      // Its new name may be in the queue: one round more.
      this.#hints.add(directory, name, hints, 1);
      return;
    }
    // What was hinted at is the affair of the inode that had the name, whoever has it by now.
    if (item.former !== 0) this.#look.bequeath(item.former, hints);
    if (record === undefined) return;
    // RACE: the name may have come back since it was found missing, in a long round even have been recorded again; then it
    // is a change like any other. One that comes back after this look has an event of its own in the queue.
    const verdict = this.#look.atName(directory, name, 0, now);
    // Its folder has just lost its own name, and may be found under another one.
    if (verdict === 'unreachable') this.#lost.wait({ directory, name, hints, deferred: item.deferred });
    if (verdict === 'present') this.#listInPass(directory, name);
    if (verdict !== 'gone') return;
    this.#editor.unlink(directory, name);
    this.#touched.add(directory);
  }

  close(): void {
    this.#directories.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What is missing although nobody was seen to remove it: whoever does that before our eyes means it. */
function withoutEvents(gone: readonly Gone[]): Gone[] {
  const keyOf = ({ directory, name }: Gone): string => `${directory}/${name}`;
  const told = new Set(gone.filter(({ hints }) => (hints & Hint.vanished) !== 0).map(keyOf));
  return gone.filter((item) => !told.has(keyOf(item)));
}
