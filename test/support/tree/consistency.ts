import { Kind, rootId } from '../../../src/core/attributes.ts';
import type { TreeStore } from '../../../src/tree/store.ts';

/**
 * What must hold between the records, whatever the folder holds.
 * @param keepsJournal false: a replica's, where all that a batch has brought has one seq
 */
export function consistency(store: TreeStore, keepsJournal = true): string[] {
  const out: string[] = [];
  const names = new Map<number, string[]>();
  const pending = [rootId];
  let entries = 0;
  const seqs = new Map<number, string>();
  const note = (seq: number, what: string): void => {
    if (!keepsJournal || seq <= store.pruned) return;
    const other = seqs.get(seq);
    if (other !== undefined) out.push(`seq ${seq} is both ${other} and ${what}`);
    seqs.set(seq, what);
  };
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    for (const entry of store.listAll(id)) {
      note(entry.seq, `entry ${id}/${entry.name}`);
      if (entry.id === 0) continue;
      entries += 1;
      const of = names.get(entry.id) ?? [];
      of.push(`${id}/${entry.name}`);
      names.set(entry.id, of);
      if (of.length === 1 && store.inode(entry.id)?.kind === Kind.directory) pending.push(entry.id);
    }
  }
  let inodes = 0;
  for (const record of store.inodes()) {
    note(record.seq, `inode ${record.id}`);
    if (record.links === 0) continue;
    inodes += 1;
    if (record.id === rootId) continue;
    const of = (names.get(record.id) ?? []).sort();
    const said = store
      .namesOf(record.id)
      .map((n) => `${n.parent}/${n.name}`)
      .sort();
    if (record.links !== of.length)
      out.push(`inode ${record.id}: ${record.links} links, names ${of.join(', ')}`);
    if (said.join('\n') !== of.join('\n'))
      out.push(`inode ${record.id}: namesOf ${said.join(', ')}; entries ${of.join(', ')}`);
    const isUnmade = record.inoHigh === 0 && record.inoLow === 0;
    if (!isUnmade && store.idOfIdentity(record.dev, record.inoHigh, record.inoLow) !== record.id)
      out.push(`inode ${record.id}: identity`);
  }
  for (const id of names.keys())
    if (store.inode(id) === undefined) out.push(`an entry names ${id}, which is not there`);
  if (store.stats.inodes !== inodes) out.push(`${inodes} inodes, counted ${store.stats.inodes}`);
  if (store.stats.entries !== entries) out.push(`${entries} entries, counted ${store.stats.entries}`);
  const journaled = new Map<number, string>();
  let last = 0;
  for (const r of store.journal(0)) {
    if (r.seq <= last) out.push(`journal out of order at ${r.seq}`);
    last = r.seq;
    journaled.set(r.seq, r.type === 'inode' ? `inode ${r.id}` : `entry ${r.parent}/${r.name}`);
  }
  for (const [seq, what] of seqs)
    if (journaled.get(seq) !== what) out.push(`${what} at ${seq}: journal says ${journaled.get(seq)}`);
  for (const [seq, what] of journaled)
    if (seqs.get(seq) !== what) out.push(`journal ${seq}: ${what}, records say ${seqs.get(seq)}`);
  if (keepsJournal && last > store.head) out.push(`journal reaches ${last}, head is ${store.head}`);
  return out;
}
