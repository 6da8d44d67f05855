// Changes to the records of inodes and names that keep them consistent with each other: link counts, the further names of
// hard links, sequence numbers, and what becomes of an inode whose last name goes.

import * as z from 'zod/mini';
import { type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import { asName, type ByteString, type Name } from '../core/name.ts';
import type { Place } from '../core/plan-operation.ts';
import type { NewInode } from './attributes-of.ts';
import { maxDepth } from './directories.ts';
import { LostNames } from './lost-names.ts';
import type { EntryRecord, InodeRecord } from './records.ts';
import type { TreeStore } from './store.ts';

/** An inode changed in this round: as it will be, and as the store still has it. */
interface Draft {
  record: InodeRecord;
  readonly stored: InodeRecord | undefined;
}

/** Meta: inodes without a name that may still be found under another one, and directories below themselves; absent when there are none. */
const orphansKey = 'editor/orphans';
const orphanList = z.array(z.int());

/** The most drafts kept before they are written. */
const maxDrafts = 4096;

/**
 * The writer's working set for one round of changes. All calls inside a store transaction.
 *
 * An inode that loses its last name is an *orphan*: a later look in the same round may find it elsewhere (a move).
 * `bury` ends the round for those that were not found. A round may span transactions: orphans are then kept in the
 * store's meta, so that a restart after kill -9 finds them.
 */
export class TreeEditor {
  readonly #store: TreeStore;
  readonly #drafts = new Map<InodeId, Draft>();
  readonly #orphans = new Set<InodeId>();
  #orphansStored = false;
  /** Directories that in this round had no name or several, for a moment at least. */
  readonly #unplaced = new Set<InodeId>();
  /** Directories that were found below themselves, since one in between has moved and nobody has seen yet where to. */
  readonly #looped = new Set<InodeId>();
  /** Seq for everything new during the first scan; undefined: each change its own. */
  #base: Seq | undefined;
  #retold = 0;
  readonly lostNames = new LostNames();
  /** What is no directory and has lost one of several names. Whoever takes them empties it. */
  readonly bereaved = new Set<InodeId>();
  /** Called for each inode that leaves the tree. */
  onGone: (id: InodeId, kind: Kind) => void = () => {};

  constructor(store: TreeStore) {
    this.#store = store;
  }

  /**
   * What a killed predecessor left between places: to be called once at start.
   * @returns names of directories that have several: where they have been, and where they are
   */
  adoptOrphans(): Place[] {
    const doubtful: Place[] = [];
    const ids = this.#store.meta(orphansKey, orphanList) ?? [];
    this.#orphansStored = ids.length > 0;
    for (const id of ids) {
      const record = this.inode(id);
      if (record === undefined || record.links === 0) continue;
      const names = this.#store
        .namesOf(id, record)
        .filter((n) => this.#store.entry(n.parent, n.name)?.id === id);
      if (this.#isBelow(record.parent, id)) this.#looped.add(id);
      if (names.length === 0) {
        this.replace({ ...record, links: 0 });
        this.#orphans.add(id);
        if (record.kind === Kind.directory) this.#unplaced.add(id);
      } else if (names.length > 1 && record.kind === Kind.directory) {
        this.#unplaced.add(id);
        doubtful.push(...names);
      }
    }
    return doubtful;
  }

  /** How many names were told again although nobody looked at them: what was read of one before that is out of date. */
  get retold(): number {
    return this.#retold;
  }

  /** Directories that have lost their last name in this round. */
  get homeless(): InodeId[] {
    return [...this.#unplaced].filter((id) => this.#orphans.has(id));
  }

  /**
   * Directories that are recorded below themselves, so that no way leads from the root to them. What is in between has moved: it is found
   * under another name, or has gone.
   */
  get looped(): InodeId[] {
    for (const id of this.#looped) {
      const record = this.inode(id);
      if (record === undefined || record.links === 0 || !this.#isBelow(record.parent, id))
        this.#looped.delete(id);
    }
    return [...this.#looped];
  }

  #isBelow(directory: InodeId, top: InodeId): boolean {
    let at = directory;
    for (let depth = 0; at !== rootId && at !== top; depth++) {
      const record = this.inode(at);
      if (record === undefined || record.links === 0) return false;
      // Another one is below itself.
      if (depth > maxDepth) return true;
      at = record.parent;
    }
    return at === top;
  }

  /** A directory has no name or several at this moment: nobody is told anything before that is over. */
  get isBetweenPlaces(): boolean {
    return this.#isMoving(false);
  }

  /** Records added from here on get this seq and no journal; undefined: ordinary numbering again. */
  get base(): Seq | undefined {
    return this.#base;
  }

  set base(seq: Seq | undefined) {
    this.#base = seq;
  }

  nextSeq(): Seq {
    return this.#store.nextSeq();
  }

  /** @param stored what the store says of it, if that is known already */
  inode(id: InodeId, stored?: InodeRecord): InodeRecord | undefined {
    const draft = this.#drafts.size === 0 ? undefined : this.#drafts.get(id);
    return draft?.record ?? stored ?? this.#store.inode(id);
  }

  /** The inode that the records have at the name. */
  at(directory: InodeId, name: Name): InodeRecord | undefined {
    const entry = this.#store.entry(directory, name);
    return entry === undefined || entry.id === 0 ? undefined : this.inode(entry.id);
  }

  /** The first name of a path (relative to the root) that is not recorded as a directory, or its last one. */
  along(path: ByteString): { directory: InodeId; name: Name; isLast: boolean } | undefined {
    let directory: InodeId = rootId;
    const parts = path.split('/');
    for (const [i, part] of parts.entries()) {
      const name = asName(part);
      if (name === undefined) return undefined;
      const record = this.at(directory, name);
      const isLast = i === parts.length - 1;
      if (isLast || record?.kind !== Kind.directory) return { directory, name, isLast };
      directory = record.id;
    }
    return undefined;
  }

  /** The inode's present record is this one from now on. Its seq is the caller's affair. */
  replace(record: InodeRecord): void {
    const draft = this.#drafts.get(record.id);
    if (draft !== undefined) draft.record = record;
    else this.#drafts.set(record.id, { record, stored: this.#store.inode(record.id) });
  }

  /**
   * A new inode under its first name; the inode's seq is below the entry's, so that it is sent first.
   * @param before what the store says of the name now
   */
  create(record: NewInode, before: EntryRecord | undefined): InodeRecord {
    const { name, parent } = record;
    if (name === '') throw new Error('only the root has no name');
    const base = before === undefined ? this.#base : undefined;
    const seq = base ?? this.#store.nextSeq();
    record.id = this.#store.nextId();
    record.bornSeq = seq;
    record.seq = seq;
    record.contentSeq = seq;
    this.#store.addInode(record);
    // A directory is listed next: read again and again, and written once more.
    if (record.kind === Kind.directory) this.#drafts.set(record.id, { record, stored: record });
    this.#giveEntry({ parent, name, id: record.id, seq: base ?? this.#store.nextSeq() }, before);
    return record;
  }

  /** The name refers to this inode from now on. `before`: what the store says of the name now. */
  link(parent: InodeId, name: Name, id: InodeId, before: EntryRecord | undefined): void {
    const record = this.inode(id);
    if (record === undefined) throw new Error(`link to inode ${id}, which has no record`);
    if (record.kind === Kind.directory) {
      this.#unplaced.add(id);
      if (this.#isBelow(parent, id)) this.#looped.add(id);
    }
    if (record.links === 0) {
      this.#orphans.delete(id);
      this.replace({ ...record, parent, name, links: 1 });
    } else if (record.kind === Kind.directory && record.name !== '') {
      // It has moved: its newest name is the one to reach it by.
      this.#store.putFurtherName(id, record.parent, record.name);
      this.replace({ ...record, parent, name, links: record.links + 1 });
    } else {
      this.#store.putFurtherName(id, parent, name);
      this.replace({ ...record, links: record.links + 1 });
    }
    // A directory that is known has moved: whoever was told of its old place is to hear of the new one.
    const isNews = before !== undefined || record.kind === Kind.directory;
    const base = isNews ? undefined : this.#base;
    this.#giveEntry({ parent, name, id, seq: base ?? this.#store.nextSeq() }, before);
  }

  #giveEntry(entry: EntryRecord, before: EntryRecord | undefined): void {
    if (before === undefined) {
      this.#store.addEntry(entry);
      return;
    }
    this.#store.putEntry(entry, before);
    if (before.id !== 0) this.#dropName(before);
  }

  /** The name refers to nothing from now on: a tombstone. */
  unlink(parent: InodeId, name: Name): void {
    const before = this.#store.entry(parent, name);
    if (before === undefined || before.id === 0) return;
    this.#store.putEntry({ parent, name, id: 0, seq: this.#store.nextSeq() }, before);
    this.#dropName(before);
  }

  /** The inode has one name less: this one, as it was recorded. */
  #dropName(lost: EntryRecord): void {
    const { id, parent, name } = lost;
    const record = this.inode(id);
    if (record === undefined || record.links === 0) return;
    if (record.links === 1) {
      this.replace({ ...record, links: 0 });
      this.#orphans.add(id);
      if (record.kind === Kind.directory) this.#unplaced.add(id);
      return;
    }
    if (record.kind !== Kind.directory) {
      this.lostNames.add(parent, name, id);
      this.bereaved.add(id);
    }
    const links = record.links - 1;
    if (record.parent !== parent || record.name !== name) {
      this.#store.removeFurtherName(id, parent, name);
      this.replace({ ...record, links });
      if (record.name !== '') this.#confirm(record, record.parent, record.name, lost);
      return;
    }
    const heir = this.#store.furtherNames(id).at(0);
    if (heir === undefined) throw new Error(`inode ${id} has ${record.links} links and one name`);
    this.#store.removeFurtherName(id, heir.parent, heir.name);
    this.replace({ ...record, parent: heir.parent, name: heir.name, links });
    this.#confirm(record, heir.parent, heir.name, lost);
  }

  /**
   * A directory that was seen under two names, while somebody moved it back and forth, has one of them left. A replica, where it can
   * have only one, followed the name that was recorded last. If that is the one that went, the other is told again.
   */
  #confirm(record: InodeRecord, parent: InodeId, name: Name, lost: EntryRecord): void {
    if (record.kind !== Kind.directory) return;
    const left = this.#store.entry(parent, name);
    if (left === undefined || left.id !== lost.id || left.seq > lost.seq) return;
    this.#retold += 1;
    this.#store.putEntry({ ...left, seq: this.#store.nextSeq() }, left);
  }

  /** Buries the orphans: dead inodes get a tombstone, what hangs below dead directories is forgotten. */
  bury(): void {
    for (const id of this.#orphans) {
      const record = this.inode(id);
      if (record === undefined) continue;
      if (record.kind === Kind.directory) this.#forgetTree(id);
      else this.onGone(id, record.kind);
      this.replace({ ...record, seq: this.#store.nextSeq(), listed: false });
      this.#write(id);
    }
    this.#orphans.clear();
    // What still has several names (a bind mount shows one directory twice) keeps nobody waiting.
    this.#unplaced.clear();
  }

  #forgetTree(top: InodeId): void {
    const pending = [top];
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      this.onGone(id, Kind.directory);
      for (const entry of [...this.#store.listAll(id)]) {
        this.#store.removeEntry(id, entry.name, entry);
        if (entry.id === 0) continue;
        this.#dropName(entry);
        const child = this.inode(entry.id);
        if (child === undefined || child.links > 0) continue;
        this.#orphans.delete(entry.id);
        if (child.kind === Kind.directory) pending.push(entry.id);
        else this.onGone(entry.id, child.kind);
        const stored = this.#drafts.get(entry.id)?.stored;
        this.#drafts.delete(entry.id);
        this.#store.removeInode(entry.id, stored);
      }
    }
  }

  /** True when so much is in memory that the transaction should end soon. */
  get isFull(): boolean {
    return this.#drafts.size - this.#orphans.size >= maxDrafts;
  }

  /** The inode has lost its last name in this round, and may still be found under another one. */
  isOrphan(id: InodeId): boolean {
    return this.#orphans.has(id);
  }

  /**
   * Writes all drafts: at the end of each transaction. Orphans and loops stay in memory, and are listed in the store.
   * @param mayBeAnywhere the whole tree is being scanned: an orphan may turn up at its very end, and is not waited for
   */
  flush(mayBeAnywhere: boolean): void {
    for (const [id, draft] of this.#drafts) if (draft.record.links > 0) this.#write(id);
    const between = [...this.#orphans, ...this.looped, ...this.#withSeveralNames()];
    if (between.length > 0) this.#store.setMeta(orphansKey, between);
    else if (this.#orphansStored) this.#store.removeMeta(orphansKey);
    this.#orphansStored = between.length > 0;
    this.#store.setBetween({ isSettled: !this.#orphansStored, isMoving: this.#isMoving(mayBeAnywhere) });
  }

  #withSeveralNames(): InodeId[] {
    return [...this.#unplaced].filter((id) => (this.inode(id)?.links ?? 0) > 1);
  }

  #isMoving(mayBeAnywhere: boolean): boolean {
    if (this.#looped.size > 0) return true;
    for (const id of this.#unplaced) {
      const links = this.inode(id)?.links ?? 1;
      if (links > 1 || (links === 0 && !mayBeAnywhere)) return true;
      if (links === 1) this.#unplaced.delete(id);
    }
    return false;
  }

  #write(id: InodeId): void {
    const draft = this.#drafts.get(id);
    if (draft === undefined) return;
    if (draft.record !== draft.stored) this.#store.putInode(draft.record, draft.stored);
    this.#drafts.delete(id);
  }

  /** Forgets what was not written, after a transaction failed. */
  reset(): void {
    this.#drafts.clear();
    this.#orphans.clear();
    this.#unplaced.clear();
    this.#looped.clear();
  }
}
