// Carries out plans: the only code that writes to a replica's tree. Every act is on a directory's descriptor and a name; what is
// about to be replaced or removed is compared with the records first, and what is not fam's goes to the trash (I6).

import { type Attributes, type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Batch, Content } from '../core/change.ts';
import { FamError } from '../core/errors.ts';
import type { ByteString, Name } from '../core/name.ts';
import { planBatch } from '../core/plan.ts';
import type { DeferredEntry, Operation, Place, Plan, Slot } from '../core/plan-operation.ts';
import type { Problem } from '../core/problem.ts';
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  EDQUOT,
  EEXIST,
  EINVAL,
  EIO,
  EMFILE,
  EMLINK,
  ENOENT,
  ENOSPC,
  ENOSYS,
  ENOTEMPTY,
  EPERM,
  EROFS,
  errnoName,
  linkat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  renameat2,
  Stat,
  statx,
  unlinkat,
  utimensat,
} from '../kernel/sys.ts';
import type { LocalIdentity } from '../tree/records.ts';
import type { ApplyingMark } from './applying-mark.ts';
import { Capabilities } from './capabilities.ts';
import { Directories } from './directories.ts';
import type { FormerInodes } from './former-inodes.ts';
import type { Home } from './home.ts';
import { discard, Limbo } from './limbo.ts';
import { Maker } from './maker.ts';
import { nowhere, type Records, type ReplicaMemory } from './records.ts';
import type { StagedStreams } from './staged-streams.ts';
import { Trash } from './trash.ts';

/** Called at each named step; a test's fault point. */
export type Step = (name: string) => void;

export interface ApplierOptions {
  readonly home: Home;
  readonly records: Records;
  readonly streams: StagedStreams;
  readonly mark: ApplyingMark;
  readonly problem: (problem: Problem) => void;
  readonly step?: Step;
}

/** What a batch left to be asked of the source. */
export interface Applied {
  /** Files whose content is not here. */
  readonly lost: readonly InodeId[];
  /** Entries that cannot be made with what was said: directories are to be listed again. */
  readonly unresolved: readonly DeferredEntry[];
  /** `tidy` has something to do. */
  readonly emptyLimbo: boolean;
}

interface Located {
  readonly dirfd: number;
  readonly name: ByteString;
}

/** Errors that no other path would escape: the session ends, and the batch is applied again later. */
const endsSession: ReadonlySet<number> = new Set([ENOSPC, EDQUOT, EROFS, EIO, EMFILE]);

export class Applier {
  readonly home: Home;
  readonly records: Records;
  readonly streams: StagedStreams;
  readonly capabilities: Capabilities;
  readonly maker: Maker;
  readonly trash: Trash;
  readonly directories: Directories;
  readonly limbo: Limbo;
  readonly #mark: ApplyingMark;
  readonly #problem: (problem: Problem) => void;
  readonly #step: Step;
  /** During first contact with a source that was known before. */
  former: FormerInodes | undefined;
  /** Totals since this was made. */
  files = 0;
  bytes = 0;

  // Of the batch in hand: where its inodes are now, what they are, and what went wrong.
  readonly #places = new Map<InodeId, Slot>();
  readonly #identities = new Map<InodeId, LocalIdentity>();
  readonly #broken = new Map<InodeId, Place[]>();
  readonly #made = new Map<InodeId, Attributes>();
  readonly #lost: InodeId[] = [];
  readonly #stat = new Stat();

