// What moves while much else happens: found where the kernel has it, with all that was done to it, and waited for no longer than one round.

import { closeSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { setNote } from '../../test/support/set-note.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { AT_FDCWD } from '../kernel/constants.ts';
import type { KernelEvent } from '../kernel/event-source.ts';
import * as sys from '../kernel/sys.ts';

/** The move to `last` is not told, or not yet. */
const unheard =
  (last: string) =>
  (event: KernelEvent): boolean =>
    !(event.type === 'rename' && event.toName === last) && !(event.type === 'name' && event.name === last);

describe.each(['fanotify', 'inotify'] as const)('Recorder with %s', (monitor) => {
  test('a folder that has moved on since its move was told is the same folder where it is now', () => {
    using tree = RecordedTree.settled({ monitor }, (at) => {
      mkdirSync(at('a/inside'), { recursive: true });
      writeFileSync(at('a/inside/file'), 'x');
    });
    const ids = [tree.idOf('a'), tree.idOf('a/inside/file')];
    renameSync(tree.at('a'), tree.at('b'));
    renameSync(tree.at('b'), tree.at('c'));
    tree.settle(unheard('c'));
    expect(tree.differences()).toEqual([]);
    expect([tree.idOf('c'), tree.idOf('c/inside/file')]).toEqual(ids);
  });

  test('a folder has no more the name under which a file is being uploaded since', () => {
    using tree = RecordedTree.settled({ monitor }, (at) => {
      mkdirSync(at('a'));
      writeFileSync(at('a/file'), 'x');
    });
    const id = tree.idOf('a');
    const upload = openSync(tree.at('upload'), 'wx');
    try {
      writeSync(upload, 'half');
      tree.record();
      renameSync(tree.at('a'), tree.at('b'));
      renameSync(tree.at('upload'), tree.at('a'));
      tree.record();
      expect([tree.idOf('a'), tree.idOf('b')]).toEqual([0, id]);
      expect(tree.recordOf('b')?.links).toBe(1);
      renameSync(tree.at('b'), tree.at('c'));
      tree.record();
      expect([tree.idOf('b'), tree.idOf('c')]).toEqual([0, id]);
    } finally {
      closeSync(upload);
    }
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('what is removed in a folder while that is on its way is not there when it has arrived', () => {
    using tree = RecordedTree.settled({ monitor }, (at) => {
      mkdirSync(at('a'));
      writeFileSync(at('a/file'), 'x');
      writeFileSync(at('a/kept'), 'x');
    });
    const id = tree.idOf('a');
    renameSync(tree.at('a'), tree.at('b'));
    renameSync(tree.at('b'), tree.at('c'));
    rmSync(tree.at('c/file'));
    tree.settle(unheard('c'));
    expect(tree.differences()).toEqual([]);
    expect(tree.idOf('c')).toBe(id);
  });

  test('what is made in a folder while that is on its way is there when it has arrived', () => {
    using tree = RecordedTree.settled({ monitor }, (at) => mkdirSync(at('a')));
    renameSync(tree.at('a'), tree.at('b'));
    renameSync(tree.at('b'), tree.at('c'));
    writeFileSync(tree.at('c/file'), 'x');
    mkdirSync(tree.at('c/below'));
    writeFileSync(tree.at('c/below/file'), 'x');
    tree.settle(unheard('c'));
    expect(tree.differences()).toEqual([]);
  });

  test.each([
    ['file', 'at once', (path: string) => writeFileSync(path, 'x')],
    ['file', 'later', (path: string) => writeFileSync(path, 'x')],
    ['folder', 'at once', (path: string) => mkdirSync(path)],
    ['folder', 'later', (path: string) => mkdirSync(path)],
  ])(
    'what is done to a %s under a name that it has for a moment only, its next one being told %s',
    (_, told, make) => {
      using tree = RecordedTree.settled({ monitor }, (at) => {
        make(at('a'));
        mkdirSync(at('folder'));
      });
      const before = tree.recordOf('a')?.seq ?? 0;
      renameSync(tree.at('a'), tree.at('folder/b'));
      setNote(tree.at('folder/b'));
      if (told === 'later') tree.recorder.feed(tree.source.read());
      renameSync(tree.at('folder/b'), tree.at('c'));
      if (told === 'later') tree.recorder.step();
      tree.settle();
      expect(tree.recordOf('c')?.seq).toBeGreaterThan(before);
    },
  );

  test.each([
    ['file', (path: string) => writeFileSync(path, 'x')],
    ['folder', (path: string) => mkdirSync(path)],
  ])('what is done to a %s that leaves the tree and comes back at once', (_, make) => {
    using tree = RecordedTree.settled({ monitor }, (at) => make(at('a')));
    const before = tree.recordOf('a')?.seq ?? 0;
    const aside = join(tree.base, 'aside');
    renameSync(tree.at('a'), aside);
    setNote(aside);
    renameSync(aside, tree.at('b'));
    tree.settle();
    expect(tree.recordOf('b')?.seq).toBeGreaterThan(before);
  });

  test('what was done to a file that trades places with another one since', () => {
    using tree = RecordedTree.settled({ monitor }, (at) => {
      for (const name of ['a', 'b']) writeFileSync(at(name), name);
    });
    const before = tree.recordOf('a')?.seq ?? 0;
    setNote(tree.at('a'));
    sys.check(sys.renameat2(AT_FDCWD, tree.at('a'), AT_FDCWD, tree.at('b'), sys.RENAME_EXCHANGE), 'rename');
    tree.settle();
    expect(tree.recordOf('b')?.seq).toBeGreaterThan(before);
  });

  test('a folder on its way is waited for no longer than for what had been told when its round began', () => {
    using tree = RecordedTree.settled({ monitor }, (at) => mkdirSync(at('folder')));
    // Each takes longer to list than a step lasts.
    const aside = Array.from({ length: 24 }, (_, n) => join(tree.base, `aside-${n}`));
    for (const folder of aside) {
      mkdirSync(folder);
      for (let n = 0; n < 700; n++) writeFileSync(join(folder, String(n)), '');
    }
    tree.openLongRound();
    renameSync(tree.at('folder'), join(tree.base, 'away'));
    mkdirSync(tree.at('folder'));
    tree.turn();
    tree.store.refresh();
    expect(tree.store.isMoving).toBe(true);
    let waited = 0;
    for (const [n, folder] of aside.entries()) {
      renameSync(folder, tree.at(`more-${n}`));
      tree.turn();
      waited += tree.recorder.isMoving ? 1 : 0;
    }
    // The round that it began in lists 6,000 names.
    expect(waited).toBeLessThan(aside.length);
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });
});
