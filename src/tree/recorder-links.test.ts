// Files with several names: what is done under a name that the records do not have is seen all the same.

import {
  appendFileSync,
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { setNote } from '../../test/support/set-note.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { AT_FDCWD } from '../kernel/constants.ts';
import * as sys from '../kernel/sys.ts';

describe.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s: what is done to a file under',
  (monitor) => {
    test.each([
      ['written', (path: string) => appendFileSync(path, 'more')],
      ['given an extended attribute', setNote],
    ])('a name that it has for a moment only: %s', (_, act) => {
      using tree = RecordedTree.settled({ monitor }, (at) => {
        mkdirSync(at('a/b'), { recursive: true });
        writeFileSync(at('c'), 'x');
        linkSync(at('c'), at('a/b/f'));
      });
      const before = tree.recordOf('c')?.seq ?? 0;
      sys.check(sys.renameat2(AT_FDCWD, tree.at('c'), AT_FDCWD, tree.at('a'), sys.RENAME_EXCHANGE), 'rename');
      act(tree.at('a'));
      rmSync(tree.at('a'));
      tree.settle();
      expect(tree.differences()).toEqual([]);
      expect(tree.recordOf('c/b/f')?.seq).toBeGreaterThan(before);
    });

    test('a name outside of the tree', () => {
      using tree = RecordedTree.settled({ monitor }, (at) => {
        writeFileSync(at('f'), 'x');
        linkSync(at('f'), at('../outer'));
      });
      const outer = join(tree.base, 'outer');
      appendFileSync(outer, 'more');
      tree.settle();
      expect(tree.differences()).toEqual([]);
      chmodSync(outer, 0o600);
      tree.settle();
      expect(tree.differences()).toEqual([]);
      const before = tree.recordOf('f')?.seq ?? 0;
      setNote(outer);
      tree.settle();
      expect(tree.recordOf('f')?.seq).toBeGreaterThan(before);
      renameSync(tree.at('f'), tree.at('g'));
      tree.settle();
      appendFileSync(outer, 'once more');
      tree.settle();
      expect(tree.differences()).toEqual([]);
    });

    test('a name outside of the tree, where it is a symbolic link', () => {
      using tree = RecordedTree.settled({ monitor }, (at) => {
        symlinkSync('nowhere', at('link'));
        linkSync(at('link'), at('../outer'));
      });
      lutimesSync(join(tree.base, 'outer'), 1, 1);
      tree.settle();
      expect(tree.differences()).toEqual([]);
    });

    test('a name outside of the tree that it was given while nobody watched', () => {
      using tree = RecordedTree.settled({ monitor }, (at) => writeFileSync(at('f'), 'x'));
      tree.stop();
      const outer = join(tree.base, 'outer');
      linkSync(tree.at('f'), outer);
      tree.start();
      tree.settle();
      appendFileSync(outer, 'more');
      tree.settle();
      expect(tree.differences()).toEqual([]);
    });

    test('a name that has left the tree with its folder', () => {
      using tree = RecordedTree.settled({ monitor }, (at) => {
        mkdirSync(at('folder'));
        writeFileSync(at('f'), 'x');
        linkSync(at('f'), at('folder/g'));
      });
      const outer = join(tree.base, 'folder');
      renameSync(tree.at('folder'), outer);
      tree.settle();
      appendFileSync(join(outer, 'g'), 'more');
      tree.settle();
      expect(tree.differences()).toEqual([]);
    });

    test('a name of which there is no sign but its events, where the kernel tells of the file itself', () => {
      using tree = RecordedTree.settled({ monitor }, (at) => writeFileSync(at('f'), 'x'));
      linkSync(tree.at('f'), tree.at('passing'));
      appendFileSync(tree.at('passing'), 'more');
      rmSync(tree.at('passing'));
      tree.settle();
      const missed = ['/f: size is 5, recorded 1', expect.stringContaining('/f: mtimeNs')];
      expect(tree.differences()).toEqual(monitor === 'fanotify' ? [] : missed);
    });

    test('the names that it has left, once those outside are gone, is told once', () => {
      using tree = RecordedTree.settled({ monitor }, (at) => {
        writeFileSync(at('f'), 'x');
        linkSync(at('f'), at('../outer'));
        linkSync(at('f'), at('g'));
      });
      rmSync(join(tree.base, 'outer'));
      tree.settle();
      appendFileSync(tree.at('g'), 'more');
      const events = tree.source.read();
      expect(events.map((event) => (event.type === 'name' ? event.name : event.type))).not.toContain('f');
      tree.recorder.feed(events);
      tree.settle();
      expect(tree.differences()).toEqual([]);
    });
  },
);
