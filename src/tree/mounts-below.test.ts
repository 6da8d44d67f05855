// File systems that are mounted below the root: part of the tree, kept as they are while they are away, known again when they return.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { whyNotMountable } from '../../test/contract/filesystems.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { rootId } from '../core/attributes.ts';

const reason = whyNotMountable('ext4');

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

function makeImage(path: string): string {
  writeFileSync(path, '');
  truncateSync(path, 4 << 20);
  run('mkfs.ext4', '-q', '-F', '-O', '^has_journal', path);
  return path;
}

/** Takes the device number that is free now, so that the next mount gets another one. */
function takeLoopDevice(image: string): void {
  const device = run('losetup', '-f', '--show', image);
  onTestFinished(() => {
    run('losetup', '-d', device);
  });
}

describe.skipIf(reason !== undefined).each(['fanotify', 'inotify'] as const)(
  `a file system below the root, by %s${reason === undefined ? '' : ` (${reason})`}`,
  (monitor) => {
    /** A tree with `below/page` on a file system of its own. */
    function mounted() {
      const tree = new RecordedTree({ monitor });
      const point = join(tree.root, 'below');
      const image = makeImage(join(tree.base, 'image'));
      mkdirSync(point);
      writeFileSync(join(tree.root, 'beside'), 'beside');
      const mount = () => run('mount', '-o', 'loop', image, point);
      const unmount = () => run('umount', point);
      onTestFinished(() => {
        tree.stop();
        try {
          unmount();
        } catch {
          // It was unmounted by the test.
        }
        tree[Symbol.dispose]();
      });
      mount();
      mkdirSync(join(point, 'folder'));
      writeFileSync(join(point, 'folder/page'), 'one');
      return { tree, point, image, mount, unmount };
    }

    const heard = (tree: RecordedTree, type: string) =>
      waitFor(
        () => {
          tree.turn();
          return tree.conditions.some((condition) => condition.type === type);
        },
        { describe: () => `"${type}" among ${JSON.stringify(tree.conditions)}`, intervalMs: 5 },
      );

    test('is recorded, loses nothing while it is unmounted, and goes on when it is back', async () => {
      const { tree, point, mount, unmount } = mounted();
      tree.start();
      tree.settle();
      expect(tree.differences()).toEqual([]);
      const page = tree.idOf('below/folder/page');
      expect(page).toBeGreaterThan(0);

      writeFileSync(join(point, 'folder/live'), 'two');
      tree.settle();
      expect(tree.idOf('below/folder/live')).toBeGreaterThan(0);

      unmount();
      await heard(tree, 'unmounted');
      // Something else happens meanwhile, also at the mount point itself.
      writeFileSync(join(tree.root, 'beside'), 'changed');
      tree.recorder.rescan(rootId);
      tree.settle();
      expect(tree.idOf('below/folder/page')).toBe(page);

      mount();
      await heard(tree, 'mounted');
      writeFileSync(join(point, 'folder/back'), 'three');
      unlinkSync(join(point, 'folder/live'));
      renameSync(join(point, 'folder/page'), join(point, 'moved'));
      tree.settle();
      expect(tree.differences()).toEqual([]);
      expect(tree.idOf('below/moved')).toBe(page);
    });

    test.each([
      ['renamed', (tree: RecordedTree) => renameSync(tree.at('a'), tree.at('b'))],
      ['moved into the tree', (tree: RecordedTree) => renameSync(join(tree.base, 'outside'), tree.at('b'))],
    ])('is found in a folder that has just been %s', (_, move) => {
      using tree = RecordedTree.settled({ monitor }, (at) => {
        mkdirSync(at('a/m'), { recursive: true });
        mkdirSync(at('../outside/m'), { recursive: true });
      });
      move(tree);
      run('mount', '-t', 'tmpfs', 'tmpfs', tree.at('b/m'));
      try {
        writeFileSync(tree.at('b/m/inside'), 'x');
        tree.settle();
        expect(tree.differences()).toEqual([]);
        writeFileSync(tree.at('b/m/later'), 'x');
        tree.settle();
        expect(tree.differences()).toEqual([]);
        tree.stop();
      } finally {
        run('umount', tree.at('b/m'));
      }
    });

    test('keeps its ids under another device number, also after a restart', async () => {
      const { tree, image, mount, unmount } = mounted();
      tree.start();
      tree.settle();
      const page = tree.idOf('below/folder/page');
      const { head } = tree.store;
      tree.stop();
      tree.provenAll();
      unmount();
      takeLoopDevice(makeImage(`${image}-2`));
      mount();
      tree.start();
      tree.settle();
      expect(tree.idOf('below/folder/page')).toBe(page);
      expect(tree.differences()).toEqual([]);
      // Nothing has changed that a replica would have to be told of.
      expect(tree.store.head).toBe(head);
    });

    test('that is away at a start is kept, and said to be', () => {
      const { tree, point, unmount } = mounted();
      tree.start();
      tree.settle();
      const page = tree.idOf('below/folder/page');
      tree.stop();
      unmount();
      expect(readdirSync(point)).toEqual([]);
      tree.start();
      tree.settle();
      expect(tree.idOf('below/folder/page')).toBe(page);
      expect(tree.problems).toContainEqual({ path: 'below', action: 'read', code: 'unmounted' });
    });
  },
);

