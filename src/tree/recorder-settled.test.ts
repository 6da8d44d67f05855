import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';

test('TreeStore.isSettled is false while an inode that has lost its name may still be found under another', () => {
  using tree = new RecordedTree();
  const at = (path: string): string => join(tree.root, path);
  mkdirSync(at('folder'));
  tree.start();
  tree.settle();
  expect(tree.store.isSettled).toBe(true);
  // A folder whose listing takes several steps keeps the round open.
  mkdirSync(join(tree.base, 'large'));
  for (let n = 0; n < 6000; n++) writeFileSync(join(tree.base, 'large', String(n)), '');
  renameSync(join(tree.base, 'large'), at('large'));
  tree.turn();
  renameSync(at('folder'), join(tree.base, 'aside'));
  mkdirSync(at('folder'));
  tree.turn();
  expect(tree.recorder.busy).toBe(true);
  tree.store.refresh();
  expect(tree.store.isSettled).toBe(false);
  renameSync(join(tree.base, 'aside'), at('again'));
  tree.settle();
  tree.store.refresh();
  expect(tree.store.isSettled).toBe(true);
  expect(tree.differences()).toEqual([]);
});
