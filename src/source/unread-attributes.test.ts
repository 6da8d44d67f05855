import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readXattrs } from '../../test/oracle/xattrs.ts';
import { ReplicaPair } from '../../test/support/replica-pair.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { type InodeId, rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { openHome } from '../replica/home.ts';
import { TreeStore } from '../tree/store.ts';
import { UnreadAttributes } from './unread-attributes.ts';

const setColor = (path: string, color: string): Buffer =>
  execFileSync('setfattr', ['-n', 'user.color', '-v', color, path]);

function movedPair(prepare: (at: (path: string) => string, pair: ReplicaPair) => void): ReplicaPair {
  const pair = new ReplicaPair(tempFolder('fam-unread', '/dev/shm'));
  onTestFinished(() => pair.close());
  prepare((path) => join(pair.source, path), pair);
  pair.connect({}, undefined, () => {
    pair.record();
    // The next attempt is a moment later.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
    return true;
  });
  return pair;
}

/** A pair whose source has another file system in it: what is mounted there is reached by names, and so is not found while they change. */
function mountedPair(): { pair: ReplicaPair; at: (path: string) => string } {
  const pair = new ReplicaPair(tempFolder('fam-unread', '/dev/shm'));
  onTestFinished(() => pair.close());
  const at = (path: string): string => join(pair.source, 'mounted', path);
  mkdirSync(at(''));
  execFileSync('mount', ['-t', 'tmpfs', 'none', at('')]);
  onTestFinished(() => {
    execFileSync('umount', ['-l', at('')]);
  });
  return { pair, at };
}

/** The next attempt is a moment later. */
function aMomentLater(): boolean {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
  return true;
}

test('xattrs of a folder whose parent is moved before they are read arrive after the move is recorded', () => {
  const pair = movedPair((at, made) => {
    mkdirSync(at('outer/inner'), { recursive: true });
    made.record();
    made.connect();
    setColor(at('outer/inner'), 'green');
    made.record();
    renameSync(at('outer'), at('moved'));
  });
  const xattrs = readXattrs(pair.source);
  expect([...xattrs.keys()]).toEqual(['moved/inner']);
  expect(readXattrs(pair.replica)).toEqual(xattrs);
});

test('xattrs are never those of another folder that took the name', () => {
  const pair = movedPair((at, made) => {
    for (const name of ['a', 'b']) mkdirSync(at(name));
    setColor(at('b'), 'blue');
    made.record();
    made.connect();
    setColor(at('a'), 'green');
    made.record();
    renameSync(at('a'), at('was-a'));
    renameSync(at('b'), at('a'));
  });
  expect(readXattrs(pair.replica)).toEqual(readXattrs(pair.source));
});

test.each(['folder', 'file'])(
  'xattrs of a %s that could not be read before the connection was lost arrive with the next one',
  (kind) => {
    const { pair, at } = mountedPair();
    mkdirSync(at('outer'));
    if (kind === 'folder') mkdirSync(at('outer/inner'));
    else writeFileSync(at('outer/inner'), 'x');
    setColor(at('outer/inner'), 'green');
    pair.record();
    renameSync(at('outer'), at('moved'));
    pair.connect();
    expect(readXattrs(pair.replica).size).toBe(0);
    pair.record();
    pair.connect({}, undefined, aMomentLater);
    const xattrs = readXattrs(pair.source);
    expect([...xattrs.keys()]).toEqual(['mounted/moved/inner']);
    expect(readXattrs(pair.replica)).toEqual(xattrs);
  },
);

test('a folder that waits for its xattrs arrives with its name, where the replica could not keep what it had of it', () => {
  const { pair, at } = mountedPair();
  mkdirSync(at('outer/inner'), { recursive: true });
  setColor(at('outer/inner'), 'green');
  pair.record();
  renameSync(at('outer'), at('moved'));
  pair.connect();
  forget(pair.replica, ['mounted', 'outer', 'inner']);
  pair.record();
  pair.connect({}, undefined, aMomentLater);
  expect([...readXattrs(pair.replica).keys()]).toEqual(['mounted/moved/inner']);
});

/** Takes a folder from a replica and from its records, as a batch does in which nobody knows its parent. */
function forget(replica: string, path: readonly string[]): void {
  rmdirSync(join(replica, ...path));
  const home = openHome(replica);
  const store = TreeStore.open(home.state, { journal: false });
  let id: InodeId = rootId;
  let parent: InodeId = rootId;
  for (const name of path) {
    parent = id;
    id = store.entry(parent, name as Name)?.id ?? 0;
  }
  store.transaction(() => {
    store.removeEntry(parent, path.at(-1) as Name);
    store.removeInode(id);
  });
  store.close();
  home.close();
}

test('xattrs that were set while a content that never held still was on its way arrive after it', () => {
  const pair = new ReplicaPair(tempFolder('fam-unread', '/dev/shm'));
  onTestFinished(() => pair.close());
  const file = join(pair.source, 'file');
  writeFileSync(file, Buffer.alloc(6_000_000, 1));
  pair.record();
  const onPiece = (pieces: number): void => {
    if (pieces > 1) return;
    setColor(file, 'green');
    pair.recordAttributes('file' as Name);
    // Longer than a file that never holds still is waited for.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2100);
  };
  const { problems } = pair.connect({ onPiece }, undefined, aMomentLater);
  expect(problems).toContainEqual(expect.objectContaining({ path: 'file', code: 'changing' }));
  expect([...readXattrs(pair.replica).keys()]).toEqual(['file']);
});

test('UnreadAttributes: nothing from the first unread one on has arrived before it was consumed', () => {
  const unread = new UnreadAttributes();
  expect(unread.contiguous(9)).toBe(9);
  unread.add(7, 5, 100);
  expect(unread.next(100)).toBeUndefined();
  expect(unread.next(120)).toBe(7);
  unread.failed(7, 120);
  expect(unread.next(120)).toBeUndefined();
  expect(unread.wakeAt()).toBe(140);
  expect(unread.contiguous(9)).toBe(4);
  unread.sent(7, 1000);
  expect(unread.contiguous(9)).toBe(4);
  unread.consumed(999);
  expect(unread.contiguous(9)).toBe(4);
  unread.consumed(1000);
  expect(unread.contiguous(9)).toBe(9);
});
