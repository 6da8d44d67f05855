// A kill takes along what the kernel had told and nobody had looked at yet: the next start's scan finds it (I8).

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { setNote } from '../../test/support/set-note.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { Hint } from '../kernel/event-source.ts';

describe.each(['fanotify', 'inotify'] as const)('Recorder with %s', (monitor) => {
  test.each(['file', 'folder'])('new attributes of a %s that was renamed since', (kind) => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    if (kind === 'file') writeFileSync(at('old'), 'x');
    else mkdirSync(at('old'));
    tree.start();
    tree.settle();
    const before = tree.recordOf('old')?.seq ?? 0;
    setNote(at('old'));
    renameSync(at('old'), at('new'));
    tree.settle(
      (event) => event.type === 'rename' || (event.type === 'name' && (event.hints & Hint.attributes) === 0),
    );
    expect(tree.recordOf('new')?.seq).toBe(before);
    tree.stop();
    tree.start();
    tree.settle();
    expect(tree.recordOf('new')?.seq).toBeGreaterThan(before);
  });

  test('a rename that was followed by quiet leaves nothing to compare', () => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    writeFileSync(at('old'), 'x');
    tree.start();
    tree.settle();
    const before = tree.recordOf('old')?.contentSeq ?? 0;
    renameSync(at('old'), at('new'));
    tree.settle();
    // Two more rounds.
    for (const other of ['a', 'b']) {
      writeFileSync(at(other), '');
      tree.settle();
    }
    tree.stop();
    tree.provenAll();
    tree.start();
    tree.settle();
    const after = tree.recordOf('new');
    expect(after?.contentSeq).toBe(before);
    expect(after?.doubtful).toBe(false);
  });

  test('a folder that was recorded under two names is shown under both by no later start', () => {
    using tree = new RecordedTree({ monitor, trusted: true, base: tempFolder('fam-tree', '/dev/shm') });
    const at = (path: string): string => join(tree.root, path);
    for (const name of ['0', 'x']) mkdirSync(at(name));
    // More names than a listing takes at a time: it is killed between the two.
    for (let n = 0; n < 6000; n++) writeFileSync(at(`file-${n}`), '');
    tree.start();
    tree.settle();
    const folder = tree.idOf('x');
    tree.stop();
    rmSync(at('0'), { recursive: true });
    renameSync(at('x'), at('0'));
    tree.start();
    while (tree.idOf('0') !== folder) tree.turn();
    tree.stop();
    tree.start();
    expect([tree.idOf('0'), tree.idOf('x')]).toEqual([folder, folder]);
    expect(tree.store.isMoving).toBe(true);
    tree.shortStep();
    expect(tree.store.isMoving || tree.idOf('x') !== folder).toBe(true);
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a folder that was recorded under two names, and has neither by the next start', () => {
    using tree = new RecordedTree({ monitor, trusted: true, base: tempFolder('fam-tree', '/dev/shm') });
    const at = (path: string): string => join(tree.root, path);
    const exchange = (one: string, other: string): void => {
      renameSync(at(one), at('aside'));
      renameSync(at(other), at(one));
      renameSync(at('aside'), at(other));
    };
    for (const name of ['0', 'x', 'y']) mkdirSync(at(name));
    // More names than a listing takes at a time: it is killed between `0` and the others.
    for (let n = 0; n < 6000; n++) writeFileSync(at(`file-${n}`), '');
    tree.start();
    tree.settle();
    const folder = tree.idOf('x');
    tree.stop();
    exchange('0', 'x');
    tree.start();
    while (tree.idOf('0') !== folder) tree.turn();
    expect(tree.idOf('x')).toBe(folder);
    tree.stop();
    exchange('0', 'y');
    // Now it takes all three at a time.
    for (let n = 0; n < 6000; n++) rmSync(at(`file-${n}`));
    tree.start();
    tree.settle();
    expect(tree.idOf('y')).toBe(folder);
    expect(tree.differences()).toEqual([]);
  });
});
