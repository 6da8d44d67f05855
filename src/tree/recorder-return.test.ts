import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s keeps a name that went and came back before a long round was over',
  (monitor) => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    mkdirSync(at('folder/inside'), { recursive: true });
    writeFileSync(at('file'), 'x');
    tree.start();
    tree.settle();
    // A folder whose listing takes several steps keeps the round open.
    mkdirSync(join(tree.base, 'large'));
    for (let n = 0; n < 6_000; n++) writeFileSync(join(tree.base, 'large', String(n)), '');
    renameSync(join(tree.base, 'large'), at('large'));
    tree.turn();
    renameSync(at('folder'), join(tree.base, 'aside'));
    rmSync(at('file'));
    tree.turn();
    expect(tree.recorder.busy).toBe(true);
    renameSync(join(tree.base, 'aside'), at('folder'));
    writeFileSync(at('file'), 'y');
    tree.turn();
    tree.settle();
    expect(tree.differences()).toEqual([]);
  },
);
