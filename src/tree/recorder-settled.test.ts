import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
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
  tree.openLongRound();
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

test('TreeStore.isMoving is true while a folder that has lost its name may live on, and what happens in it is not lost', () => {
  using tree = new RecordedTree();
  const at = (path: string): string => join(tree.root, path);
  mkdirSync(at('folder'));
  writeFileSync(at('folder/file'), 'x');
  tree.start();
  tree.settle();
  expect(tree.store.isMoving).toBe(false);
  tree.openLongRound();
  renameSync(at('folder'), join(tree.base, 'aside'));
  mkdirSync(at('folder'));
  tree.turn();
  chmodSync(join(tree.base, 'aside/file'), 0o600);
  tree.turn();
  expect(tree.recorder.busy).toBe(true);
  tree.store.refresh();
  expect([tree.store.isMoving, tree.recorder.isMoving]).toEqual([true, true]);
  renameSync(join(tree.base, 'aside'), at('again'));
  tree.settle();
  tree.store.refresh();
  expect([tree.store.isMoving, tree.recorder.isMoving]).toEqual([false, false]);
  expect(tree.differences()).toEqual([]);
});

test('TreeStore.isMoving: a folder that was renamed is under its new name at once, also in the middle of a long round', () => {
  using tree = new RecordedTree();
  mkdirSync(join(tree.root, 'folder'));
  tree.start();
  tree.settle();
  tree.openLongRound();
  renameSync(join(tree.root, 'folder'), join(tree.root, 'renamed'));
  tree.turn();
  expect(tree.recorder.busy).toBe(true);
  tree.store.refresh();
  expect(tree.store.isMoving).toBe(false);
  tree.settle();
  expect(tree.differences()).toEqual([]);
});
