// What could not be done here and can be later (core/problem.ts, `isMendable`): a person has to mend it, and nobody tells when that has
// happened. So what such a person changes is looked at now and then, without the source; where it is another than it was, the folder is
// listed again, and what that listing brings is tried like anything else.

import { type InodeId, Kind } from '../core/attributes.ts';
import type { Batch } from '../core/change.ts';
import type { ByteString } from '../core/name.ts';
import { type DeferredEntry, distinctPlaces, type Place, placeKey } from '../core/plan-operation.ts';
import { fstat, Stat, statx } from '../kernel/sys.ts';
import type { Failing as FailingMessage } from '../wire/messages.ts';
import type { Directories } from './directories.ts';
import { lookMs, lookShare, retryDelayMs, retryDelayMsMax } from './mending-pace.ts';
import type { Records, ReplicaMemory } from './records.ts';

/** Of more than this not all is looked at: all is compared at the next contact. */
const maxFailing = 10_000;
/** So many of its places are kept, those that were told last. */
const maxPlaces = 32;
/** The memory is written with each batch: of more folders than this all is compared at the next contact. */
const maxRemembered = 1000;
/** Batches wait while folders are listed: so many of them at once. */
const maxFoldersAtOnce = 64;
/** Paths that are told; their number is always exact. */
const maxPaths = 20;

interface Failing {
  readonly id: InodeId;
  readonly places: readonly Place[];
  readonly path: ByteString;
  /** What those places were like. */
  readonly signature: string;
  readonly delayMs: number;
  /** Not looked at before, in milliseconds of `performance.now()`. */
  readonly notBefore: number;
  /** The source has said something of it since, or what it waits for may be done. */
  isTouched: boolean;
  /** What is in the way has failed itself. */
  readonly isWaiting: boolean;
}

type Mendable = ReadonlyMap<InodeId, readonly Place[]>;

export class Mending {
  readonly #records: Records;
  readonly #directories: Directories;
  readonly #failing = new Map<InodeId, Failing>();
  readonly #idsAt = new Map<string, Set<InodeId>>();
  /** Of these: listed again; and of what has been, what has not failed again, and may wait for its content. */
  readonly #tried = new Set<InodeId>();
  readonly #owed = new Set<InodeId>();
  /** Of an earlier session: it is not known what has failed there. */
  readonly #formerFolders = new Set<InodeId>();
  #failedLast: ReadonlySet<InodeId> = new Set();
  /** Folders that were not here when the one above them was listed again, and are still to be listed: nothing else brings what is in them (I8). */
  readonly #unlisted = new Set<InodeId>();
  /** What only a comparison can make up for. */
  #others = 0;
  /** Former folders that have been asked for, while a listing of what has failed is under way. */
  #round: readonly InodeId[] | undefined;
  #folders: readonly InodeId[] | undefined;
  #hasEnded = false;
  #lookAt = 0;
  #toldCount = 0;
  #mended = 0;
  #mendedPaths: ByteString[] = [];
  readonly #stat = new Stat();

  constructor(records: Records, directories: Directories) {
    this.#records = records;
    this.#directories = directories;
  }

  /** What had failed in an earlier session has not been tried again: it is not known what it was. */
  get isResuming(): boolean {
    return this.#formerFolders.size > 0;
  }

  /** Whether the inode could not be made here, or changed. */
  isFailing(id: InodeId): boolean {
    return this.#failing.has(id);
  }

  /** Goes on where an earlier session has ended. The source knows how many these are. */
  resume(folders: readonly InodeId[]): void {
    for (const folder of folders) this.#formerFolders.add(folder);
    this.#folders = undefined;
    this.#toldCount = this.#formerFolders.size;
  }

