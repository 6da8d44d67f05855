import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readXattrs } from '../../test/oracle/xattrs.ts';
import { ReplicaPair } from '../../test/support/replica-pair.ts';
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