  constructor(options: ApplierOptions) {
    this.home = options.home;
    this.records = options.records;
    this.streams = options.streams;
    this.#mark = options.mark;
    this.#problem = options.problem;
    this.#step = options.step ?? (() => undefined);
    this.capabilities = new Capabilities((problem) => this.#problem(problem));
    this.maker = new Maker(this.capabilities);
    this.trash = new Trash(options.home);
    this.directories = new Directories(options.home, (id) => this.#slotOf(id));
    this.limbo = new Limbo(options.home, options.records, this.trash, this.directories);
  }

  /**
   * Applies a batch and records it, with the memory that follows from it, in one transaction. Idempotent.
   * @throws FamError DISK_FULL and the like: nothing was recorded, the tree is somewhere between; recover, then go on
   */
  apply(batch: Batch, memory: ReplicaMemory): Applied & { readonly memory: ReplicaMemory } {
    this.records.store.refresh();
    const owed = memory.pending.map((one) => one.id);
    const plan = planBatch(batch, this.records, memory.deferred, owed);
    this.#begin();
    // RACE: killed from here to the commit, the tree is ahead of the records; the mark says so to the next agent.
    this.#mark.set(plan.operations);
    for (const operation of plan.operations) this.#perform(operation);
    const settled = this.#broken.size === 0 ? plan : this.#settle(plan);
    const next = {
      ...memory,
      cursor: batch.to,
      deferred: plan.deferred,
      pending: this.#pendingAfter(batch, memory, plan),
    };
    this.#step('before-commit');
    this.records.store.transaction(() => {
      this.#record(settled, batch.to);
      this.records.remember(next);
    });
    this.records.store.refresh();
    this.#step('committed');
    this.#mark.clear();
    return {
      memory: next,
      lost: [...plan.lost, ...this.#lost],
      unresolved: plan.unresolved,
      emptyLimbo: plan.emptyLimbo && this.limbo.size > 0,
    };
  }

  /** Removes what waits in limbo. After a complete batch has been acknowledged: nobody waits for this. */
  tidy({ pending }: ReplicaMemory): void {
    this.limbo.empty(new Set(pending.map(({ id }) => id)));
    this.#step('limbo-emptied');
  }

  close(): void {
    this.directories.closeAll();
    this.streams.close();
  }

  // --- operations -------------------------------------------------------------------------------------------------------

  #begin(): void {
    this.#places.clear();
    this.#identities.clear();
    this.#broken.clear();
    this.#made.clear();
    this.#lost.length = 0;
  }

  #perform(operation: Operation): void {
    if (operation.type !== 'build' && this.#broken.has(operation.id)) {
      this.#break(operation);
      return;
    }
    const result = this.#act(operation);
    if (result >= 0) {
      this.#step(operation.type);
      return;
    }
    if (endsSession.has(-result)) throw this.#sessionError(result);
    this.#break(operation);
    this.#problem({
      path: this.#pathOf(operation),
      action: actions[operation.type],
      code: errnoName(result),
    });
  }

  #act(operation: Operation): number {
    switch (operation.type) {
      case 'build':
        return this.#build(operation, operation.to);
      case 'buildContent':
        return this.#build(operation, { at: 'staging', id: operation.id });
      case 'setAttributes':
        return this.#setAttributes(operation);
      case 'rename':
        return this.#rename(operation);
      case 'exchange':
        return this.#exchange(operation);
      case 'link':
        return this.#link(operation);
      case 'unlink':
        return this.#unlink(operation);
      case 'rmdir':
        return this.#rmdir(operation);
      case 'setTimes':
        return this.setTimes(operation.id, operation.attributes);
    }
  }

  #build(
    {
      id,
      attributes,
      contentSeq,
      content,
    }: {
      readonly id: InodeId;
      readonly attributes: Attributes;
      readonly contentSeq: Seq;
      readonly content: Content;
    },
    to: Slot,
  ): number {
    const at = this.#locate(to);
    if (typeof at === 'number') return at;
    // Something is built under its name only in a directory that this batch has made; records keep no xattrs.
    this.maker.inheritsFrom(to.at === 'name' ? this.#made.get(to.parent) : undefined);
    if (attributes.kind === Kind.directory) this.#made.set(id, attributes);
    let result = this.make(id, attributes, contentSeq, content, at);
    if (result === -EEXIST && this.#isPrivate(at)) {
      discard(at.dirfd, at.name);
      result = this.make(id, attributes, contentSeq, content, at);
    }
    if (result < 0) return result;
    this.#identities.set(id, identityOf(this.maker.stat));
    this.#moved(id, to);
    return 0;
  }

  /** Makes an inode at a place that nobody sees; `maker.stat` says which. 0 or -errno. */
  make(id: InodeId, attributes: Attributes, contentSeq: Seq, content: Content, at: Located): number {
    if (attributes.kind !== Kind.file) return this.maker.node(at.dirfd, at.name, attributes);
    this.files += 1;
    this.bytes += attributes.size;
    if (content.from !== 'staged') {
      const bytes = content.from === 'inline' ? content.bytes : noBytes;
      const size = bytes.length;
      const result = this.maker.file(
        at.dirfd,
        at.name,
        size === attributes.size ? attributes : { ...attributes, size },
        bytes,
      );
      if (result < 0 && result !== -EEXIST) unlinkat(at.dirfd, at.name);
      return result;
    }
    const staged = this.streams.take(id, contentSeq, attributes.size);
    if (staged === undefined && attributes.size === 0)
      return this.maker.file(at.dirfd, at.name, attributes, noBytes);
    if (staged === undefined) {
      this.#lost.push(id);
      return -ENOENT;
    }
    const result = this.maker.finish(this.home.stagingFd, staged, attributes);
    if (result < 0) return result;
    const placed = renameat2(this.home.stagingFd, staged, at.dirfd, at.name, RENAME_NOREPLACE);
    if (placed !== -EEXIST || !this.#isPrivate(at)) return placed;
    discard(at.dirfd, at.name);
    return renameat2(this.home.stagingFd, staged, at.dirfd, at.name, RENAME_NOREPLACE);
  }

  /** What is there and was not recorded was left by an agent that was killed: nobody else can write there. */
  #isPrivate(at: Located): boolean {
    return at.dirfd === this.home.limboFd || at.dirfd === this.home.stagingFd;
  }

  #setAttributes(operation: Extract<Operation, { type: 'setAttributes' }>): number {
    const { id, attributes } = operation;
    const at = id === rootId ? { dirfd: this.home.rootFd, name: '.' } : this.#locate(operation.at);
    if (typeof at === 'number') return at;
    if (id !== rootId && !this.#isThere(at, id)) return this.#gone(id);
    const { stat } = this.maker;
    const found = statx(at.dirfd, at.name, stat);
    if (found < 0) return found;
    const result = this.maker.change(at.dirfd, at.name, attributes, attributes.kind !== Kind.directory);
    // From here on the recorded size and time are not what is there: identity alone tells that it is ours.
    this.#identities.set(id, identityOf(stat));
    return result;
  }

  #rename(operation: Extract<Operation, { type: 'rename' }>): number {
    const { id, over } = operation;
    const from = this.#locate(operation.from);
    const to = this.#locate(operation.to);
    if (typeof from === 'number') return from;
    if (typeof to === 'number') return to;
    if (operation.from.at === 'name' && !this.#isThere(from, id)) return this.#gone(id);
    const result = this.place(from, to, over, () => this.#pathOfSlot(operation.to));
    if (result === -ENOENT) return this.#gone(id);
    if (result < 0) return result;
    this.#left(id, operation.from);
    this.#moved(id, operation.to);
    return 0;
  }

  /**
   * Renames something of ours to a name where `over` is expected (0: nothing). Whatever else is there is kept. 0 or -errno.
   */
  place(from: Located, to: Located, over: InodeId, path: () => ByteString): number {
    if (over === 0 || !this.#isOurs(to, over)) {
      const result = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_NOREPLACE);
      if (result !== -EEXIST) return result;
      return this.#placeOverForeign(from, to, path);
    }
    // RACE: between the look and the rename a local user could put a file of his own there, which would be lost. The
    // window is a few microseconds; closing it would cost an exchange and a check for every file.
    return renameat2(from.dirfd, from.name, to.dirfd, to.name);
  }

  #placeOverForeign(from: Located, to: Located, path: () => ByteString): number {
    // Equal by what first contact goes by (an agent placed it and was killed before it could say so): not worth keeping.
    if (this.#isEqualFile(from, to) || this.#isFormerFile(from, to))
      return renameat2(from.dirfd, from.name, to.dirfd, to.name);
    const exchanged = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_EXCHANGE);
    if (exchanged === 0) return this.trash.keep(from.dirfd, from.name, path(), notOurs);
    if (exchanged !== -EINVAL && exchanged !== -ENOSYS) return exchanged;
    this.capabilities.lack('exchange', path);
    const kept = this.trash.keep(to.dirfd, to.name, path(), notOurs);
    if (kept < 0) return kept;
    return renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_NOREPLACE);
  }

  #isFormerFile(from: Located, to: Located): boolean {
    const stat = this.#stat;
    if (this.former === undefined) return false;
    if (statx(from.dirfd, from.name, stat) < 0 || stat.isDirectory) return false;
    return statx(to.dirfd, to.name, stat) === 0 && !stat.isDirectory && this.former.has(stat);
  }

  #isEqualFile(a: Located, b: Located): boolean {
    const other = new Stat();
    const stat = this.#stat;
    if (statx(a.dirfd, a.name, stat) < 0 || statx(b.dirfd, b.name, other) < 0) return false;
    return (
      stat.isFile &&
      other.isFile &&
      stat.size === other.size &&
      stat.mtimeS === other.mtimeS &&
      stat.mtimeNs === other.mtimeNs
    );
  }

  #exchange(operation: Extract<Operation, { type: 'exchange' }>): number {
    const { id, other } = operation;
    const from = this.#locate(operation.from);
    const to = this.#locate(operation.to);
    if (typeof from === 'number') return from;
    if (typeof to === 'number') return to;
    if (operation.from.at === 'name' && !this.#isThere(from, id)) return this.#gone(id);
    let result = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_EXCHANGE);
    if (result === -ENOENT) {
      // Somebody removed the occupant: the newcomer can have its place.
      result = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_NOREPLACE);
      if (result === 0) this.#gone(other);
    } else if (result === -EINVAL || result === -ENOSYS) {
      this.capabilities.lack('exchange', () => this.#pathOfSlot(operation.to));
      result = this.#exchangeByRenames(from, to);
    }
    if (result < 0) return result;
    this.#moved(id, operation.to);
    this.#moved(other, operation.from);
    if (!this.#broken.has(other) && !this.#isThere(from, other)) {
      const path = this.#pathOfSlot(operation.to);
      const kept = operation.from.at === 'name' ? 0 : this.trash.keep(from.dirfd, from.name, path, notOurs);
      this.#gone(other);
      return kept;
    }
    return 0;
  }

  /** Where the file system cannot exchange: the shortest gap that plain renames allow. */
  #exchangeByRenames(from: Located, to: Located): number {
    const { stagingFd } = this.home;
    let result = renameat2(to.dirfd, to.name, stagingFd, exchangeName);
    if (result === 0) result = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_NOREPLACE);
    if (result === 0) result = renameat2(stagingFd, exchangeName, from.dirfd, from.name, RENAME_NOREPLACE);
    return result;
  }

  #link(operation: Extract<Operation, { type: 'link' }>): number {
    const { id } = operation;
    const from = this.#locate(operation.from);
    const to = this.#locate(operation.to);
    if (typeof from === 'number') return from;
    if (typeof to === 'number') return to;
    if (operation.from.at === 'name' && !this.#isThere(from, id)) return this.#gone(id);
    let result = linkat(from.dirfd, from.name, to.dirfd, to.name);
    if (result === -EEXIST && operation.to.at !== 'name') {
      discard(to.dirfd, to.name);
      result = linkat(from.dirfd, from.name, to.dirfd, to.name);
    } else if (result === -EEXIST) {
      const staged = { dirfd: this.home.stagingFd, name: `${id}.link` };
      result = linkat(from.dirfd, from.name, staged.dirfd, staged.name);
      if (result === 0) result = this.#placeOverForeign(staged, to, () => this.#pathOfSlot(operation.to));
    }
    // A link that was only to keep something for later is not worth failing for: it will be asked for again.
    if ((result === -EMLINK || result === -EPERM) && operation.to.at === 'limbo') return 0;
    if (result === 0 && operation.to.at === 'limbo') this.limbo.add(to.name, this.records.pathOf(id));
    return result;
  }

  #unlink(operation: Extract<Operation, { type: 'unlink' }>): number {
    const at = this.#locate(operation.at);
    if (typeof at === 'number') return at;
    const result = this.remove(at, operation.id, () => this.#pathOfSlot(operation.at));
    if (result === 0) this.#left(operation.id, operation.at);
    return result;
  }

  /** Removes a name of a file that is recorded there; anything else that is there is kept. 0 or -errno. */
  remove(at: Located, id: InodeId, path: () => ByteString): number {
    const found = statx(at.dirfd, at.name, this.#stat);
    if (found === -ENOENT) return 0;
    // RACE: as in `place`.
    if (found === 0 && this.#isStatOf(id)) return unlinkat(at.dirfd, at.name);
    return this.trash.keep(at.dirfd, at.name, path(), notOurs);
  }

  #rmdir(operation: Extract<Operation, { type: 'rmdir' }>): number {
    const at = this.#locate(operation.at);
    if (typeof at === 'number') return at;
    this.directories.forget(operation.id);
    let result = unlinkat(at.dirfd, at.name, AT_REMOVEDIR);
    if (result === -ENOENT) result = 0;
    if (result === -ENOTEMPTY || result === -EEXIST) {
      result = this.trash.keep(
        at.dirfd,
        at.name,
        this.#pathOfSlot(operation.at),
        'holds files that fam did not put there',
      );
    }
    if (result === 0) this.#left(operation.id, operation.at);
    return result;
  }

  /** Sets a directory's modification time. 0 or -errno. */
  setTimes(id: InodeId, attributes: Attributes): number {
    const fd = this.directories.get(id);
    if (fd < 0) return this.#broken.has(id) ? 0 : fd;
    return utimensat(fd, '', attributes.mtimeS, attributes.mtimeNs, AT_EMPTY_PATH);
  }

  // --- where and what -----------------------------------------------------------------------------------------------------

  #slotOf(id: InodeId): Slot | undefined {
    const moved = this.#places.get(id);
    if (moved !== undefined) return moved;
    const record = this.records.store.inode(id);
    if (record === undefined) return undefined;
    if (record.links === 0 || record.name === '') return { at: 'limbo', id };
    return { at: 'name', parent: record.parent, name: record.name };
  }

  #moved(id: InodeId, to: Slot): void {
    this.#places.set(id, to);
    if (to.at === 'limbo') this.limbo.add(String(to.id), this.records.pathOf(id));
  }

  #left(id: InodeId, from: Slot): void {
    if (from.at === 'limbo') this.limbo.delete(String(id));
  }

  #locate(slot: Slot): Located | number {
    if (slot.at === 'limbo') return { dirfd: this.home.limboFd, name: String(slot.id) };
    if (slot.at === 'staging') return { dirfd: this.home.stagingFd, name: `${slot.id}.new` };
    const dirfd = this.directories.get(slot.parent);
    return dirfd < 0 ? dirfd : { dirfd, name: slot.name };
  }

  /** The inode itself is there, whatever has happened to its content. */
  #isThere(at: Located, id: InodeId): boolean {
    const { dirfd, name } = at;
    if (statx(dirfd, name, this.#stat) < 0) return false;
    const identity = this.#identities.get(id) ?? this.records.store.inode(id);
    return identity !== undefined && isSameIdentity(identity, this.#stat);
  }

  /** What is there is the inode as fam left it; nothing there counts as not ours. */
  #isOurs(at: Located, id: InodeId): boolean {
    return statx(at.dirfd, at.name, this.#stat) === 0 && this.#isStatOf(id);
  }

  #isStatOf(id: InodeId): boolean {
    const stat = this.#stat;
    const record = this.records.store.inode(id);
    const changed = this.#identities.get(id);
    if (changed !== undefined && isSameIdentity(changed, stat)) return true;
    if (record === undefined || !isSameIdentity(record, stat)) return false;
    if (record.kind !== Kind.file) return true;
    return record.size === stat.size && record.mtimeS === stat.mtimeS && record.mtimeNs === stat.mtimeNs;
  }

  // --- what goes wrong ----------------------------------------------------------------------------------------------------

  /** The inode is not where the records have it: its content has to come again. */
  #gone(id: InodeId): number {
    if (!this.#broken.has(id)) this.#broken.set(id, []);
    const kind = this.records.store.inode(id)?.kind;
    if (kind === Kind.file) this.#lost.push(id);
    return -ENOENT;
  }

  #break(operation: Operation): void {
    const places: Place[] = [];
    const add = (slot: Slot): void => {
      if (slot.at === 'name') places.push({ parent: slot.parent, name: slot.name });
    };
    const ids = [operation.id];
    if ('to' in operation) add(operation.to);
    if ('from' in operation) add(operation.from);
    if ('at' in operation) add(operation.at);
    if (operation.type === 'rename' && operation.over !== 0) ids.push(operation.over);
    if (operation.type === 'exchange') ids.push(operation.other);
    for (const id of ids) this.#broken.set(id, [...(this.#broken.get(id) ?? []), ...places]);
  }

  /** After failures: the records of the inodes concerned follow what is really there. */
  #settle(plan: Plan): Pick<Plan, 'inodes' | 'entries'> {
    const inodes = new Map(plan.inodes);
    const entries = new Map<InodeId, Map<Name, InodeId>>();
    for (const [parent, names] of plan.entries) entries.set(parent, new Map(names));
    const setEntry = (place: Place, id: InodeId): void => {
      const names = entries.get(place.parent) ?? new Map<Name, InodeId>();
      names.set(place.name, id);
      entries.set(place.parent, names);
    };
    const occupant = (place: Place): InodeId =>
      entries.get(place.parent)?.get(place.name) ?? this.records.occupant(place.parent, place.name);
    const found: { readonly id: InodeId; readonly place: Place }[] = [];
    for (const [id, places] of this.#broken) {
      if (id === rootId) continue;
      const planned = plan.inodes.get(id) ?? undefined;
      const recorded = this.records.inode(id);
      // What was planned holds only for what was made.
      const known = this.#identities.has(id) ? (planned ?? recorded) : recorded;
      const candidates = new Map<string, Place>();
      for (const place of [...places, ...(planned?.names ?? []), ...(recorded?.names ?? [])]) {
        candidates.set(`${place.parent}/${place.name}`, place);
      }
      const names: Place[] = [];
      for (const place of candidates.values()) {
        const at = this.#locate({ at: 'name', ...place });
        if (typeof at !== 'number' && this.#isThere(at, id)) names.push(place);
        else if (occupant(place) === id) setEntry(place, 0);
      }
      const isInLimbo = this.#isThere({ dirfd: this.home.limboFd, name: String(id) }, id);
      if (known === undefined || (names.length === 0 && !isInLimbo)) inodes.set(id, null);
      else inodes.set(id, { ...known, names });
      for (const place of names) found.push({ id, place });
    }
    for (const { id, place } of found) setEntry(place, id);
    return { inodes, entries };
  }

  #sessionError(errno: number): FamError {
    const code = errnoName(errno);
    const { root } = this.home;
    if (errno === -ENOSPC || errno === -EDQUOT) {
      const what = errno === -ENOSPC ? 'the file system is full' : 'the quota is used up';
      return new FamError('DISK_FULL', `cannot write to ${root}: ${what} (${code}): make room there`, {
        retryable: true,
      });
    }
    if (errno === -EROFS) {
      return new FamError('DESTINATION_UNWRITABLE', `${root} has become read-only (${code})`, {
        retryable: true,
      });
    }
    return new FamError('INTERNAL', `cannot write to ${root}: ${code}`, { retryable: true });
  }

  #pathOf(operation: Operation): ByteString {
    if ('to' in operation) return this.#pathOfSlot(operation.to);
    if ('at' in operation) return this.#pathOfSlot(operation.at);
    return this.records.pathOf(operation.id);
  }

  #pathOfSlot(slot: Slot): ByteString {
    const parts: ByteString[] = [];
    for (let at: Slot | undefined = slot; at !== undefined; ) {
      if (at.at !== 'name') return at.id === rootId ? parts.reverse().join('/') : this.records.pathOf(at.id);
      parts.push(at.name);
      if (at.parent === rootId) break;
      at = this.#slotOf(at.parent);
    }
    return parts.reverse().join('/');
  }

  // --- records ------------------------------------------------------------------------------------------------------------

  #record({ inodes, entries }: Pick<Plan, 'inodes' | 'entries'>, seq: Seq): void {
    const { records } = this;
    for (const [id, inode] of inodes) {
      if (inode === null) {
        records.forget(id);
        this.directories.forget(id);
      } else records.put(id, inode, this.#identities.get(id) ?? records.store.inode(id) ?? nowhere, seq);
    }
    for (const [parent, names] of entries) {
      for (const [name, id] of names) records.setEntry(parent, name, id, seq);
    }
  }

  #pendingAfter(batch: Batch, memory: ReplicaMemory, plan: Plan): ReplicaMemory['pending'] {
    const pending = new Map(memory.pending.map((one) => [one.id, one.contentSeq]));
    for (const id of plan.lost) pending.set(id, 0);
    for (const change of batch.changes) {
      if (change.type === 'pending') pending.set(change.id, pending.get(change.id) ?? 0);
      else if (change.type !== 'inode') continue;
      // Of what has no content the extended attributes were lacking.
      else if (change.content.from !== 'none' || change.attributes.kind !== Kind.file)
        pending.delete(change.id);
    }
    for (const id of batch.dead) {
      if (pending.delete(id)) this.streams.discard(id);
    }
    for (const id of this.#lost) pending.set(id, 0);
    return [...pending].map(([id, contentSeq]) => ({ id, contentSeq }));
  }

  // --- for first contact, which places things outside of plans --------------------------------------------------------------

  /** The inode that `make` made last. */
  identityOfMade(): LocalIdentity {
    return identityOf(this.maker.stat);
  }

  /** Where a directory is while it is not where its record says; undefined: it is there now. */
  setPlace(id: InodeId, slot: Slot | undefined): void {
    if (slot === undefined) this.#places.delete(id);
    else this.#places.set(id, slot);
  }

  /** @throws FamError when no other path would fare better */
  throwIfFatal(errno: number): void {
    if (endsSession.has(-errno)) throw this.#sessionError(errno);
  }
}

const noBytes = new Uint8Array();
const exchangeName = 'exchange';
const notOurs = 'fam did not put it there, or it was changed since';

const actions: Readonly<Record<Operation['type'], string>> = {
  build: 'create',
  buildContent: 'write content',
  setAttributes: 'set attributes',
  rename: 'put in place',
  exchange: 'put in place',
  link: 'link',
  unlink: 'remove',
  rmdir: 'remove',
  setTimes: 'set time',
};

export function identityOf(stat: Stat): LocalIdentity {
  return { dev: stat.dev, inoHigh: stat.inoHigh, inoLow: stat.inoLow, birth: stat.birth };
}

export function isSameIdentity(identity: LocalIdentity, stat: Stat): boolean {
  return (
    identity.inoLow === stat.inoLow &&
    identity.inoHigh === stat.inoHigh &&
    identity.dev === stat.dev &&
    identity.birth === stat.birth
  );
}
