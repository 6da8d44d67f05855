// File systems that are mounted below a watched root, in this thread: a test decides when what has happened is looked at.

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { mountFileSystem, whyNotMountable } from '../../test/contract/filesystems.ts';
import { SteppedWatch } from '../../test/support/stepped-watch.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import type { Name } from '../core/name.ts';
import { InterestFilter } from './interest.ts';

const reason = whyNotMountable('tmpfs');

/** Unmounted with the test, after the watch was closed. */
function mountOn(point: string, ...options: string[]): void {
  execFileSync('mount', [...(options.length === 0 ? ['-t', 'tmpfs', 'tmpfs'] : options), point]);
  onTestFinished(() => void execFileSync('umount', ['-l', point]));
}

/** Mounts a file system on b/m before anybody has looked, and expects that this is told, and what is written there from then on. */
function expectFoundInB(watch: SteppedWatch, root: string, ...told: string[]): void {
  const point = join(root, 'b', 'm');
  mountOn(point);
  writeFileSync(join(point, 'inside'), '');
  watch.untilTold(...told);
  writeFileSync(join(point, 'later'), '');
  watch.untilTold('changed b/m/later');
}

describe.skipIf(reason !== undefined).each(['fanotify', 'inotify'] as const)(
  `a file system below a watched root, by %s${reason === undefined ? '' : ` (${reason})`}`,
  (monitor) => {
    test('is found in a folder that has just been renamed', () => {
      const root = tempFolder();
      mkdirSync(join(root, 'a', 'm'), { recursive: true });
      const watch = new SteppedWatch(root, { monitor });
      renameSync(join(root, 'a'), join(root, 'b'));
      expectFoundInB(watch, root, 'moved a -> b', 'rescan b/m', 'created b/m/inside');
    });

    test('goes on to be told of when another one has taken its place before anybody looked', () => {
      const root = tempFolder();
      const point = join(root, 'm');
      mkdirSync(point);
      mountOn(point);
      writeFileSync(join(point, 'former'), '');
      const watch = new SteppedWatch(root, { monitor });
      execFileSync('umount', [point]);
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', point]);
      writeFileSync(join(point, 'inside'), '');
      watch.untilTold('deleted m/former', 'created m/inside');
      writeFileSync(join(point, 'later'), '');
      watch.untilTold('changed m/later');
    });

    test('is found in a folder that has just come into the tree', () => {
      const top = tempFolder();
      const root = join(top, 'root');
      mkdirSync(root);
      mkdirSync(join(top, 'outside', 'm'), { recursive: true });
      const watch = new SteppedWatch(root, { monitor });
      renameSync(join(top, 'outside'), join(root, 'b'));
      expectFoundInB(watch, root, 'created b', 'created b/m', 'created b/m/inside');
    });
  },
);

