// Folders that move while much else happens: found where the kernel has them, and waited for no longer than one round.

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import type { KernelEvent } from '../kernel/event-source.ts';

/** The move to `last` is not told, or not yet. */
const unheard =
  (last: string) =>
  (event: KernelEvent): boolean =>
    !(event.type === 'rename' && event.toName === last) && !(event.type === 'name' && event.name === last);

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s: a folder that has moved on since its move was told is the same folder where it is now',
  (monitor) => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    mkdirSync(at('a/inside'), { recursive: true });
    writeFileSync(at('a/inside/file'), 'x');
    tree.start();
    tree.settle();
    const ids = [tree.idOf('a'), tree.idOf('a/inside/file')];
    renameSync(at('a'), at('b'));
    renameSync(at('b'), at('c'));
    tree.settle(unheard('c'));
    expect(tree.differences()).toEqual([]);
    expect([tree.idOf('c'), tree.idOf('c/inside/file')]).toEqual(ids);
  },
);

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s: what is removed in a folder while that is on its way is not there when it has arrived',
  (monitor) => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    mkdirSync(at('a'));
    writeFileSync(at('a/file'), 'x');
    writeFileSync(at('a/kept'), 'x');
    tree.start();
    tree.settle();
    const id = tree.idOf('a');
    renameSync(at('a'), at('b'));
    renameSync(at('b'), at('c'));
    rmSync(at('c/file'));
    tree.settle(unheard('c'));
    expect(tree.differences()).toEqual([]);
    expect(tree.idOf('c')).toBe(id);
  },
);

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s: what is made in a folder while that is on its way is there when it has arrived',
  (monitor) => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    mkdirSync(at('a'));
    tree.start();
    tree.settle();
    renameSync(at('a'), at('b'));
    renameSync(at('b'), at('c'));
    writeFileSync(at('c/file'), 'x');
    mkdirSync(at('c/below'));
    writeFileSync(at('c/below/file'), 'x');
    tree.settle(unheard('c'));
    expect(tree.differences()).toEqual([]);
  },
);

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s: a folder on its way is waited for no longer than for what had been told when its round began',
  (monitor) => {
    using tree = new RecordedTree({ monitor });
    mkdirSync(join(tree.root, 'folder'));
    tree.start();
    tree.settle();
    // Each takes longer to list than a step lasts.
    const aside = Array.from({ length: 24 }, (_, n) => join(tree.base, `aside-${n}`));
    for (const folder of aside) {
      mkdirSync(folder);
      for (let n = 0; n < 700; n++) writeFileSync(join(folder, String(n)), '');
    }
    tree.openLongRound();
    renameSync(join(tree.root, 'folder'), join(tree.base, 'away'));
    mkdirSync(join(tree.root, 'folder'));
    tree.turn();
    tree.store.refresh();
    expect(tree.store.isMoving).toBe(true);
    let waited = 0;
    for (const [n, folder] of aside.entries()) {
      renameSync(folder, join(tree.root, `more-${n}`));
      tree.turn();
      waited += tree.recorder.isMoving ? 1 : 0;
    }
    // The round that it began in lists 6,000 names.
    expect(waited).toBeLessThan(aside.length);
    tree.settle();
    expect(tree.differences()).toEqual([]);
  },
);
