import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readXattrs } from '../../test/oracle/xattrs.ts';
import { Killed, ReplicaPair } from '../../test/support/replica-pair.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';

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