  /** Something has failed that can be mended, or has done so again. False: there is too much of it to see when all of it is. */
  failed(mendable: Mendable): boolean {
    let isSeen = true;
    this.#failedLast = new Set(mendable.keys());
    for (const [id, places] of mendable) {
      if (places.length > 0 && this.#note(id, places, false)) continue;
      this.#others += 1;
      isSeen = false;
    }
    return isSeen;
  }

  /** Something cannot be done before something else that has failed. False: nothing has. */
  waits(id: InodeId, place: Place): boolean {
    return this.#failing.size > 0 && this.#note(id, [place], true);
  }

  #note(id: InodeId, places: readonly Place[], isWaiting: boolean): boolean {
    const before = this.#failing.get(id);
    if (before === undefined && this.#failing.size >= maxFailing) return false;
    const wasInVain = this.#tried.has(id) || this.#owed.has(id);
    const all = distinctPlaces([...(before?.places ?? []), ...places]).slice(-maxPlaces);
    const [first] = places;
    const delayMs = before?.delayMs ?? retryDelayMs;
    this.#forget(id);
    this.#failing.set(id, {
      id,
      places: all,
      path: first === undefined ? '' : this.#records.pathAt(first),
      signature: this.#signature(all),
      delayMs: wasInVain ? Math.min(2 * delayMs, retryDelayMsMax) : delayMs,
      notBefore: performance.now() + delayMs,
      isTouched: false,
      isWaiting,
    });
    for (const place of all) {
      const key = placeKey(place);
      const ids = this.#idsAt.get(key);
      if (ids === undefined) this.#idsAt.set(key, new Set([id]));
      else ids.add(id);
    }
    return true;
  }

  #forget(id: InodeId): void {
    this.#folders = undefined;
    for (const place of this.#failing.get(id)?.places ?? []) {
      const key = placeKey(place);
      const ids = this.#idsAt.get(key);
      ids?.delete(id);
      if (ids?.size === 0) this.#idsAt.delete(key);
    }
    this.#failing.delete(id);
    this.#tried.delete(id);
    this.#owed.delete(id);
  }

  /** These are made empty, and listed next. */
  willList(folders: readonly InodeId[]): void {
    for (const folder of folders) this.#unlisted.add(folder);
    this.#folders = undefined;
  }

  /** Something has failed during a comparison that no listing would bring: it is for the next comparison. */
  failedForGood(): void {
    this.#others += 1;
  }

  /** The source has said this: what it is about may have been done now, or is not to be done any more. */
  told({ changes, dead }: Batch): void {
    if (this.#failing.size === 0) return;
    for (const id of dead) this.#touch(id);
    for (const change of changes) {
      if (change.type !== 'removed') this.#touch(change.id);
      else for (const id of this.#idsAt.get(placeKey(change)) ?? []) this.#touch(id);
    }
  }

  /**
   * Folders to be listed again now; none most of the time. They are under way until `ended`.
   * @param now milliseconds of `performance.now()`
   */
  due(now: number): InodeId[] {
    if (this.#round !== undefined || now < this.#lookAt) return [];
    if (this.#failing.size + this.#formerFolders.size === 0) return [];
    // I7: what has been moved out of the root, or has something mounted over it, is not looked at.
    this.#directories.closeAll();
    const former = [...this.#formerFolders].slice(0, maxFoldersAtOnce);
    const folders = new Set(former.filter((folder) => this.#isFolder(folder)));
    for (const one of this.#failing.values()) {
      if (folders.size >= maxFoldersAtOnce) break;
      if (now < one.notBefore || this.#tried.has(one.id) || this.#owed.has(one.id)) continue;
      const there = one.places.filter(({ parent }) => this.#isFolder(parent));
      if (there.length > 0 && !one.isTouched && this.#signature(one.places) === one.signature) continue;
      for (const { parent } of there) folders.add(parent);
      this.#tried.add(one.id);
      one.isTouched = false;
    }
    this.#lookAt = Math.max(now + lookMs, now + (performance.now() - now) / lookShare);
    if (folders.size === 0 && former.length === 0 && this.#tried.size === 0) return [];
    this.#round = former;
    // Those that have gone at the source have nothing to be listed for.
    if (folders.size === 0) this.ended();
    return [...folders];
  }

  /** The folders that were due have been listed, and what that brought at once has been tried. */
  ended(): void {
    const former = this.#round ?? [];
    for (const folder of former) this.#formerFolders.delete(folder);
    this.#hasEnded = former.length + this.#unlisted.size > 0;
    this.#unlisted.clear();
    this.#round = undefined;
    this.#folders = undefined;
    for (const id of this.#tried) this.#owed.add(id);
    this.#tried.clear();
  }

  /**
   * Whether `memoryAfter` has changed since the last time. To be called when nothing is being applied.
   * @param deferred entries that still wait for something else
   */
  settle(deferred: readonly DeferredEntry[]): boolean {
    const hasEnded = this.#hasEnded;
    this.#hasEnded = false;
    let hasMended = false;
    for (const id of this.#owed) {
      const one = this.#failing.get(id);
      if (one === undefined || this.#records.pending.has(id)) continue;
      if (deferred.some((entry) => entry.id === id)) {
        this.#note(id, one.places, true);
        continue;
      }
      this.#forget(id);
      this.#mended += 1;
      if (this.#mendedPaths.length < maxPaths) this.#mendedPaths.push(one.path);
      hasMended = true;
    }
    if (!hasMended) return hasEnded;
    for (const one of this.#failing.values()) one.isTouched ||= one.isWaiting;
    return true;
  }

  /** To be remembered for a later session. */
  memoryAfter(hasFailed: boolean): Pick<ReplicaMemory, 'failedIn' | 'hasFailed'> {
    this.#folders ??= this.#foldersNow();
    const isTooMuch = this.#folders.length > maxRemembered;
    return { failedIn: isTooMuch ? [] : this.#folders, hasFailed: hasFailed || isTooMuch };
  }

  #foldersNow(): InodeId[] {
    const folders = new Set([...this.#formerFolders, ...this.#unlisted]);
    for (const { places } of this.#failing.values()) for (const { parent } of places) folders.add(parent);
    return [...folders];
  }

  /** What the source has not been told yet; undefined: nothing. */
  takeUntold(): FailingMessage | undefined {
    const count = this.#failing.size + this.#formerFolders.size + this.#others;
    if (count === this.#toldCount && this.#mended === 0) return undefined;
    const message: FailingMessage = {
      type: 'failing',
      count,
      mended: this.#mended,
      paths: this.#mendedPaths,
    };
    this.#toldCount = count;
    this.#mended = 0;
    this.#mendedPaths = [];
    return message;
  }

  #touch(id: InodeId): void {
    const one = this.#failing.get(id);
    if (one !== undefined && !this.#failedLast.has(id)) one.isTouched = true;
  }

  #isFolder(id: InodeId): boolean {
    return this.#records.store.inode(id)?.kind === Kind.directory;
  }

  /**
   * All that somebody changes who mends one of these: what is there, whose it is, who may do what there. Not a folder's times, which other
   * changes in it move as well.
   */
  #signature(places: readonly Place[]): string {
    return places.map((place) => this.#signatureOf(place)).join();
  }

  #signatureOf({ parent, name }: Place): string {
    const dirfd = this.#directories.get(parent);
    const stat = this.#stat;
    if (dirfd < 0 || fstat(dirfd, stat) < 0) return String(dirfd);
    const folder = describe(stat);
    const result = statx(dirfd, name, stat);
    if (result < 0) return `${folder}/${result}`;
    return `${folder}/${describe(stat)}${stat.isDirectory ? '' : `:${stat.ctimeS}:${stat.ctimeNs}`}`;
  }
}

function describe({ dev, inoHigh, inoLow, mode, uid, gid, isLocked }: Stat): string {
  return [dev, inoHigh, inoLow, mode, uid, gid, isLocked].join(':');
}
