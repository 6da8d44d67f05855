// Which thing changed last at each sequence number: what a replica lacks is everything above its cursor. A thing occurs once, at its
// newest seq, so the journal is no longer than the tree is large.

import type { InodeId, Seq } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import type { Counters } from './counters.ts';
import { type JournalValue, journalRecord } from './record-codec.ts';
import type { JournalRecord } from './records.ts';
import type { StoreTables } from './store-tables.ts';

/** Whatever changes something is called inside a transaction. */
export class Journal {
  readonly #tables: StoreTables;
  readonly #counters: Counters;
  readonly #isKept: boolean;

  /** @param isKept false: nothing is noted (replicas) */
  constructor(tables: StoreTables, counters: Counters, isKept: boolean) {
    this.#tables = tables;
    this.#counters = counters;
    this.#isKept = isKept;
  }

  /** What changed last at each seq > `after` (and <= `to`), in seq order. */
  *between(after: Seq, to: Seq): IterableIterator<JournalRecord> {
    for (const { key, value } of this.#tables.journal.getRange({ start: after + 1 })) {
      if (key > to) return;
      yield journalRecord(key, value);
    }
  }

  /** @param name '' for the inode `id` itself, else the entry of this name in the directory `id` */
  note(seq: Seq, previousSeq: Seq | undefined, id: InodeId, name: Name | ''): void {
    if (!this.#isKept || seq === previousSeq) return;
    const { pruned } = this.#counters;
    if (previousSeq !== undefined && previousSeq > pruned) this.#tables.journal.removeSync(previousSeq);
    if (seq <= pruned) return;
    const value: JournalValue = name === '' ? { type: 'inode', id } : { type: 'entry', parent: id, name };
    this.#tables.journal.putSync(seq, value);
  }

  /** What changed last at `seq` has been forgotten altogether. */
  drop(seq: Seq): void {
    if (this.#isKept && seq > this.#counters.pruned) this.#tables.journal.removeSync(seq);
  }

  /** See `TreeStore.prune`. */
  prune(seq: Seq, limit: number): boolean {
    const end = Math.min(seq, this.#counters.head);
    const records: JournalRecord[] = [];
    for (const record of this.between(0, end)) {
      records.push(record);
      if (records.length >= limit) break;
    }
    for (const record of records) this.#forget(record);
    const done = records.length < limit;
    this.#counters.setBase(done ? end : (records.at(-1)?.seq ?? 0));
    return done;
  }

  #forget(record: JournalRecord): void {
    const { journal, inodes, entries } = this.#tables;
    journal.removeSync(record.seq);
    if (record.type === 'inode') {
      if (inodes.get(record.id)?.links === 0) inodes.removeSync(record.id);
    } else if (entries.get([record.parent, record.name])?.id === 0) {
      entries.removeSync([record.parent, record.name]);
    }
  }
}
