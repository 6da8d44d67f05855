import { linkSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { setNote } from '../../test/support/set-note.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s keeps a name that went and came back before a long round was over',
  (monitor) => {
    using tree = RecordedTree.settled({ monitor }, (at) => {
      mkdirSync(at('folder/inside'), { recursive: true });
      writeFileSync(at('file'), 'x');
    });
    tree.openLongRound();
    renameSync(tree.at('folder'), join(tree.base, 'aside'));
    rmSync(tree.at('file'));
    tree.turn();
    expect(tree.recorder.busy).toBe(true);
    renameSync(join(tree.base, 'aside'), tree.at('folder'));
    writeFileSync(tree.at('file'), 'y');
    tree.turn();
    tree.settle();
    expect(tree.differences()).toEqual([]);
  },
);

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s: a change of a file whose name another one has before the round is over is seen under its other name',
  (monitor) => {
    using tree = RecordedTree.settled({ monitor }, (at) => {
      writeFileSync(at('file'), 'x');
      linkSync(at('file'), at('other'));
    });
    const before = tree.recordOf('other')?.seq ?? 0;
    tree.openLongRound();
    // Nothing but the event and the ctime, which a removed name changes as well, tells of it.
    setNote(tree.at('file'));
    rmSync(tree.at('file'));
    tree.turn();
    expect(tree.recorder.busy).toBe(true);
    symlinkSync('nowhere', tree.at('file'));
    tree.turn();
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.recordOf('other')?.seq).toBeGreaterThan(before);
  },
);
