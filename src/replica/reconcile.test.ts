import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { expectEqualTrees } from '../../test/oracle/compare-trees.ts';
import { readXattrs } from '../../test/oracle/xattrs.ts';
import { Killed, ReplicaPair } from '../../test/support/replica-pair.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { contradictionsOfReplica } from '../../test/support/tree/contradictions.ts';
import type { Name } from '../core/name.ts';
import { reconcileWindow } from '../wire/messages.ts';

test('first contact keeps extended attributes and ACLs of folders that the replica lacks', () => {
  const pair = new ReplicaPair(tempFolder('fam-reconcile', '/dev/shm'));
  onTestFinished(() => pair.close());
  const folder = join(pair.source, 'outer', 'inner');
  mkdirSync(folder, { recursive: true });
  execFileSync('setfattr', ['-n', 'user.color', '-v', 'green', folder]);
  execFileSync('setfacl', ['-m', 'd:u:1234:r', join(pair.source, 'outer')]);
  pair.record();
  pair.connect();
  const kept = readXattrs(pair.source);
  expect(kept.size).toBe(2);
  expect(readXattrs(pair.replica)).toEqual(kept);
});

test('removes what fam had put there and the source lacks, although the first attempt at it was killed halfway', () => {
  const pair = new ReplicaPair(tempFolder('fam-reconcile', '/dev/shm'));
  onTestFinished(() => pair.close());
  mkdirSync(join(pair.source, 'folder'));
  for (const name of ['goes', 'stays', 'changed-here'])
    writeFileSync(join(pair.source, 'folder', name), name);
  pair.record();
  pair.connect();
  for (const name of ['goes', 'changed-here']) rmSync(join(pair.source, 'folder', name));
  writeFileSync(join(pair.replica, 'folder', 'changed-here'), 'by somebody else');
  pair.record();
  // The journal is gone: only a comparison of the trees can tell.
  pair.prune();
  const onListing = (): void => {
    throw new Killed();
  };
  expect(() => pair.connect({ onListing })).toThrow(Killed);
  expect(readdirSync(join(pair.replica, 'folder')).sort()).toEqual(['changed-here', 'goes', 'stays']);
  pair.connect();
  expect(readdirSync(join(pair.replica, 'folder')).sort()).toEqual(['changed-here', 'stays']);
  expect(existsSync(join(pair.folder, '.fam-replica/state/former'))).toBe(false);
});

test('removes a folder that went while it was being compared, although the agent was killed before the source could say so', () => {
  const pair = new ReplicaPair(tempFolder('fam-reconcile', '/dev/shm'));
  onTestFinished(() => pair.close());
  // More folders than the source lists before it is answered: it comes to the last one when that one has gone.
  const names = Array.from({ length: reconcileWindow + 1 }, (_, n) => `below-${n}`);
  for (const name of names) {
    mkdirSync(join(pair.source, 'folder', name, 'deep'), { recursive: true });
    writeFileSync(join(pair.source, 'folder', name, 'deep', 'file'), 'content');
  }
  pair.record();
  pair.connect();
  writeFileSync(join(pair.source, 'other'), 'so that there is a journal to lose');
  pair.record();
  pair.prune();
  let isTold = false;
  const onListing = (listings: number): void => {
    if (listings > 1) return;
    for (const name of names) rmSync(join(pair.source, 'folder', name), { recursive: true });
    pair.record();
  };
  const step = (name: string): void => {
    if (isTold && name !== 'committed') throw new Killed();
    isTold ||= name === 'committed';
  };
  expect(() => pair.connect({ onListing }, step)).toThrow(Killed);
  // The next one has to compare as well.
  pair.prune();
  const { events } = pair.connect();
  expect(events.filter((event) => event.type === 'extras')).toEqual([]);
  expect(readdirSync(join(pair.replica, 'folder'))).toEqual([]);
  expect(existsSync(join(pair.folder, '.fam-replica/state/former'))).toBe(false);
});

test('a file that has taken the name of another one in a folder that is listed twice has that name alone', () => {
  const pair = new ReplicaPair(tempFolder('fam-reconcile', '/dev/shm'));
  onTestFinished(() => pair.close());
  const at = (path: string): string => join(pair.source, path);
  // More folders than the source lists before it is answered: it comes to the last one later.
  for (let n = 0; n <= reconcileWindow; n++) mkdirSync(at(`between/${n}`), { recursive: true });
  for (const name of ['a', 'last']) mkdirSync(at(name));
  writeFileSync(at('a/name'), 'former');
  writeFileSync(at('page'), 'page');
  pair.record();
  pair.connect();
  writeFileSync(at('other'), 'so that there is a journal to lose');
  pair.record();
  pair.prune();
  let contradictions: string[] = [];
  const onListing = (listings: number): void => {
    if (listings !== 3) return;
    renameSync(at('page'), at('a/name'));
    renameSync(at('a'), at('last/a'));
    pair.record();
  };
  const step = (name: string): void => {
    if (name === 'reconciled')
      contradictions = contradictionsOfReplica(join(pair.folder, '.fam-replica/state'), pair.replica);
  };
  pair.connect({ onListing }, step);
  expect(contradictions).toEqual([]);
  expectEqualTrees(pair.source, pair.replica);
});

