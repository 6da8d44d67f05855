import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { TreeStore } from '../tree/store.ts';
import { Records } from './records.ts';

function stateFolder(): string {
  const folder = join(tempFolder('fam-pending', '/dev/shm'), 'state');
  mkdirSync(folder);
  return folder;
}

test('what is pending outlives the session, one row each', () => {
  const folder = stateFolder();
  {
    using store = TreeStore.open(folder, { journal: false });
    const { pending } = new Records(store);
    store.transaction(() => {
      for (const id of [2, 11, 1]) pending.add(id);
      pending.add(11);
      expect([pending.delete(2), pending.delete(2)]).toEqual([true, false]);
    });
    store.transaction(() => pending.add(3));
  }
  using store = TreeStore.open(folder, { journal: false });
  const { pending } = new Records(store);
  expect([...pending].sort((a, b) => a - b)).toEqual([1, 3, 11]);
  expect([pending.size, pending.has(11), pending.has(2)]).toEqual([3, true, false]);
  store.transaction(() => pending.clear());
  expect([...new Records(store).pending]).toEqual([]);
});

test('a replica to which an older fam owed contents lacks something of which no cursor speaks', () => {
  using store = TreeStore.open(stateFolder(), { journal: false });
  const old = { sourceId: 's', epoch: 1, reconciled: true, cursor: 7, deferred: [] };
  store.setMeta('replica/memory', { ...old, pending: [] });
  expect(new Records(store).memory()).toMatchObject({ cursor: 7, lackingSince: 0 });
  store.setMeta('replica/memory', { ...old, pending: [{ id: 5, contentSeq: 0 }] });
  expect(new Records(store).memory()).toMatchObject({ cursor: 7, lackingSince: 8 });
});