describe.skipIf(whyNotMountable('tmpfs') !== undefined).each(['fanotify', 'inotify'] as const)(
  'a folder that is in the tree twice, by %s',
  (monitor) => {
    /** `a`, bound on `b` as well; the rest is up to the test. */
    function twice(isLater: boolean): RecordedTree {
      const tree = new RecordedTree({ monitor });
      onTestFinished(() => {
        tree.stop();
        for (const point of run('findmnt', '-Rrno', 'TARGET').split('\n').reverse())
          if (point.startsWith(`${tree.root}/`)) run('umount', '-l', point);
        tree[Symbol.dispose]();
      });
      for (const name of ['a/sub/deep', 'b', 'c']) mkdirSync(tree.at(name), { recursive: true });
      writeFileSync(tree.at('a/page'), 'one');
      writeFileSync(tree.at('a/sub/deep/page'), 'one');
      linkSync(tree.at('a/page'), tree.at('a/sub/link'));
      const bind = () => run('mount', '--bind', tree.at('a'), tree.at('b'));
      if (!isLater) bind();
      tree.start();
      tree.settle();
      if (isLater) bind();
      tree.settle();
      expect(tree.differences()).toEqual([]);
      return tree;
    }

    test.each([
      ['from the start', false],
      ['from later on', true],
    ])('is recorded in both places, %s', (_, isLater) => {
      const tree = twice(isLater);
      const first = tree.idOf('a/sub/deep/page');
      const second = tree.idOf('b/sub/deep/page');
      expect(first !== second && first > 0 && second > 0).toBe(true);
      expect(tree.idOf('b/page')).toBe(tree.idOf('b/sub/link'));
      const steps: (() => void)[] = [
        () => writeFileSync(tree.at('a/sub/deep/page'), 'another'),
        () => writeFileSync(tree.at('b/new'), 'x'),
        () => renameSync(tree.at('a/sub'), tree.at('a/moved')),
        () => mkdirSync(tree.at('b/moved/made/in/it'), { recursive: true }),
        () => writeFileSync(tree.at('a/moved/made/in/it/file'), 'x'),
        () => renameSync(tree.at('b/moved/made'), tree.at('b/made')),
        () => chmodSync(tree.at('a/made/in'), 0o700),
        () => unlinkSync(tree.at('b/page')),
        // Out of it, and into it.
        () => renameSync(tree.at('a/moved'), tree.at('c/moved')),
        () => renameSync(tree.at('c/moved'), tree.at('a/back')),
        () => rmSync(tree.at('b/back'), { recursive: true }),
      ];
      for (const step of steps) {
        const before = tree.store.head;
        step();
        tree.settle();
        expect(tree.differences()).toEqual([]);
        expect(tree.store.head).toBeGreaterThan(before + 1);
      }
    });

    test('keeps its ids, and goes on after a restart', () => {
      const tree = twice(false);
      const ids = ['a', 'b', 'a/sub/deep/page', 'b/sub/deep/page'].map((path) => tree.idOf(path));
      const { head } = tree.store;
      tree.stop();
      tree.provenAll();
      tree.start();
      tree.settle();
      expect(tree.store.head).toBe(head);
      writeFileSync(tree.at('a/sub/new'), 'x');
      tree.settle();
      expect(tree.differences()).toEqual([]);
      expect(['a', 'b', 'a/sub/deep/page', 'b/sub/deep/page'].map((path) => tree.idOf(path))).toEqual(ids);
    });

    test('is kept where it was unmounted, and recorded where it is left', () => {
      const tree = twice(true);
      const kept = tree.idOf('b/sub/deep/page');
      run('umount', tree.at('b'));
      writeFileSync(tree.at('a/sub/deep/page'), 'another');
      writeFileSync(tree.at('a/new'), 'x');
      tree.settle();
      expect(tree.problems).toContainEqual({ path: 'b', action: 'read', code: 'unmounted' });
      expect(tree.idOf('b/sub/deep/page')).toBe(kept);
      expect(tree.recordOf('a/sub/deep/page')?.size).toBe(7);
      expect(tree.idOf('a/new')).toBeGreaterThan(0);
      run('mount', '--bind', tree.at('a'), tree.at('b'));
      tree.settle();
      expect(tree.differences()).toEqual([]);
      expect(tree.idOf('b/sub/deep/page')).toBe(kept);
    });

    test('may be the tree, or the folder above it, below itself', () => {
      const tree = twice(false);
      for (const [from, to] of [
        [tree.root, 'c'],
        [tree.base, 'a/sub/deep'],
      ] as const)
        run('mount', '--bind', from, tree.at(to));
      tree.settle();
      expect(tree.differences().filter((line) => !line.includes('/state'))).toEqual([]);
      writeFileSync(tree.at('a/sub/new'), 'x');
      tree.settle();
      for (const path of ['a/sub/new', 'b/sub/new', 'c/a/sub/new', 'a/sub/deep/root/a/sub/new'])
        expect(tree.idOf(path)).toBeGreaterThan(0);
    });

    test('that is bound on itself is in it once', () => {
      const tree = twice(true);
      const before = tree.idOf('a/sub/deep');
      run('mount', '--bind', tree.at('a/sub'), tree.at('a/sub'));
      writeFileSync(tree.at('a/sub/deep/page'), 'more');
      tree.settle();
      expect(tree.differences()).toEqual([]);
      expect(tree.idOf('a/sub/deep')).toBe(before);
    });
  },
);

