import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { rootId } from '../core/attributes.ts';
import { AT_FDCWD, RENAME_EXCHANGE } from '../kernel/constants.ts';
import * as sys from '../kernel/sys.ts';

describe.each(['fanotify', 'inotify'] as const)('Recorder with %s', (monitor) => {
  const started = (prepare: (root: string) => void = () => {}): RecordedTree =>
    RecordedTree.settled({ monitor }, (at) => prepare(at('')));

  test('first scan: everything is base, without journal', () => {
    using tree = started((root) => {
      mkdirSync(join(root, 'a/b/c'), { recursive: true });
      writeFileSync(join(root, 'a/f'), 'x');
      linkSync(join(root, 'a/f'), join(root, 'a/b/g'));
      symlinkSync('nowhere', join(root, 'l'));
    });
    expect(tree.differences()).toEqual([]);
    expect([...tree.store.journal(0)]).toEqual([]);
    expect(tree.store.head).toBe(1);
    expect(tree.idOf('a/f')).toBe(tree.idOf('a/b/g'));
  });

  test('a rename of a folder is two changes and its own times, whatever hangs below it', () => {
    using tree = started((root) => {
      mkdirSync(join(root, 'a/b'), { recursive: true });
      for (let i = 0; i < 100; i++) writeFileSync(join(root, 'a/b', `f${i}`), 'x');
    });
    const id = tree.idOf('a');
    const before = tree.store.head;
    renameSync(join(tree.root, 'a'), join(tree.root, 'z'));
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.idOf('z')).toBe(id);
    const changes = tree.store.transaction(() => [...tree.store.journal(before)]);
    expect(changes.map((c) => (c.type === 'inode' ? `inode ${c.id}` : c.name))).toEqual([
      'z',
      'a',
      `inode ${rootId}`,
    ]);
    writeFileSync(join(tree.root, 'z/b/new'), 'x');
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a folder with many folders is removed: nothing else is compared for that', () => {
    using tree = started((root) => {
      // More than are kept open: most of them cannot be reached any more when what was in them is looked at.
      for (let i = 0; i < 600; i++) {
        mkdirSync(join(root, `top/d${i}`), { recursive: true });
        for (let k = 0; k < 5; k++) writeFileSync(join(root, `top/d${i}/f${k}`), 'x');
      }
    });
    const before = tree.recorder.scanned;
    rmSync(join(tree.root, 'top'), { recursive: true });
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.recorder.scanned).toEqual(before);
  });

  test('replaced by rename: the name never has a tombstone, the old inode is dead', () => {
    using tree = started((root) => writeFileSync(join(root, 'page'), 'old'));
    const old = tree.idOf('page');
    writeFileSync(join(tree.root, '.page.tmp'), 'new');
    renameSync(join(tree.root, '.page.tmp'), join(tree.root, 'page'));
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.store.transaction(() => tree.store.inode(old)?.links)).toBe(0);
    expect(tree.idOf('page')).not.toBe(old);
  });

  test('exchange: both inodes live on under the other name', () => {
    using tree = started((root) => {
      writeFileSync(join(root, 'a'), '1');
      mkdirSync(join(root, 'b'));
      writeFileSync(join(root, 'b/f'), '1');
    });
    const [a, b] = [tree.idOf('a'), tree.idOf('b')];
    sys.check(
      sys.renameat2(AT_FDCWD, join(tree.root, 'a'), AT_FDCWD, join(tree.root, 'b'), RENAME_EXCHANGE),
      'exchange',
    );
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect([tree.idOf('a'), tree.idOf('b')]).toEqual([b, a]);
  });

  test('a folder that is deleted leaves one tombstone, and nothing below it', () => {
    using tree = started((root) => {
      mkdirSync(join(root, 'a/b/c'), { recursive: true });
      writeFileSync(join(root, 'a/b/c/f'), 'x');
      writeFileSync(join(root, 'keep'), 'x');
      linkSync(join(root, 'keep'), join(root, 'a/b/kept'));
    });
    rmSync(join(tree.root, 'a'), { recursive: true });
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.store.stats).toEqual({ inodes: 2, entries: 1 });
  });

  test('mkdir -p and cp: what appeared before the folder was known is found', () => {
    using tree = started();
    for (let i = 0; i < 20; i++) {
      mkdirSync(join(tree.root, `d${i}/e/f`), { recursive: true });
      writeFileSync(join(tree.root, `d${i}/e/f/g`), 'x');
    }
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a file being written is recorded when it settles, a closed one at once', () => {
    using tree = new RecordedTree({ monitor, settleMs: 60_000, hotFileMaxDelayMs: 60_000 });
    tree.start();
    tree.turn();
    const fd = openSync(join(tree.root, 'hot'), 'w');
    writeSync(fd, 'x');
    for (let i = 0; i < 5; i++) tree.turn();
    expect(tree.idOf('hot')).toBe(0);
    expect(tree.recorder.deadline).toBeGreaterThan(performance.now());
    renameSync(join(tree.root, 'hot'), join(tree.root, 'renamed'));
    for (let i = 0; i < 5; i++) tree.turn();
    sys.poll([], 10);
    for (let i = 0; i < 5; i++) tree.turn();
    expect(tree.idOf('renamed')).toBe(0);
    closeSync(fd);
    for (let i = 0; i < 5; i++) tree.turn();
    expect(tree.idOf('renamed')).toBeGreaterThan(0);
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('same size, same time: a second write within the clock tick is a change of content', () => {
    using tree = started((root) => writeFileSync(join(root, 'f'), '1'));
    const id = tree.idOf('f');
    const { atime, mtime } = lstatSync(join(tree.root, 'f'));
    writeFileSync(join(tree.root, 'f'), '2');
    utimesSync(join(tree.root, 'f'), atime, mtime);
    tree.settle();
    const first = tree.store.transaction(() => tree.store.inode(id)?.contentSeq ?? 0);
    expect(first).toBeGreaterThan(1);
    chmodSync(join(tree.root, 'f'), 0o600);
    tree.settle();
    const record = tree.store.transaction(() => tree.store.inode(id));
    expect(record?.contentSeq).toBe(first);
    expect(record?.seq).toBeGreaterThan(first);
  });

  test('what is written through a descriptor whose name was removed is recorded under the name that is left', () => {
    using tree = started((root) => {
      writeFileSync(join(root, 'f'), '1');
      linkSync(join(root, 'f'), join(root, 'g'));
    });
    const id = tree.idOf('g');
    const fd = openSync(join(tree.root, 'f'), 'r+');
    rmSync(join(tree.root, 'f'));
    tree.settle();
    const before = tree.store.transaction(() => tree.store.inode(id)?.contentSeq ?? 0);
    writeSync(fd, 'long');
    closeSync(fd);
    tree.settle();
    const record = tree.store.transaction(() => tree.store.inode(id));
    expect(record).toMatchObject({ size: 4, links: 1 });
    expect(record?.contentSeq).toBeGreaterThan(before);
    expect(tree.differences()).toEqual([]);
  });

  test('a write to one of two files that have traded names ends the round', () => {
    using tree = started((root) => {
      writeFileSync(join(root, 'a'), 'first');
      writeFileSync(join(root, 'b'), 'second');
    });
    const at = (name: string): string => join(tree.root, name);
    for (const [from, to] of [
      ['a', 'c'],
      ['b', 'a'],
      ['c', 'b'],
    ] as const) {
      renameSync(at(from), at(to));
      tree.settle();
    }
    appendFileSync(at('a'), '!');
    tree.settle();
    appendFileSync(at('b'), '!');
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a file that is made under the name of another, and takes its time, does not keep the round open', () => {
    using tree = started((root) => {
      writeFileSync(join(root, 'f'), 'old');
      linkSync(join(root, 'f'), join(root, 'g'));
    });
    const at = (name: string): string => join(tree.root, name);
    const id = tree.idOf('f');
    rmSync(at('f'));
    const fd = openSync(at('f'), 'w');
    writeSync(fd, 'half');
    // A slow machine does not get through the round in one step.
    for (let turns = 0; turns === 0 || (tree.recorder.busy && turns < 100); turns++) tree.turn();
    expect(tree.recorder.busy).toBe(false);
    expect(tree.idOf('f')).toBe(id);
    closeSync(fd);
    tree.settle();
    expect(tree.idOf('f')).not.toBe(id);
    expect(tree.differences()).toEqual([]);
  });

  test('a rotated log does not change with each line of the new one', async () => {
    using tree = started((root) => writeFileSync(join(root, 'log'), 'old'));
    const at = (name: string): string => join(tree.root, name);
    const id = tree.idOf('log');
    renameSync(at('log'), at('log.1'));
    tree.settle();
    writeFileSync(at('log'), 'first\n');
    tree.settle();
    // Longer than any clock of a file system needs to move on.
    await waitFor(() => Date.now() - lstatSync(at('log.1')).ctimeMs > 3000, { describe: 'an old file' });
    const before = tree.store.transaction(() => tree.store.inode(id)?.contentSeq ?? 0);
    appendFileSync(at('log'), 'second\n');
    tree.settle();
    const record = tree.store.transaction(() => tree.store.inode(id));
    expect(record?.contentSeq).toBe(before);
    expect(tree.differences()).toEqual([]);
  });

  test('what changed in a folder is recorded although it was moved out and the folder removed before anybody looked', () => {
    using tree = started((root) => {
      mkdirSync(join(root, 'a/b'), { recursive: true });
      writeFileSync(join(root, 'a/b/f'), 'x');
      // More than are kept open: nothing holds the folder any more.
      for (let n = 0; n < 600; n++) mkdirSync(join(root, `z${n}`));
    });
    const id = tree.idOf('a/b/f');
    const before = tree.store.transaction(() => tree.store.inode(id)?.seq ?? 0);
    execFileSync('setfattr', ['-n', 'user.color', '-v', 'green', join(tree.root, 'a/b/f')]);
    renameSync(join(tree.root, 'a/b/f'), join(tree.root, 'g'));
    rmSync(join(tree.root, 'a'), { recursive: true });
    tree.settle();
    expect(tree.idOf('g')).toBe(id);
    expect(tree.store.transaction(() => tree.store.inode(id)?.seq)).toBeGreaterThan(before);
    expect(tree.differences()).toEqual([]);
  });
});

test('Recorder that is not root: a folder that could not be read is listed when its permissions change', () => {
  const euid = process.geteuid?.() ?? 0;
  process.seteuid?.(65_534);
  try {
    using tree = new RecordedTree({ monitor: 'inotify' });
    tree.start();
    tree.settle();
    const folder = join(tree.root, 'd');
    mkdirSync(folder, 0);
    tree.settle();
    expect(tree.problems).toContainEqual(expect.objectContaining({ path: 'd', code: 'EACCES' }));
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, 'f'), 'x');
    tree.settle();
    expect(tree.differences()).toEqual([]);
  } finally {
    process.seteuid?.(euid);
  }
});