describe.skipIf(reason !== undefined).each(['fanotify', 'inotify'] as const)(
  `a folder that is in a watched tree twice, by %s${reason === undefined ? '' : ` (${reason})`}`,
  (monitor) => {
    function twice(isLater: boolean): { root: string; watch: SteppedWatch } {
      const root = tempFolder();
      for (const name of ['a/sub', 'b', 'c']) mkdirSync(join(root, name), { recursive: true });
      writeFileSync(join(root, 'a/sub/page'), '');
      if (!isLater) mountOn(join(root, 'b'), '--bind', join(root, 'a'));
      const watch = new SteppedWatch(root, { monitor });
      if (isLater) {
        mountOn(join(root, 'b'), '--bind', join(root, 'a'));
        watch.untilTold('rescan b', 'created b/sub', 'changed b/sub/page');
      }
      watch.settle();
      watch.forget();
      return { root, watch };
    }

    function told(watch: SteppedWatch): string[] {
      watch.settle();
      const lines = [...watch.lines].sort();
      watch.forget();
      return lines;
    }

    test.each([
      ['from the start', false],
      ['from later on', true],
    ])('is told of under both of its paths, %s', (_, isLater) => {
      const { root, watch } = twice(isLater);
      writeFileSync(join(root, 'a/one'), '');
      writeFileSync(join(root, 'b/sub/two'), '');
      expect(told(watch)).toEqual([
        'changed a/one',
        'changed a/sub/two',
        'changed b/one',
        'changed b/sub/two',
        'created a/one',
        'created a/sub/two',
        'created b/one',
        'created b/sub/two',
      ]);
      // What nobody has taken yet is told again under the new name.
      const moves = () => told(watch).filter((line) => !line.startsWith('changed'));
      renameSync(join(root, 'a/sub/page'), join(root, 'a/page'));
      expect(moves()).toEqual(['moved a/sub/page -> a/page', 'moved b/sub/page -> b/page']);
      mkdirSync(join(root, 'b/new/deep'), { recursive: true });
      watch.settle();
      watch.forget();
      writeFileSync(join(root, 'a/new/deep/file'), '');
      expect(told(watch)).toEqual([
        'changed a/new/deep/file',
        'changed b/new/deep/file',
        'created a/new/deep/file',
        'created b/new/deep/file',
      ]);
      renameSync(join(root, 'a/new'), join(root, 'a/old'));
      expect(moves()).toEqual(['moved a/new -> a/old', 'moved b/new -> b/old']);
      renameSync(join(root, 'a/old'), join(root, 'c/old'));
      expect(moves()).toEqual(['deleted b/old', 'moved a/old -> c/old']);
      writeFileSync(join(root, 'c/old/deep/file'), 'x');
      expect(told(watch)).toEqual(['changed c/old/deep/file']);
    });

    test.each([false, true])(
      'is told of under the one that is left when the other is unmounted',
      (isLater) => {
        const { root, watch } = twice(isLater);
        execFileSync('umount', [join(root, 'b')]);
        watch.untilTold('rescan b', 'deleted b/sub');
        watch.settle();
        watch.forget();
        writeFileSync(join(root, 'a/sub/page'), 'x');
        writeFileSync(join(root, 'a/one'), '');
        writeFileSync(join(root, 'b/own'), '');
        expect(told(watch)).toEqual([
          'changed a/one',
          'changed a/sub/page',
          'changed b/own',
          'created a/one',
          'created b/own',
        ]);
        execFileSync('mount', ['--bind', join(root, 'a'), join(root, 'b')]);
        watch.untilTold('deleted b/own', 'created b/one');
      },
    );

    test('may be the root, or the folder above it, below itself', () => {
      const top = tempFolder();
      const root = join(top, 'root');
      for (const name of ['sub', 'self', 'above']) mkdirSync(join(root, name), { recursive: true });
      mountOn(join(root, 'self'), '--bind', root);
      mountOn(join(root, 'above'), '--bind', top);
      const watch = new SteppedWatch(root, { monitor });
      writeFileSync(join(root, 'sub/file'), '');
      expect(told(watch).filter((line) => line.startsWith('created'))).toEqual([
        'created above/root/sub/file',
        'created self/sub/file',
        'created sub/file',
      ]);
      writeFileSync(join(top, 'beside'), '');
      expect(told(watch)).toEqual(['changed above/beside', 'created above/beside']);
      renameSync(root, join(top, 'gone'));
      onTestFinished(() => renameSync(join(top, 'gone'), root));
      watch.untilTold('deleted .');
    });
  },
);

