import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';

test('TreeStore.isSettled is false while an inode that has lost its name may still be found under another', () => {
  using tree = RecordedTree.settled({}, (at) => mkdirSync(at('folder')));
  expect(tree.store.isSettled).toBe(true);
  tree.openLongRound();
  renameSync(tree.at('folder'), join(tree.base, 'aside'));
  mkdirSync(tree.at('folder'));
  tree.turn();
  expect(tree.recorder.busy).toBe(true);
  tree.store.refresh();
  expect(tree.store.isSettled).toBe(false);
  renameSync(join(tree.base, 'aside'), tree.at('again'));
  tree.settle();
  tree.store.refresh();
  expect(tree.store.isSettled).toBe(true);
  expect(tree.differences()).toEqual([]);
});

test('TreeStore.isMoving is true while a folder that has lost its name may live on, and what happens in it is not lost', () => {
  using tree = RecordedTree.settled({}, (at) => {
    mkdirSync(at('folder'));
    writeFileSync(at('folder/file'), 'x');
  });
  expect(tree.store.isMoving).toBe(false);
  tree.openLongRound();
  renameSync(tree.at('folder'), join(tree.base, 'aside'));
  mkdirSync(tree.at('folder'));
  tree.turn();
  chmodSync(join(tree.base, 'aside/file'), 0o600);
  tree.turn();
  expect(tree.recorder.busy).toBe(true);
  tree.store.refresh();
  expect([tree.store.isMoving, tree.recorder.isMoving]).toEqual([true, true]);
  renameSync(join(tree.base, 'aside'), tree.at('again'));
  tree.settle();
  tree.store.refresh();
  expect([tree.store.isMoving, tree.recorder.isMoving]).toEqual([false, false]);
  expect(tree.differences()).toEqual([]);
});

test('TreeStore.isMoving: a folder that was renamed is under its new name at once, also in the middle of a long round', () => {
  using tree = RecordedTree.settled({}, (at) => mkdirSync(at('folder')));
  tree.openLongRound();
  renameSync(tree.at('folder'), tree.at('renamed'));
  tree.turn();
  expect(tree.recorder.busy).toBe(true);
  tree.store.refresh();
  expect(tree.store.isMoving).toBe(false);
  tree.settle();
  expect(tree.differences()).toEqual([]);
});
