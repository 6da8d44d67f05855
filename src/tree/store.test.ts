import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { Kind, rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import type { InodeRecord } from './records.ts';
import { TreeStore } from './store.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'fam-store-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const name = (text: string): Name => text as Name;

function record(over: Partial<InodeRecord>): InodeRecord {
  return {
    id: 2,
    kind: Kind.file,
    mode: 0o644,
    uid: 1000,
    gid: 100,
    size: 2 ** 45 + 3,
    mtimeS: -5,
    mtimeNs: 999_999_999,
    rdevMajor: 0,
    rdevMinor: 0,
    target: '',
    xattrs: undefined,
    dev: 259 * 2 ** 32 + 70_000,
    inoHigh: 0xffff_ffff,
    inoLow: 0x8000_0001,
    birth: 0xdead_beef,
    ctimeS: 1_763_900_000,
    ctimeNs: 1,
    parent: rootId,
    name: name('a'),
    links: 1,
    bornSeq: 5,
    seq: 7,
    contentSeq: 6,
    doubtful: false,
    touched: false,
    listed: false,
    ...over,
  };
}

describe('TreeStore', () => {
  test('inode: gives back what putInode stored, whatever the values', () => {
    using store = TreeStore.open(dir);
    const records = [
      record({}),
      record({ id: 5, inoLow: 6, doubtful: true }),
      record({
        id: 3,
        kind: Kind.symlink,
        target: 'x'.repeat(4095),
        name: name('\xff'.repeat(255)),
        inoLow: 3,
      }),
      record({ id: 4, kind: Kind.blockDevice, rdevMajor: 4095, rdevMinor: 2 ** 20 - 1, inoLow: 4 }),
      record({
        id: 2 ** 40,
        kind: Kind.directory,
        listed: true,
        mtimeS: 2 ** 40,
        ctimeS: -9,
        inoLow: 5,
        seq: 2 ** 50,
      }),
    ];
    store.transaction(() => {
      for (const r of records) store.putInode(r);
    });
    for (const r of records) expect(store.inode(r.id)).toEqual(r);
    expect(store.idOfIdentity(259 * 2 ** 32 + 70_000, 0xffff_ffff, 0x8000_0001)).toBe(2);
    expect(store.stats).toEqual({ inodes: 5, entries: 0 });
  });

  test('list: in name byte order, living entries of that directory only, after a name', () => {
    using store = TreeStore.open(dir);
    const names = ['a', 'a\x01', 'a/'.replace('/', '!'), 'b', '\x7f', '\x80', '\xff', '\xff\xff'].map(name);
    store.transaction(() => {
      for (const [i, n] of [...names].reverse().entries())
        store.putEntry({ parent: 5, name: n, id: i + 10, seq: store.nextSeq() });
      store.putEntry({ parent: 4, name: name('z'), id: 3, seq: store.nextSeq() });
      store.putEntry({ parent: 6, name: name('0'), id: 3, seq: store.nextSeq() });
      store.putEntry({ parent: 5, name: name('b'), id: 0, seq: store.nextSeq() });
    });
    const alive = names.filter((n) => n !== 'b');
    expect([...store.list(5)].map((e) => e.name)).toEqual(alive);
    expect([...store.listAll(5)].map((e) => e.name)).toEqual(names);
    expect([...store.list(5, name('a!'))].map((e) => e.name)).toEqual(alive.slice(3));
    expect(store.stats.entries).toBe(9);
  });

  test('journal: each thing once, at its last seq, in seq order; prune forgets tombstones', () => {
    using store = TreeStore.open(dir);
    store.transaction(() => {
      store.putEntry({ parent: 1, name: name('x'), id: 2, seq: store.nextSeq() });
      store.putInode(record({ seq: store.nextSeq() }));
      store.putEntry({ parent: 1, name: name('x'), id: 0, seq: store.nextSeq() });
      store.putInode(record({ seq: store.nextSeq(), links: 0 }));
      store.putEntry({ parent: 1, name: name('y'), id: 3, seq: store.nextSeq() });
    });
    const all = [
      { seq: 3, type: 'entry', parent: 1, name: 'x' },
      { seq: 4, type: 'inode', id: 2 },
      { seq: 5, type: 'entry', parent: 1, name: 'y' },
    ];
    expect([...store.journal(0)]).toEqual(all);
    expect([...store.journal(3, 4)]).toEqual(all.slice(1, 2));
    expect(store.idOfIdentity(259 * 2 ** 32 + 70_000, 0xffff_ffff, 0x8000_0001)).toBeUndefined();
    expect(store.prune(4)).toBe(true);
    expect([...store.journal(0)]).toEqual(all.slice(2));
    expect([...store.listAll(1)].map((e) => e.name)).toEqual(['y']);
    expect(store.inode(2)).toBeUndefined();
    expect(store.pruned).toBe(4);
    expect(store.head).toBe(5);
  });

  test('transaction: an exception undoes everything, counters too', () => {
    using store = TreeStore.open(dir);
    store.transaction(() => store.putEntry({ parent: 1, name: name('x'), id: 2, seq: store.nextSeq() }));
    expect(() =>
      store.transaction(() => {
        store.putEntry({ parent: 1, name: name('y'), id: 3, seq: store.nextSeq() });
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(store.head).toBe(1);
    expect(store.entry(1, name('y'))).toBeUndefined();
    expect(store.stats.entries).toBe(1);
  });

  test('open: a second process or store is refused, naming the holder', () => {
    using _store = TreeStore.open(dir);
    expect(() => TreeStore.open(dir)).toThrow(
      expect.objectContaining({ code: 'STATE_IN_USE', message: expect.stringContaining(`${process.pid}`) }),
    );
  });

  test('open: goes on after a close, and after an unclean end within one boot', () => {
    const first = TreeStore.open(dir);
    expect(first.fresh).toBe('new');
    first.transaction(() => first.putEntry({ parent: 1, name: name('x'), id: 2, seq: first.nextSeq() }));
    first.setMeta('k', { a: [1, 'x'] });
    first.close();
    const second = TreeStore.open(dir);
    expect(second.fresh).toBe(false);
    expect(second.sourceId).toBe(first.sourceId);
    expect(second.epoch).toBe(first.epoch);
    expect(second.entry(1, name('x'))?.id).toBe(2);
    expect(second.meta('k', z.object({ a: z.tuple([z.number(), z.string()]) }))).toEqual({ a: [1, 'x'] });
    expect(() => second.meta('k', z.string())).toThrow();
    second.close();
  });

  test('open: one that failed leaves nothing locked', () => {
    mkdirSync(join(dir, 'boot'), { recursive: true });
    expect(() => TreeStore.open(dir)).toThrow();
    rmSync(join(dir, 'boot'), { recursive: true });
    TreeStore.open(dir).close();
  });

  test('open: a state that was lost and begun anew within a second has a later epoch', () => {
    const first = TreeStore.open(dir);
    first.close();
    rmSync(dir, { recursive: true });
    const second = TreeStore.open(dir);
    expect(second.epoch).toBeGreaterThan(first.epoch);
    second.close();
  });

  test('open: begins anew after a power loss, keeping the source id and raising the epoch', () => {
    const first = TreeStore.open(dir);
    first.transaction(() => first.putEntry({ parent: 1, name: name('x'), id: 2, seq: first.nextSeq() }));
    first.close();
    const path = join(dir, 'boot');
    const mark = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...mark, bootId: 'another boot' }));
    const clean = TreeStore.open(dir);
    expect(clean.fresh).toBe(false);
    clean.close();
    writeFileSync(path, JSON.stringify({ ...mark, bootId: 'another boot', clean: false }));
    using unclean = TreeStore.open(dir);
    expect(unclean.fresh).toBe('power-loss');
    expect(unclean.sourceId).toBe(first.sourceId);
    expect(unclean.epoch).toBe(clean.epoch + 1);
    expect(unclean.entry(1, name('x'))).toBeUndefined();
    expect(unclean.head).toBe(0);
  });

  test('raiseEpoch: survives', () => {
    const first = TreeStore.open(dir);
    const before = first.epoch;
    expect(first.raiseEpoch()).toBe(before + 1);
    first.close();
    using second = TreeStore.open(dir);
    expect(second.epoch).toBe(before + 1);
  });

  test('clear: forgets records, and journals nothing when told so', () => {
    using store = TreeStore.open(dir, { journal: false });
    store.transaction(() => {
      store.putInode(record({ seq: 9 }));
      store.putEntry({ parent: 1, name: name('x'), id: 2, seq: 9 });
    });
    expect([...store.journal(0)]).toEqual([]);
    store.clear();
    expect(store.inode(2)).toBeUndefined();
    expect(store.stats).toEqual({ inodes: 0, entries: 0 });
  });
});

test('a store of format 1, as it was written when format 1 was new, is gone on with', () => {
  const fixture = join(import.meta.dirname, '../../test/fixtures/tree-store-v1');
  mkdirSync(join(dir, 'db'));
  copyFileSync(join(fixture, 'boot'), join(dir, 'boot'));
  copyFileSync(join(fixture, 'data.mdb'), join(dir, 'db', 'data.mdb'));
  using store = TreeStore.open(dir);
  expect(store.fresh).toBe(false);
  expect(store.sourceId).toBe('22222222-2222-4222-8222-222222222222');
  expect([store.head, store.pruned, store.stats]).toEqual([5, 1, { inodes: 4, entries: 4 }]);
  expect([...store.listAll(1)].map((e) => [e.name, e.id, e.seq])).toEqual([
    ['dir', 2, 1],
    ['gone', 0, 5],
    ['hard\xff', 3, 2],
    ['link', 4, 4],
  ]);
  expect(store.inode(3)).toMatchObject({
    size: 2 ** 33,
    mtimeNs: 123_456_789,
    dev: 259 * 2 ** 32 + 1,
    birth: 77,
    doubtful: false,
    touched: false,
  });
  expect(store.inode(4)?.target).toBe('dir/caf\xc3\xa9');
  expect(store.namesOf(3).map((n) => n.name)).toEqual(['caf\xc3\xa9', 'hard\xff']);
  expect(store.idOfIdentity(259 * 2 ** 32 + 1, 0, 5)).toBe(4);
  expect([...store.journal(1)].map((r) => r.seq)).toEqual([2, 3, 4, 5]);
  expect(store.meta('fixture', z.object({ a: z.number() }))).toEqual({ a: 1 });
});

test('StoreLock: another process is told who holds it', () => {
  using _store = TreeStore.open(dir);
  const other = spawnSync('flock', ['-n', join(dir, 'lock'), 'true']);
  expect(other.status).toBe(1);
});