describe.skipIf(reason !== undefined).each(['fanotify', 'inotify'] as const)(
  `a file that is mounted over a file of a watched tree, by %s${reason === undefined ? '' : ` (${reason})`}`,
  (monitor) => {
    function tree(): { root: string; other: string; point: string } {
      const root = tempFolder();
      const other = join(tempFolder(), 'other');
      mkdirSync(join(root, 'sub'));
      const point = join(root, 'sub/file');
      for (const path of [other, point]) writeFileSync(path, 'x');
      return { root, other, point };
    }

    function told(watch: SteppedWatch): string[] {
      watch.settle();
      const lines = [...watch.lines].sort();
      watch.forget();
      return lines;
    }

    test('is told as changed when it comes, when it is written to, and when it goes', () => {
      const { root, other, point } = tree();
      const watch = new SteppedWatch(root, { monitor });
      execFileSync('mount', ['--bind', other, point]);
      onTestFinished(() => void spawnSync('umount', ['-l', point]));
      watch.untilTold('changed sub/file');
      watch.settle();
      watch.forget();
      writeFileSync(point, 'through the mount');
      expect(told(watch)).toEqual(['changed sub/file']);
      writeFileSync(other, 'by its own name');
      expect(told(watch)).toEqual(['changed sub/file']);
      chmodSync(other, 0o600);
      expect(told(watch)).toEqual(['attributes sub/file']);
      execFileSync('umount', [point]);
      watch.untilTold('changed sub/file');
      watch.settle();
      watch.forget();
      writeFileSync(other, 'not of the tree any more');
      expect(told(watch)).toEqual([]);
    });

    test('was there before, and lies in the tree itself', () => {
      const { root, point } = tree();
      const inner = join(root, 'inner');
      writeFileSync(inner, '');
      mountOn(point, '--bind', inner);
      const watch = new SteppedWatch(root, { monitor });
      writeFileSync(inner, 'x');
      expect(told(watch)).toEqual(['changed inner', 'changed sub/file']);
      renameSync(join(root, 'sub'), join(root, 'moved'));
      onTestFinished(() => renameSync(join(root, 'moved'), join(root, 'sub')));
      writeFileSync(inner, 'xx');
      // Its folder is not known by that name when its event is read.
      const lines = new Set(told(watch).filter((line) => !line.startsWith('attributes')));
      expect([...lines]).toEqual(['changed inner', 'changed moved/file', 'moved sub -> moved']);
      writeFileSync(inner, 'xxx');
      expect(told(watch)).toEqual(['changed inner', 'changed moved/file']);
    });

    test('is told where a directory is watched alone, or the file itself', () => {
      const { root, other, point } = tree();
      for (const names of [undefined, ['file' as Name]]) {
        const filter = new InterestFilter({ recursive: false, names, filter: [] });
        const watch = new SteppedWatch(join(root, 'sub'), { monitor, filter });
        execFileSync('mount', ['--bind', other, point]);
        watch.untilTold('changed file');
        watch.settle();
        watch.forget();
        writeFileSync(other, 'more');
        expect(told(watch)).toEqual(['changed file']);
        execFileSync('umount', [point]);
        watch.untilTold('changed file');
        watch.close();
      }
    });
  },
);

const noBtrfs = whyNotMountable('btrfs');
const noOverlay = whyNotMountable('overlay');

describe.each(['fanotify', 'inotify'] as const)(
  'directories that list other inode numbers than they have, by %s',
  (monitor) => {
    test.skipIf(noBtrfs !== undefined)(
      `btrfs subvolumes below a root that has none${noBtrfs === undefined ? '' : ` (skipped: ${noBtrfs})`}`,
      () => {
        const root = tempFolder();
        const btrfs = mountFileSystem('btrfs');
        onTestFinished(btrfs.unmount);
        // The first one is listed with the number that all of them have.
        for (const name of ['first', 'second', 'third']) {
          execFileSync('btrfs', ['subvolume', 'create', join(btrfs.path, name)]);
          mkdirSync(join(btrfs.path, name, 'folder'));
        }
        mkdirSync(join(root, 'm'));
        mountOn(join(root, 'm'), '--bind', btrfs.path);
        const watch = new SteppedWatch(root, { monitor });
        writeFileSync(join(root, 'm', 'second', 'file'), '');
        writeFileSync(join(root, 'm', 'third', 'folder', 'file'), '');
        watch.settle();
        expect(watch.lines.sort()).toEqual([
          'changed m/second/file',
          'changed m/third/folder/file',
          'created m/second/file',
          'created m/third/folder/file',
        ]);
      },
    );

    test.skipIf(noOverlay !== undefined)(
      `an overlay that is mounted later, with layers on two file systems${noOverlay === undefined ? '' : ` (skipped: ${noOverlay})`}`,
      () => {
        const root = tempFolder();
        const layers = tempFolder();
        for (const name of ['lower', 'upper']) {
          mkdirSync(join(layers, name));
          mountOn(join(layers, name));
        }
        for (const name of ['lower/l/deep', 'upper/u/u', 'upper/work'])
          mkdirSync(join(layers, name), { recursive: true });
        writeFileSync(join(layers, 'lower/l/file'), 'x');
        mkdirSync(join(root, 'm'));
        const watch = new SteppedWatch(root, { monitor });
        const options = `lowerdir=${layers}/lower,upperdir=${layers}/upper/u,workdir=${layers}/upper/work`;
        mountOn(join(root, 'm'), '-t', 'overlay', 'overlay', '-o', options);
        watch.untilTold('rescan m', 'created m/l/deep', 'changed m/l/file');
        watch.settle();
        watch.forget();
        chmodSync(join(root, 'm', 'l', 'file'), 0o600);
        writeFileSync(join(root, 'm', 'l', 'deep', 'new'), '');
        watch.settle();
        expect(watch.lines.filter((line) => !line.startsWith('attributes'))).toEqual([
          'created m/l/deep/new',
          'changed m/l/deep/new',
        ]);
      },
    );
  },
);
