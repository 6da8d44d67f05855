// A comparison of everything that is overtaken by what happens meanwhile: in the smallest steps.

import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { whyNotMountable } from '../../test/contract/filesystems.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import type { Name } from '../core/name.ts';
import type { KernelEvent } from '../kernel/event-source.ts';

const reason = whyNotMountable('ext4');
/** Reads the kernel's queue. */
function hear(tree: RecordedTree): void {
  tree.recorder.feed(tree.source.read());
}

/** Steps until so many names have been compared. */
function compare(tree: RecordedTree, names: number): void {
  while (tree.recorder.scanned.files < names) tree.shortStep();
}

describe.each(['fanotify', 'inotify'] as const)('a comparison, by %s', (monitor) => {
  test('lists a folder that is between two places when its turn comes', () => {
    using tree = new RecordedTree({ monitor, base: tempFolder('fam-tree', '/dev/shm') });
    for (const name of ['done', 'large', 'moving/below']) mkdirSync(tree.at(name), { recursive: true });
    for (let n = 0; n < 600; n++) writeFileSync(tree.at(`large/${n}`), '');
    writeFileSync(tree.at('moving/below/page'), 'x');
    tree.start();
    compare(tree, 3 + 256);
    renameSync(tree.at('moving'), tree.at('done/moved'));
    mkdirSync(tree.at('moving'));
    const isOfMove = (event: KernelEvent): boolean =>
      (event.type === 'rename' && event.toName === 'moved') ||
      (event.type === 'name' && event.name === 'moved');
    const events = tree.source.read();
    tree.recorder.feed(events.filter((event) => !isOfMove(event)));
    while (tree.recorder.scanned.files < 3 + 600) tree.shortStep();
    for (let n = 0; n < 4; n++) tree.shortStep();
    tree.recorder.feed(events.filter(isOfMove));
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a folder that had been told of, and that the first scan finds at its next place, is told of again', () => {
    using tree = new RecordedTree({ monitor, base: tempFolder('fam-tree', '/dev/shm') });
    for (const name of ['a', 'z']) mkdirSync(tree.at(name));
    for (let n = 0; n < 600; n++) writeFileSync(tree.at(`z/${n}`), '');
    tree.start();
    // The root, and what is in it.
    compare(tree, 2);
    for (let n = 0; n < 4 && tree.recordOf('a')?.listed !== true; n++) tree.shortStep();
    mkdirSync(tree.at('a/new'));
    hear(tree);
    tree.shortStep();
    const told = tree.store.head;
    expect(tree.recordOf('a/new')).toBeDefined();
    expect(tree.recordOf('z')?.listed).toBe(false);
    // No event has told of it when the scan lists where it is.
    renameSync(tree.at('a/new'), tree.at('z/moved'));
    while (tree.recordOf('z/moved') === undefined) tree.shortStep();
    expect(tree.store.entry(tree.idOf('z'), 'moved' as Name)?.seq).toBeGreaterThan(told);
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('lists and watches a folder that comes back to where it was recorded when that has been listed without it', () => {
    using tree = RecordedTree.settled({ monitor, base: tempFolder('fam-tree', '/dev/shm') }, (at) => {
      for (const name of ['moving/below', 'z/deep']) mkdirSync(at(name), { recursive: true });
    });
    tree.stop();
    renameSync(tree.at('moving'), tree.at('z/deep/moved'));
    writeFileSync(tree.at('z/deep/moved/page'), 'x');
    tree.start();
    // The root and what is in it.
    compare(tree, 1);
    tree.shortStep();
    renameSync(tree.at('z/deep/moved'), tree.at('moving'));
    tree.settle();
    expect(tree.differences()).toEqual([]);
    writeFileSync(tree.at('moving/below/new'), 'x');
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  describe.skipIf(reason !== undefined)(
    `on another file system below the root${reason === undefined ? '' : ` (${reason})`}`,
    () => {
      /** A tree that is recorded, and how to reach `mounted` in it. */
      function mounted(prepare: (at: (path: string) => string) => void) {
        const tree = new RecordedTree({ monitor, base: tempFolder('fam-tree', '/dev/shm') });
        const point = tree.at('mounted');
        const at = (path: string): string => join(point, path);
        mkdirSync(point);
        execFileSync('mount', ['-t', 'tmpfs', 'none', point]);
        onTestFinished(() => {
          tree.stop();
          execFileSync('umount', [point]);
        });
        prepare(at);
        tree.start();
        tree.settle();
        tree.stop();
        return { tree, at };
      }

      test('a new folder that is taken away while it is listed is waited for no longer', () => {
        const { tree, at } = mounted((path) => mkdirSync(path('above')));
        tree.start();
        tree.settle();
        mkdirSync(at('aside'));
        // More names than are compared at a time.
        for (let n = 0; n < 600; n++) writeFileSync(at(`aside/${n}`), '');
        renameSync(at('aside'), at('above/new'));
        while (tree.idOf('mounted/above/new/0') === 0) {
          hear(tree);
          tree.shortStep();
        }
        expect(tree.recordOf('mounted/above/new')?.listed).toBe(false);
        rmSync(at('above'), { recursive: true });
        // Before anybody is told.
        tree.shortStep();
        tree.settle();
        expect(tree.differences()).toEqual([]);
      });

      test('reaches a folder that was on its way when its turn came, because of one above it', () => {
        const { tree, at } = mounted((path) => mkdirSync(path('a/b/c'), { recursive: true }));
        writeFileSync(at('a/b/page'), 'x');
        writeFileSync(at('a/b/c/page'), 'x');
        tree.start();
        // The root, what is mounted, and `a`.
        compare(tree, 3);
        renameSync(at('a'), at('z'));
        for (let n = 0; n < 3; n++) tree.shortStep();
        tree.settle();
        expect(tree.differences()).toEqual([]);
      });

      test('lists a new folder that came while another one was listed, which has moved since', () => {
        const { tree, at } = mounted((path) => {
          mkdirSync(path('large'));
          for (let n = 0; n < 600; n++) writeFileSync(path(`large/${n}`), '');
        });
        tree.start();
        // The root, what is mounted, and some of `large`.
        compare(tree, 2 + 256);
        mkdirSync(tree.at('new/below'), { recursive: true });
        hear(tree);
        renameSync(at('large'), at('moved'));
        tree.shortStep();
        tree.settle();
        expect(tree.differences()).toEqual([]);
      });
    },
  );
});
