// A directory that is found below itself, since one in between has moved and nobody has told yet.

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { mountFileSystem, whyNotMountable } from '../../test/contract/filesystems.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import type { KernelEvent } from '../kernel/event-source.ts';

/** On overlayfs directories cannot be found by handle. */
const whyNot = whyNotMountable('overlay');
if (whyNot !== undefined) console.warn(`no overlayfs can be mounted: ${whyNot}`);

const isMoveOfA = (event: KernelEvent): boolean => event.type === 'rename' && event.fromName === 'a';

describe.each([
  ['on overlayfs', true],
  ['where directories are found by handle', false],
])('Recorder with inotify, %s', (_title, onOverlay) => {
  /** `a/b` has become `b2`, which is not told, and `a` then `b2/a`, which is: `a` is in `b`, which is recorded in `a`. */
  function looped(): { readonly tree: RecordedTree; readonly ids: readonly number[] } {
    let base = tempFolder('fam-loop');
    if (onOverlay) {
      const { path, unmount } = mountFileSystem('overlay');
      onTestFinished(unmount);
      base = join(path, 'base');
      mkdirSync(base);
    }
    const tree = RecordedTree.settled({ monitor: 'inotify', base, trusted: true }, (at) => {
      mkdirSync(at('a/b'), { recursive: true });
      writeFileSync(at('a/b/file'), 'x');
    });
    onTestFinished(() => tree[Symbol.dispose]());
    const ids = ['a', 'a/b', 'a/b/file'].map((path) => tree.idOf(path));
    renameSync(tree.at('a/b'), tree.at('b2'));
    renameSync(tree.at('a'), tree.at('b2/a'));
    // A step has ten milliseconds: on a busy machine a round takes several.
    do tree.turn(isMoveOfA);
    while (tree.recorder.busy);
    return { tree, ids };
  }

  const testIf = test.skipIf(onOverlay && whyNot !== undefined);

  testIf('it is recorded where it is', () => {
    const { tree, ids } = looped();
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(['b2/a', 'b2', 'b2/file'].map((path) => tree.idOf(path))).toEqual(ids);
  });

  testIf('nobody is told anything as long as no way leads to it', () => {
    const { tree } = looped();
    tree.store.refresh();
    expect(tree.store.isMoving).toBe(tree.idOf('b2') === 0);
  });

  const goOn = (): void => {};
  const restart = (tree: RecordedTree): void => {
    tree.stop();
    tree.start();
  };
  testIf.each([
    ['', goOn],
    [', after a restart', restart],
  ])('it is forgotten when all of it has gone%s', (_name, meanwhile) => {
    const { tree } = looped();
    rmSync(tree.at('b2'), { recursive: true });
    meanwhile(tree);
    // Where it is found by handle, that was before it went.
    tree.settle(() => !onOverlay);
    expect(tree.differences()).toEqual([]);
    expect(tree.store.stats).toEqual({ inodes: 1, entries: 0 });
  });
});

/** All that has happened is told, but the move of `a`, which is the last, first; the rest while the records show what that has led to. */
function tellLastMoveFirst(tree: RecordedTree): void {
  const events: KernelEvent[] = [];
  do events.push(...tree.source.read());
  while (!events.some(isMoveOfA));
  tree.recorder.feed(events.filter(isMoveOfA));
  tree.recorder.step();
  tree.recorder.feed(events.filter((event) => !isMoveOfA(event)));
  tree.settle();
}

test('a directory that is found below itself, in one that is new, is recorded once', () => {
  using tree = RecordedTree.settled({ monitor: 'fanotify' }, (at) => {
    mkdirSync(at('a/b'), { recursive: true });
    writeFileSync(at('a/b/file'), 'x');
  });
  const ids = ['a', 'a/b', 'a/b/file'].map((path) => tree.idOf(path));
  mkdirSync(tree.at('new/inner'), { recursive: true });
  renameSync(tree.at('a/b'), tree.at('new/inner/b'));
  renameSync(tree.at('a'), tree.at('new/inner/b/a'));
  tellLastMoveFirst(tree);
  expect(tree.differences()).toEqual([]);
  expect(['new/inner/b/a', 'new/inner/b', 'new/inner/b/file'].map((path) => tree.idOf(path))).toEqual(ids);
});

test('a directory that is found below itself, in one that has just come to the name of another, keeps nobody waiting', () => {
  using tree = RecordedTree.settled({ monitor: 'fanotify' }, (at) => {
    for (const path of ['a/b', 'p', 'q']) mkdirSync(at(path), { recursive: true });
    writeFileSync(at('a/b/file'), 'x');
  });
  const ids = ['a', 'a/b', 'a/b/file', 'p', 'q'].map((path) => tree.idOf(path));
  renameSync(tree.at('a/b'), tree.at('q/b'));
  renameSync(tree.at('p'), tree.at('p2'));
  renameSync(tree.at('q'), tree.at('p'));
  renameSync(tree.at('a'), tree.at('p/b/a'));
  tellLastMoveFirst(tree);
  expect(tree.differences()).toEqual([]);
  expect(['p/b/a', 'p/b', 'p/b/file', 'p2', 'p'].map((path) => tree.idOf(path))).toEqual(ids);
});