describe.skipIf(whyNotMountable('tmpfs') !== undefined).each(['fanotify', 'inotify'] as const)(
  'a file that is mounted over a file of the tree, by %s',
  (monitor) => {
    test.each([
      ['from elsewhere', '../outside'],
      ['of the tree itself', 'inside'],
    ])('is recorded when it comes, when it is written to, and when it goes: one %s', (_, from) => {
      using tree = RecordedTree.settled({ monitor }, (at) => {
        mkdirSync(at('sub'));
        for (const path of [from, 'sub/file']) writeFileSync(at(path), 'x');
      });
      const seen = (size: number, also: () => void = () => {}): void => {
        also();
        tree.settle();
        expect(tree.differences()).toEqual([]);
        expect(tree.recordOf('sub/file')?.size).toBe(size);
      };
      writeFileSync(tree.at(from), 'another');
      tree.settle();
      const covered = tree.recordOf('sub/file');
      run('mount', '--bind', tree.at(from), tree.at('sub/file'));
      try {
        seen(7);
        const before = tree.recordOf('sub/file')?.contentSeq ?? 0;
        seen(7, () => writeFileSync(tree.at('sub/file'), 'Another'));
        expect(tree.recordOf('sub/file')?.contentSeq).toBeGreaterThan(before);
        seen(10, () => writeFileSync(tree.at(from), 'once again'));
        tree.stop();
        writeFileSync(tree.at(from), 'while away');
        tree.start();
        seen(10);
        seen(12, () => writeFileSync(tree.at(from), 'from then on'));
      } finally {
        run('umount', tree.at('sub/file'));
      }
      seen(1);
      expect(tree.recordOf('sub/file')?.inoLow).toBe(covered?.inoLow);
      seen(1, () => writeFileSync(tree.at(from), 'elsewhere'));
    });
  },
);
