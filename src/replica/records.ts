// The replica's records in the store: what a plan reads, what a plan changes, and the state that a session begins with.

import * as z from 'zod/mini';
import { type InodeId, rootId, type Seq } from '../core/attributes.ts';
import { asName, type ByteString, type Name } from '../core/name.ts';
import {
  type DeferredEntry,
  isSamePlace,
  type Place,
  type PlannedInode,
  type ReplicaView,
} from '../core/plan-operation.ts';
import type { Stat } from '../kernel/sys.ts';
import type { InodeRecord, LocalIdentity } from '../tree/records.ts';
import type { TreeStore } from '../tree/store.ts';
import { inlineMaxBytes } from '../wire/messages.ts';
import { keyOf } from './known-contents.ts';
import { isSameIdentity } from './local-identity.ts';
import { PendingContents } from './pending.ts';

/** Everything a replica remembers besides inodes, entries and what is pending. */
export interface ReplicaMemory {
  readonly sourceId: string;
  readonly epoch: number;
  /** False: first contact has begun and not ended. */
  readonly reconciled: boolean;
  /** Epoch of the first contact before that, which had come to its end; undefined: none had, or it is not known. */
  readonly settledEpoch?: number | undefined;
  /** ... and how far that replica had come. */
  readonly settledCursor?: Seq | undefined;
  readonly cursor: Seq;
  /** The source's head when first contact began to list: what had been made by then was listed, or was passed by while it moved. 0: not known. */
  readonly listedFrom: Seq;
  readonly deferred: readonly DeferredEntry[];
  /** See `Plan`. */
  readonly nameless: readonly InodeId[];
  /**
   * Up to here something is lacking that no later batch brings: the source was asked to list it, and has not said yet that it has. 0:
   * nothing.
   */
  readonly lackingSince: Seq;
  /** Folders in which something could not be made, changed or removed that can be later (`isMendable`): they are listed again at the next contact. */
  readonly failedIn: readonly InodeId[];
  /** The same happened where no listing tells of it, or in too many folders: all is compared at the next contact. */
  readonly hasFailed: boolean;
  /** Files that batches have brought last, the last one last (`isFamiliar`). */
  readonly latest: readonly InodeId[];
  /** `rulesKey` of the rules by which all of it was compared; undefined: an older fam did not note it. */
  readonly rules?: string | undefined;
  /** `HostPlace.object` of the source's root when the last first contact came to its end, or since; undefined: not known. */
  readonly sourceRoot?: string | undefined;
}

const seq = z.int().check(z.nonnegative());
/** A name in what is stored as JSON. */
export const nameSchema = z.custom<Name>(
  (value) => typeof value === 'string' && asName(value) !== undefined,
  'not a name',
);
const memorySchema = z.object({
  sourceId: z.string(),
  epoch: seq,
  reconciled: z.boolean(),
  settledEpoch: z.optional(seq),
  settledCursor: z.optional(seq),
  cursor: seq,
  listedFrom: z._default(seq, 0),
  /** Before the pending contents had rows of their own. */
  pending: z._default(z.array(z.unknown()), []),
  deferred: z.array(z.object({ parent: seq, name: nameSchema, id: seq })),
  nameless: z._default(z.array(seq), []),
  lackingSince: z._default(seq, 0),
  failedIn: z._default(z.array(seq), []),
  hasFailed: z._default(z.boolean(), false),
  latest: z._default(z.array(seq), []),
  rules: z.optional(z.string()),
  sourceRoot: z.optional(z.string()),
});

const memoryKey = 'replica/memory';

export const nowhere: LocalIdentity = { dev: 0, inoHigh: 0, inoLow: 0, birth: 0 };

export class Records implements ReplicaView {
  readonly store: TreeStore;
  readonly pending: PendingContents;

  constructor(store: TreeStore) {
    this.store = store;
    this.pending = new PendingContents(store);
  }

  memory(): ReplicaMemory | undefined {
    const stored = this.store.meta(memoryKey, memorySchema);
    if (stored === undefined) return undefined;
    const { pending, ...memory } = stored;
    // What an older fam was owed is not known: it lacks something, and is compared.
    return pending.length > 0 ? { ...memory, lackingSince: memory.cursor + 1 } : memory;
  }

  remember(memory: ReplicaMemory): void {
    this.store.setMeta(memoryKey, memory);
  }

  inode(id: InodeId): PlannedInode | undefined {
    const record = this.store.inode(id);
    if (record === undefined) return undefined;
    return { attributes: record, contentSeq: record.contentSeq, names: this.store.namesOf(id, record) };
  }

  /** The living inode that is the object `stat` tells about; 0: none. */
  idOf(stat: Stat): InodeId {
    const id = this.store.idOfIdentity(stat.dev, stat.inoHigh, stat.inoLow);
    const record = id === undefined ? undefined : this.store.inode(id);
    return record !== undefined && isSameIdentity(record, stat) ? record.id : 0;
  }