/** The same source, its state folder lost and its root replaced. */
function withoutState(pair: ReplicaPair, ...names: string[]): ReplicaPair {
  // The new one has another inode number.
  renameSync(pair.source, join(pair.folder, 'former-source'));
  mkdirSync(pair.source);
  return withoutStateOnly(pair, ...names);
}

/** The same source, its state folder lost and what its root holds replaced. */
function withoutStateOnly(pair: ReplicaPair, ...names: string[]): ReplicaPair {
  pair.close();
  rmSync(join(pair.folder, 'source-state'), { recursive: true });
  for (const name of readdirSync(pair.source)) rmSync(join(pair.source, name), { recursive: true });
  for (const name of names) writeFileSync(join(pair.source, name), name);
  const next = new ReplicaPair(pair.folder);
  onTestFinished(() => next.close());
  next.record();
  return next;
}

test('I4: an empty source that has lost its records removes nothing, at no attempt, until it is trusted', () => {
  const first = new ReplicaPair(tempFolder('fam-reconcile', '/dev/shm'));
  mkdirSync(join(first.source, 'folder'));
  writeFileSync(join(first.source, 'folder', 'page'), 'page');
  first.record();
  first.connect();
  const empty = withoutState(first);
  const doubt = expect.objectContaining({ code: 'SOURCE_DOUBTFUL' });
  for (let attempt = 0; attempt < 2; attempt++) {
    expect(() => empty.connect()).toThrow(doubt);
    expect(() => empty.connect({ init: true })).toThrow(doubt);
  }
  expect(readdirSync(join(first.replica, 'folder'))).toEqual(['page']);
  empty.connect({ trusted: true });
  expect(readdirSync(first.replica)).toEqual([]);
});

test('I4: so does one that holds nothing of what it had but another disk, or a file that somebody left in the mount point', () => {
  const first = new ReplicaPair(tempFolder('fam-reconcile', '/dev/shm'));
  for (const name of ['lost+found', 'folder']) mkdirSync(join(first.source, name));
  for (let n = 0; n < 1000; n++) writeFileSync(join(first.source, 'folder', `page-${n}`), 'page');
  first.record();
  first.connect();
  const stray = withoutState(first, 'lost+found', 'stray');
  for (let attempt = 0; attempt < 2; attempt++)
    expect(() => stray.connect()).toThrow(expect.objectContaining({ code: 'SOURCE_DOUBTFUL' }));
  expect(readdirSync(join(first.replica, 'folder')).length).toBe(1000);
});

test('I4: so does one of any size that has nothing of what it had, and whose root is another folder', () => {
  const first = new ReplicaPair(tempFolder('fam-reconcile', '/dev/shm'));
  const saysRoot = true;
  writeFileSync(join(first.source, 'page'), 'page');
  first.record();
  first.connect({ saysRoot });
  const changed = withoutStateOnly(first, 'index');
  changed.connect({ saysRoot });
  expect(readdirSync(first.replica), 'in the same folder all may have changed').toEqual(['index']);
  const stray = withoutState(changed, 'stray');
  for (let attempt = 0; attempt < 2; attempt++)
    expect(() => stray.connect({ saysRoot })).toThrow(expect.objectContaining({ code: 'SOURCE_DOUBTFUL' }));
  expect(readdirSync(first.replica)).toEqual(['index']);
  writeFileSync(join(stray.source, 'index'), 'restored');
  stray.record();
  stray.connect({ saysRoot });
  expect(readdirSync(first.replica).sort(), 'a restored one has something in common').toEqual([
    'index',
    'stray',
  ]);
  rmSync(join(first.folder, 'former-source'), { recursive: true });
  const trusted = withoutState(stray, 'meant');
  expect(() => trusted.connect({ saysRoot })).toThrow(expect.objectContaining({ code: 'SOURCE_DOUBTFUL' }));
  trusted.connect({ saysRoot, trusted: true });
  expect(readdirSync(first.replica)).toEqual(['meant']);
  const again = withoutStateOnly(trusted, 'other');
  again.connect({ saysRoot });
  expect(readdirSync(first.replica), 'it is the known one now').toEqual(['other']);
});

test('a source that still has its records may be emptied', () => {
  const pair = new ReplicaPair(tempFolder('fam-reconcile', '/dev/shm'));
  onTestFinished(() => pair.close());
  writeFileSync(join(pair.source, 'page'), 'page');
  pair.record();
  pair.connect();
  rmSync(join(pair.source, 'page'));
  pair.record();
  pair.prune();
  pair.connect();
  expect(readdirSync(pair.replica)).toEqual([]);
});

test('a content that is newer than the replica is brought, although its size and time have been put back', () => {
  const pair = new ReplicaPair(tempFolder('fam-reconcile', '/dev/shm'));
  onTestFinished(() => pair.close());
  const page = join(pair.source, 'page');
  const save = (text: string): void => {
    writeFileSync(page, text);
    utimesSync(page, 1_000_000_000, 1_000_000_000);
  };
  save('older');
  pair.record();
  pair.connect();
  save('newer');
  pair.recordWritten('page' as Name);
  // The journal is gone: only a comparison of the trees can tell.
  pair.prune();
  pair.connect();
  expect(readFileSync(join(pair.replica, 'page'), 'utf8')).toBe('newer');
});
