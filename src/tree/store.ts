// tree/: the durable record of a tree as POSIX has it, and what keeps it true: store (lmdb), recorder (events), scan.
// May import core/, kernel/, runtime/. Nothing here knows of replicas' links, batches or wires.
//
// This file: the store, used by a source for its tree and by a replica for its copy of the records.

import { existsSync, statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { type InodeId, rootId, type Seq } from '../core/attributes.ts';
import { FamError } from '../core/errors.ts';
import { asName, type ByteString, type Name } from '../core/name.ts';
import { releaseMapped } from '../kernel/sys.ts';
import { Counters } from './counters.ts';
import { maxDepth } from './directories.ts';
import { Journal } from './journal.ts';
import type { IdentityKey } from './record-codec.ts';
import type { EntryRecord, InodeRecord, JournalRecord, LocalIdentity } from './records.ts';
import {
  admitDatabase,
  type Fresh,
  readBootMark,
  StoreLock,
  syncPath,
  writeBootMark,
} from './store-files.ts';
import { clearTables, databaseFile, openTables, type StoreTables } from './store-tables.ts';

/** How a meta value is checked when it comes from disk; zod schemas are such parsers. */
export interface Parser<T> {
  parse(value: unknown): T;
}

export interface TreeStoreOptions {
  /**
   * `owner`: takes the lock, decides about freshness, may write. `reader`: another thread of the owner's process, while
   * the owner is open. Default `owner`.
   */
  readonly role?: 'owner' | 'reader';
  /** False: `putInode` and `putEntry` keep no journal (replicas). Default true. */
  readonly journal?: boolean;
  /** Whose tree this is, for an owner who knows it without the store (a UUID). Default: what the store says, else a new one. */
  readonly sourceId?: string;
}

/** One name of an inode. */
export interface NameRef {
  readonly parent: InodeId;
  readonly name: Name;
}

/**
 * One thread's handle on a tree's records.
 *
 * Concurrency: one writer (the owner), any number of reader handles in other threads of the same process; each handle
 * belongs to one thread. All calls are synchronous. Reads inside `transaction` see its writes; reads outside see one
 * snapshot until the event loop turns, or until `refresh()`.
 */
export class TreeStore implements Disposable {
  /** Why the store was begun anew at this open; false when it goes on. */
  readonly fresh: Fresh;
  readonly sourceId: string;
  readonly directory: string;
  /** When the last owner committed last (ms since 1970, as the file system's clock has it); undefined: nothing is here from before. */
  readonly committedAt: number | undefined;
  #epoch: number;
  readonly #tables: StoreTables;
  readonly #counters: Counters;
  readonly #journal: Journal;
  readonly #lock: StoreLock | undefined;
  #inTransaction = false;
  #closed = false;

  /** @param lock the owner's; undefined: a reader */
  private constructor(directory: string, lock: StoreLock | undefined, options: TreeStoreOptions) {
    this.directory = directory;
    this.#lock = lock;
    if (lock !== undefined) {
      const { mark, fresh } = admitDatabase(directory, options.sourceId);
      this.committedAt = statSync(databaseFile(directory), { throwIfNoEntry: false })?.mtimeMs;
      this.sourceId = mark.sourceId;
      this.#epoch = mark.epoch;
      this.fresh = fresh !== false || existsSync(databaseFile(directory)) ? fresh : 'new';
    } else {
      const mark = readBootMark(directory);
      if (mark === undefined) {
        throw new FamError(
          'STATE_UNUSABLE',
          `${directory} holds no store to read: it has to be opened by its owner first`,
        );
      }
      this.committedAt = undefined;
      this.sourceId = mark.sourceId;
      this.#epoch = mark.epoch;
      this.fresh = false;
    }
    try {
      this.#tables = openTables(directory);
    } catch (error) {
      throw new FamError('STATE_UNUSABLE', `cannot open the store in ${directory}: ${String(error)}`, {
        cause: error,
      });
    }
    this.#counters = new Counters(this.#tables.meta);
    this.#journal = new Journal(this.#tables, this.#counters, options.journal ?? true);
  }

  /** @throws FamError STATE_IN_USE, STATE_UNUSABLE */
  static open(directory: string, options: TreeStoreOptions = {}): TreeStore {
    const lock = options.role === 'reader' ? undefined : StoreLock.take(directory);
    try {
      return new TreeStore(directory, lock, options);
    } catch (error) {
      lock?.close();
      throw error;
    }
  }

  // --- transactions and snapshots -----------------------------------------------------------------------------------

  /**
   * Runs `action` and commits what it wrote; an exception aborts. Nested calls join the outer one. `action` is
   * synchronous. After kill -9 of the process a commit holds (the page cache survives); see docs/decisions/0001.
   */
  transaction<T>(action: () => T): T {
    if (this.#inTransaction) return action();
    this.#inTransaction = true;
    try {
      return this.#tables.root.transactionSync(() => {
        const result = action();
        this.#counters.save();
        return result;
      });
    } catch (error) {
      this.#counters.forget();
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** Runs `action` against the newest committed state, all its reads against that one. Synchronous. */
  snapshot<T>(action: () => T): T {
    this.refresh();
    return action();
  }

  /** From here on reads see the newest committed state. For threads that block and so never turn their event loop. */
  refresh(): void {
    if (this.#inTransaction) return;
    this.#tables.root.resetReadTxn();
    if (this.#lock === undefined) this.#counters.forget();
  }

  // --- inodes -------------------------------------------------------------------------------------------------------

  inode(id: InodeId): InodeRecord | undefined {
    const record = this.#tables.inodes.get(id);
    return record === undefined ? undefined : Object.assign(record, { id });
  }

  /** Every record, tombstones included, by id. */
  inodes(): IterableIterator<InodeRecord> {
    return this.inodesFrom(0);
  }

  /** Records from one id on, up to another one: one after another they cost half of what single looks do. */
  *inodesFrom(least: InodeId, most?: InodeId): IterableIterator<InodeRecord> {
    const end = most === undefined ? {} : { end: most + 1 };
    for (const { key, value } of this.#tables.inodes.getRange({ start: least, ...end }))
      yield Object.assign(value, { id: key });
  }

  /** Stores a living inode whose id is new. */
  addInode(record: InodeRecord): void {
    this.#tables.inodes.putSync(record.id, record);
    if (hasIdentity(record))
      this.#tables.identities.putSync([record.dev, record.inoHigh, record.inoLow], record.id);
    this.#journal.note(record.seq, undefined, record.id, '');
    this.#counters.count('inodes', 1);
  }

  /** Stores an entry of whose name the store knows nothing. */
  addEntry(record: EntryRecord): void {
    this.#tables.entries.putSync([record.parent, record.name], record);
    this.#journal.note(record.seq, undefined, record.parent, record.name);
    this.#counters.count('entries', record.id === 0 ? 0 : 1);
  }

  /**
   * Stores a record, its identity and its journal record.
   * @param previous what `inode(id)` says now (undefined: nothing); passing it saves a read
   */
  putInode(record: InodeRecord, previous: InodeRecord | undefined = this.inode(record.id)): void {
    const alive = record.links > 0;
    const wasAlive = previous !== undefined && previous.links > 0;
    this.#tables.inodes.putSync(record.id, record);
    if (previous === undefined || !sameObject(previous, record) || alive !== wasAlive) {
      if (wasAlive) this.#dropIdentity(previous);
      if (alive && hasIdentity(record))
        this.#tables.identities.putSync([record.dev, record.inoHigh, record.inoLow], record.id);
    }
    this.#journal.note(record.seq, previous?.seq, record.id, '');
    if (alive !== wasAlive) this.#counters.count('inodes', alive ? 1 : -1);
  }

  /** Forgets an inode altogether: no tombstone, no journal record. Its names are the caller's affair. */
  removeInode(id: InodeId, previous: InodeRecord | undefined = this.inode(id)): void {
    if (previous === undefined) return;
    this.#tables.inodes.removeSync(id);
    if (previous.links > 0) {
      this.#dropIdentity(previous);
      this.#counters.count('inodes', -1);
    }
    this.#journal.drop(previous.seq);
  }

  /** The living inode that this object of the file system is, by device and inode number (birth is the caller's check). */
  idOfIdentity(dev: number, inoHigh: number, inoLow: number): InodeId | undefined {
    return this.#tables.identities.get([dev, inoHigh, inoLow]);
  }

  /** The file handle of a directory, as it was noted; with it the directory is found wherever it has been moved to. */
  handleOf(id: InodeId): ByteString | undefined {
    return this.#tables.handles.get(id);
  }

  /** Inside a transaction. */
  putHandle(id: InodeId, handle: ByteString): void {
    this.#tables.handles.putSync(id, handle);
  }

  /** Inside a transaction. */
  removeHandle(id: InodeId): void {
    this.#tables.handles.removeSync(id);
  }

  #dropIdentity(record: InodeRecord): void {
    const key: IdentityKey = [record.dev, record.inoHigh, record.inoLow];
    if (this.#tables.identities.get(key) === record.id) this.#tables.identities.removeSync(key);
  }

  // --- entries ------------------------------------------------------------------------------------------------------

  /** The entry, which may be a tombstone (id 0). */
  entry(parent: InodeId, name: Name): EntryRecord | undefined {
    const value = this.#tables.entries.get([parent, name]);
    return value === undefined ? undefined : { parent, name, id: value.id, seq: value.seq };
  }

  /** Stores an entry (id 0: a tombstone) and its journal record. Links and inodes are the caller's affair. */
  putEntry(
    record: EntryRecord,
    previous: EntryRecord | undefined = this.entry(record.parent, record.name),
  ): void {
    this.#tables.entries.putSync([record.parent, record.name], record);
    this.#journal.note(record.seq, previous?.seq, record.parent, record.name);
    const alive = record.id !== 0;
    if (alive !== (previous !== undefined && previous.id !== 0))
      this.#counters.count('entries', alive ? 1 : -1);
  }

  /** Forgets an entry altogether: no tombstone, no journal record. */
  removeEntry(
    parent: InodeId,
    name: Name,
    previous: EntryRecord | undefined = this.entry(parent, name),
  ): void {
    if (previous === undefined) return;
    this.#tables.entries.removeSync([parent, name]);
    if (previous.id !== 0) this.#counters.count('entries', -1);
    this.#journal.drop(previous.seq);
  }

  /** A directory's living entries in name byte order, from after `after`. */
  *list(parent: InodeId, after: Name | '' = ''): IterableIterator<EntryRecord> {
    for (const record of this.listAll(parent, after)) if (record.id !== 0) yield record;
  }

  /** The same with tombstones. */
  *listAll(parent: InodeId, after: Name | '' = ''): IterableIterator<EntryRecord> {
    for (const { key, value } of this.#tables.entries.getRange({
      start: [parent, after],
      end: [parent + 1, ''],
      exclusiveStart: after !== '',
    })) {
      const name = key[1];
      if (name !== '') yield { parent, name, id: value.id, seq: value.seq };
    }
  }

  // --- further names of inodes with several -----------------------------------------------------------------------------

  /** Every name of an inode, the one in its record first. Empty for the root and for the dead. */
  namesOf(id: InodeId, record: InodeRecord | undefined = this.inode(id)): NameRef[] {
    if (record === undefined || record.links === 0 || record.name === '') return [];
    const names: NameRef[] = [{ parent: record.parent, name: record.name }];
    if (record.links > 1) names.push(...this.furtherNames(id));
    return names;
  }

  furtherNames(id: InodeId): NameRef[] {
    const names: NameRef[] = [];
    for (const key of this.#tables.links.getKeys({ start: [id, 0, ''], end: [id + 1, 0, ''] })) {
      if (key[2] !== '') names.push({ parent: key[1], name: key[2] });
    }
    return names;
  }

  putFurtherName(id: InodeId, parent: InodeId, name: Name): void {
    this.#tables.links.putSync([id, parent, name], 0);
  }

  removeFurtherName(id: InodeId, parent: InodeId, name: Name): void {
    this.#tables.links.removeSync([id, parent, name]);
  }

  /** A path relative to the root, '' for the root itself; undefined when the inode is not (or no longer) in the tree. */
  pathOf(id: InodeId): ByteString | undefined {
    const parts: string[] = [];
    for (let at = id; at !== rootId; ) {
      const record = this.inode(at);
      if (record === undefined || record.links === 0 || record.name === '' || parts.length > maxDepth)
        return undefined;
      parts.push(record.name);
      at = record.parent;
    }
    return parts.reverse().join('/');
  }

  /** The inverse: the inode at a path relative to the root, '' for the root itself; undefined when there is none. */
  idAt(path: ByteString): InodeId | undefined {
    let id: InodeId = rootId;
    for (const part of path === '' ? [] : path.split('/')) {
      const name = asName(part);
      const next = name === undefined ? 0 : (this.entry(id, name)?.id ?? 0);
      if (next === 0) return undefined;
      id = next;
    }
    return id;
  }

  // --- sequence numbers, ids and the journal ----------------------------------------------------------------------------

  /** The last seq given out. */
  get head(): Seq {
    return this.#counters.head;
  }

  /** Cursors below this cannot be served from the journal. */
  get pruned(): Seq {
    return this.#counters.pruned;
  }

  get stats(): { readonly inodes: number; readonly entries: number } {
    const { inodes, entries } = this.#counters;
    return { inodes, entries };
  }

  /** Gives out the next seq. Inside a transaction. */
  nextSeq(): Seq {
    return this.#counters.nextSeq();
  }

  /** Gives out the next inode id; the root's (1) is never given out. Inside a transaction. */
  nextId(): InodeId {
    return this.#counters.nextId();
  }

  /** Declares everything up to `seq` a base without journal (first scan), or a replica's records as of `seq`. */
  setBase(seq: Seq): void {
    this.#counters.setBase(seq);
  }

  /** What changed last at each seq > `after` (and <= `to`), in seq order. Each living thing occurs once. */
  journal(after: Seq, to: Seq = Number.MAX_SAFE_INTEGER): IterableIterator<JournalRecord> {
    return this.#journal.between(after, to);
  }

  /**
   * Forgets single changes up to `seq`, tombstones included: every known replica is past them. At most `limit` journal
   * records at a time, so that no transaction is long. Returns true when all of it is done.
   */
  prune(seq: Seq, limit = 10_000): boolean {
    return this.transaction(() => this.#journal.prune(seq, limit));
  }

  // --- meta -------------------------------------------------------------------------------------------------------------

  get epoch(): number {
    return this.#epoch;
  }

  /** The source's past is in doubt, or a replica was promoted: (epoch, seq) must not be mistaken for what it was. Durable. */
  raiseEpoch(): number {
    const mark = readBootMark(this.directory);
    if (mark === undefined) throw new FamError('STATE_UNUSABLE', `${this.directory}/boot has gone`);
    this.#epoch += 1;
    writeBootMark(this.directory, { ...mark, epoch: this.#epoch });
    return this.#epoch;
  }

  /** The root that was admitted last. Outlives the records, which a power loss takes. */
  get admittedRoot(): LocalIdentity | undefined {
    return readBootMark(this.directory)?.root;
  }

  /** Durable. */
  noteAdmittedRoot({ dev, inoHigh, inoLow, birth }: LocalIdentity): void {
    const mark = readBootMark(this.directory);
    const root = { dev, inoHigh, inoLow, birth };
    if (mark === undefined || isDeepStrictEqual(mark.root, root)) return;
    writeBootMark(this.directory, { ...mark, root });
  }

  /** A value that `setMeta` stored, checked by `schema`; undefined when there is none. */
  meta<T>(key: string, schema: Parser<T>): T | undefined {
    const value = this.#tables.meta.get(key);
    return value === undefined ? undefined : schema.parse(value);
  }

  /** No inode is between two names: what is recorded is a state of the tree. */
  get isSettled(): boolean {
    return this.#counters.isSettled;
  }

  /**
   * A directory is recorded under two names, or under none although it may live on: whoever tells a replica now has it empty one
   * of these names for as long as the recorder takes to find out. It takes milliseconds.
   */
  get isMoving(): boolean {
    return this.#counters.isMoving;
  }

  /** Inside a transaction. */
  setBetween(state: { readonly isSettled: boolean; readonly isMoving: boolean }): void {
    this.#counters.setBetween(state);
  }

  /** All values whose keys begin so, each with its key. */
  *metaBelow<T>(prefix: string, schema: Parser<T>): IterableIterator<[string, T]> {
    // No key of ours has a character behind `~`.
    for (const { key, value } of this.#tables.meta.getRange({ start: prefix, end: `${prefix}~` }))
      yield [key, schema.parse(value)];
  }

  /** Stores a MessagePack value under a key of the caller's (`recorder/...`, `replica/...`). */
  setMeta(key: string, value: unknown): void {
    this.transaction(() => this.#tables.meta.putSync(key, value));
  }

  removeMeta(key: string): void {
    this.transaction(() => this.#tables.meta.removeSync(key));
  }

  /** Forgets every record (not the source's id and epoch): a replica at first contact. */
  clear(): void {
    this.transaction(() => {
      clearTables(this.#tables);
      this.#counters.reset();
    });
  }

  /**
   * Gives back the resident memory that the map of the database takes: pages stay in the kernel's cache. Takes about a
   * millisecond; for quiet moments.
   */
  releaseMemory(): void {
    releaseMapped(this.#tables.mapped);
  }

  // --- end --------------------------------------------------------------------------------------------------------------

  /** Closes the handle; the owner syncs first and leaves the clean mark. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#lock !== undefined) syncPath(databaseFile(this.directory));
    // Without pending asynchronous writes (we make none) lmdb closes before it returns.
    void this.#tables.root.close();
    if (this.#lock === undefined) return;
    const mark = readBootMark(this.directory);
    if (mark !== undefined) writeBootMark(this.directory, { ...mark, clean: true });
    this.#lock.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function sameObject(a: InodeRecord, b: InodeRecord): boolean {
  return a.inoLow === b.inoLow && a.inoHigh === b.inoHigh && a.dev === b.dev;
}

/** A replica's record in limbo or in the making has no object yet: inode number 0. */
function hasIdentity(record: InodeRecord): boolean {
  return record.inoLow !== 0 || record.inoHigh !== 0;
}