  occupant(parent: InodeId, name: Name): InodeId {
    return this.store.entry(parent, name)?.id ?? 0;
  }

  /** Nothing is recorded in the directory. */
  isEmpty(parent: InodeId): boolean {
    for (const _ of this.store.list(parent)) return false;
    return true;
  }

  *children(parent: InodeId): Iterable<Name> {
    for (const entry of this.store.list(parent)) yield entry.name;
  }

  /** For people: where an inode is, or its id when it is nowhere. */
  pathOf(id: InodeId): ByteString {
    return this.store.pathOf(id) ?? `(inode ${id})`;
  }

  /** The same of a name, whatever has it. */
  pathAt({ parent, name }: Place): ByteString {
    const directory = this.pathOf(parent);
    return directory === '' ? name : `${directory}/${name}`;
  }

  /** Stores an inode with all its names. Inside a transaction. */
  put(id: InodeId, inode: PlannedInode, identity: LocalIdentity, seq: Seq): void {
    const previous = this.store.inode(id);
    const before = previous === undefined || previous.links < 2 ? [] : this.store.furtherNames(id);
    const [first, ...further] = inode.names;
    for (const place of before) {
      if (!further.some((one) => isSamePlace(one, place))) {
        this.store.removeFurtherName(id, place.parent, place.name);
      }
    }
    for (const place of further) this.store.putFurtherName(id, place.parent, place.name);
    this.store.putInode(toRecord(id, inode, identity, seq, first, inode.names.length), previous);
  }

  /** The same for an inode that has no record yet. */
  putNew(id: InodeId, inode: PlannedInode, identity: LocalIdentity, seq: Seq): void {
    const [first, ...further] = inode.names;
    for (const place of further) this.store.putFurtherName(id, place.parent, place.name);
    this.store.addInode(toRecord(id, inode, identity, seq, first, inode.names.length));
  }

  forget(id: InodeId): void {
    const previous = this.store.inode(id);
    if (previous === undefined) return;
    if (previous.links > 1) {
      for (const place of this.store.furtherNames(id))
        this.store.removeFurtherName(id, place.parent, place.name);
    }
    this.store.removeInode(id, previous);
    if (previous.size > inlineMaxBytes) this.store.removeMeta(keyOf(id));
  }

  /** The same for a name of which there is no record. */
  addEntry(parent: InodeId, name: Name, id: InodeId, seq: Seq): void {
    this.store.addEntry({ parent, name, id, seq });
  }

  setEntry(parent: InodeId, name: Name, id: InodeId, seq: Seq): void {
    if (id === 0) this.store.removeEntry(parent, name);
    else this.store.putEntry({ parent, name, id, seq });
  }

  /**
   * The name is nobody's any more. Who had it is forgotten with its last name, unless it is kept: it waits in limbo. Inside a transaction.
   */
  takeName(place: Place, isKept: boolean): void {
    const id = this.occupant(place.parent, place.name);
    const record = this.store.inode(id);
    this.setEntry(place.parent, place.name, 0, 0);
    if (record === undefined) return;
    const names = this.store.namesOf(id, record).filter((one) => !isSamePlace(one, place));
    if (names.length === 0 && !isKept) this.forgetWithAllBelow(id);
    else this.put(id, { attributes: record, contentSeq: record.contentSeq, names }, record, record.seq);
  }

  /** Nothing is recorded in what is not recorded itself. Inside a transaction. */
  forgetWithAllBelow(id: InodeId): void {
    for (const name of [...this.children(id)]) this.takeName({ parent: id, name }, false);
    this.forget(id);
  }
}

function toRecord(
  id: InodeId,
  { attributes, contentSeq }: PlannedInode,
  identity: LocalIdentity,
  seq: Seq,
  first: { readonly parent: InodeId; readonly name: Name } | undefined,
  links: number,
): InodeRecord {
  const { kind, mode, uid, gid, size, mtimeS, mtimeNs, rdevMajor, rdevMinor, target, xattrs } = attributes;
  return {
    id,
    kind,
    mode,
    uid,
    gid,
    size,
    mtimeS,
    mtimeNs,
    rdevMajor,
    rdevMinor,
    target,
    xattrs,
    dev: identity.dev,
    inoHigh: identity.inoHigh,
    inoLow: identity.inoLow,
    birth: identity.birth,
    ctimeS: 0,
    ctimeNs: 0,
    parent: first?.parent ?? 0,
    name: first?.name ?? '',
    links: id === rootId ? 1 : links,
    bornSeq: seq,
    seq,
    contentSeq,
    doubtful: false,
    touched: false,
    listed: true,
  };
}
