// File systems that are mounted below the root: part of the tree, kept as they are while they are away, known again when they return.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
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
