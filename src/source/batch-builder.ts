// Turns the journal into what one replica is told: each record as the present state of its inode or name, with what must be there
// before it (I2). Knows what the replica has met, in a few maps that do not grow with lag (I10).

import { createHash } from 'node:crypto';
import { type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Change, Content, SameContent } from '../core/change.ts';
import { dropOldest } from '../core/drop-oldest.ts';
import type { Problem } from '../core/problem.ts';
import { maxDepth } from '../tree/directories.ts';
import type { EntryRecord, InodeRecord } from '../tree/records.ts';
import { sizeOfVariable } from '../wire/attributes-codec.ts';
import { batchTargetBytes, contentDigestBytes, inlineMaxBytes } from '../wire/messages.ts';
import type { Contents } from './contents.ts';
import type { OwedContents } from './owed.ts';
import type { UnreadAttributes } from './unread-attributes.ts';
import type { TreeView } from './view.ts';

/** A content that changed while it was read is tried again after this; most writers are done by then. */
export const unstableRetryMs = 50;
/** A byte that either side only reads keeps them about as busy as an eighth of a byte that is sent. */
const digestWeight = 8;
/** Files whose small contents were sent last, in this session: so many are remembered. */
const maxSent = 8192;
/** What a change without content counts towards a batch's size. */
const changeBytes = 64;

/** A piece of the journal, read: what belongs into one batch. */
export interface Stretch {
  readonly from: Seq;
  readonly to: Seq;
  readonly dead: readonly InodeId[];
  readonly changes: readonly Change[];
}

interface Building {
  readonly from: Seq;
  readonly changes: Change[];
  readonly dead: InodeId[];
  /** Inodes that it tells of: as they are now, so once is enough. */
  readonly told: Set<InodeId>;
  bytes: number;
}

export class BatchBuilder {
  readonly #view: TreeView;
  readonly #contents: Contents;
  readonly #owed: OwedContents;
  readonly #unread: UnreadAttributes;
  readonly #report: (problem: Problem) => void;

  #position: Seq = 0;
  /**
   * Everything that had happened up to here has been sent: where a stretch last reached the head. In one that was cut
   * short of it, what changed once before the cut and again after it is missing, as its one journal record has moved on.
   */
  #whole: Seq = 0;
  /** Nothing of the journal has been sent yet. */
  #isAtStart = true;
  /** Directories and inodes sent ahead of their turn in the journal, with the seq that was sent. */
  readonly #early = new Map<string, Seq>();
  /** In order of sending. What is written before its times are set (tar, rsync, FTP) is sent once. */
  readonly #sent = new Set<InodeId>();

  /**
   * @param owed gets the contents that do not fit into a batch, or cannot be read now
   * @param unread gets what had to be sent without its extended attributes
   */
  constructor(
    view: TreeView,
    contents: Contents,
    owed: OwedContents,
    unread: UnreadAttributes,
    report: (problem: Problem) => void,
  ) {
    this.#view = view;
    this.#contents = contents;
    this.#owed = owed;
    this.#unread = unread;
    this.#report = report;
  }

  /** Everything with a seq up to here has been sent. */
  get position(): Seq {
    return this.#position;
  }

  /** The replica stands where any other at this position stands: what is built for one is right for all. */
  get isPlain(): boolean {
    return this.hasLeftNothing && this.#whole === this.#position;
  }

  /** Nothing was sent ahead of its turn, and no content is owed. */
  get hasLeftNothing(): boolean {
    return this.#early.size === 0 && this.#owed.size === 0;
  }

  /** The replica has everything up to `seq`, or was told that it is pending. */
  startAt(seq: Seq): void {
    this.#position = seq;
    this.#whole = seq;
    this.#isAtStart = true;
  }

  /** Another builder's stretch, which began where this one stands, was sent. */
  passed(to: Seq, head: Seq): void {
    this.#position = to;
    this.#isAtStart = false;
    if (to === head) this.#whole = head;
  }

  /** The next stretch of the journal, up to about batchTargetBytes. */
  next(head: Seq): Stretch {
    const view = this.#view;
    const from = this.#position;
    this.#isAtStart = false;
    this.#contents.reuse();
    const building: Building = { from, changes: [], dead: [], told: new Set(), bytes: 0 };
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
    return { from, to, dead: building.dead, changes: building.changes };
  }

  /**
   * `changes` and then all names of the inode, with what they hang on; of a directory, which can have one only, the newest. Before
   * anything of the journal: names that the replica has been listed, wherever what they hang on is by now.
   */
  withNames(changes: Change[], record: InodeRecord): Change[] {
    const { id, links } = record;
    const building: Building = { from: this.#position, changes, dead: [], told: new Set(), bytes: 0 };
    for (const { parent, name } of this.#view.namesOf(id)) {
      const isNewest = parent === record.parent && name === record.name;
      if (record.kind === Kind.directory && !isNewest) continue;
      if (!this.#isAtStart) this.#addAncestors(building, parent);
      else if ((this.#view.entry(parent, name)?.seq ?? 0) > this.#position) continue;
      changes.push({ type: 'entry', parent, name, id, links });
    }
    return changes;
  }

  /** The replica has met this inode: before this stretch of the journal, or ahead of its turn. */
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
    building.told.add(id);
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
      building.bytes += changeBytes + sizeOfVariable(attributes);
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
        const isSame = (isKnown && record.doubtful) || (record.touched && this.#sent.has(id));
        // Short ones cost less than their digests; but what only may have changed is not to be made anew.
        const isWorth = read.bytes.length > contentDigestBytes || record.touched;
        const content = isSame && isWorth ? asSame(read.bytes) : inline(read.bytes);
        this.#sent.delete(id);
        this.#sent.add(id);
        dropOldest(this.#sent, maxSent);
        building.changes.push({
          type: 'inode',
          id,
          attributes: read.attributes,
          contentSeq: record.contentSeq,
          content,
        });
        const weight = content.from === 'same' ? digestWeight : 1;
        building.bytes +=
          changeBytes + sizeOfVariable(read.attributes) + Math.ceil(read.bytes.length / weight);
        return true;
      }
      if (read.kind === 'problem') this.#report(read.problem);
      const owed = this.#owed.add(id, record.seq, record.contentSeq, isKnown);
      if (read.kind === 'problem') this.#owed.waitFor(owed, 'record');
      else owed.notBefore = performance.now() + unstableRetryMs;
      if (read.kind === 'unfinished') this.#owed.waitFor(owed, 'upload');
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
    if ((!isKnown || isNewer) && !building.told.has(id)) {
      const isWhole = this.#addInode(building, id);
      if (!isKnown && !isWhole) return;
      this.#early.set(`i${id}`, record.seq);
    }
    // A name comes with the content that it had when it was given (I2), unless nobody can read that.
    const owed = this.#owed.get(id);
    if (owed !== undefined && !(owed.waitsFor === 'record' && isKnown)) {
      // Where it is now it may hold still: a file that was saved under another name and renamed is read once more at once.
      owed.notBefore = 0;
      return;
    }
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
      if (!building.told.has(record.id) && !this.#knows(record, building.from)) {
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
}

function inline(bytes: Uint8Array): Content {
  return { from: 'inline', bytes };
}

/** In place of a content that the replica probably has. */
function asSame(bytes: Uint8Array): SameContent {
  return { from: 'same', digest: createHash('sha256').update(bytes).digest() };
}
