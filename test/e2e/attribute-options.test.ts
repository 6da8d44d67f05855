// A farm that runs under another user: --owner-map, --group-map, --chmod; and what is wrong with them.

import { chmodSync, chownSync, lstatSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { exitCodes } from '../../src/core/errors.ts';
import { startFarm } from './farm.ts';

test('fam mirror maps owners and modes at first contact and live', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
  const [replica = ''] = farm.replicas;
  const put = (name: string): void => {
    const path = join(farm.source, name);
    writeFileSync(path, name);
    chownSync(path, 33, 33);
    chmodSync(path, 0o600);
  };
  put('before');
  const maps = [
    '--owner-map',
    'www-data:nobody,*:1234',
    '--group-map',
    '33-40:4321',
    '--chmod',
    'D2755,F644',
  ];
  const mirror = farm.start({ args: maps });
  await mirror.inSync();
  put('after');
  await mirror.barrier();
  for (const name of ['before', 'after']) {
    const { uid, gid, mode } = lstatSync(join(replica, name));
    expect({ uid, gid, mode: mode & 0o7777 }, name).toEqual({ uid: 65534, gid: 4321, mode: 0o644 });
  }
  const { uid, mode } = lstatSync(replica);
  expect({ uid, mode: mode & 0o7777 }).toEqual({ uid: 1234, mode: 0o2755 });
  await mirror.end();
});

test('other rules are for what is there already, too: the replica is compared anew', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
  const [replica = ''] = farm.replicas;
  const startWith = async (args: readonly string[], mode: 'resume' | 'reconcile'): Promise<void> => {
    const mirror = farm.start({ args });
    await mirror.inSync();
    expect(mirror.events('connected')[0]).toMatchObject({ mode });
    await mirror.barrier();
    await mirror.end();
  };
  writeFileSync(join(farm.source, 'page'), 'page');
  await startWith([], 'reconcile');
  const maps = ['--owner-map', '*:1234', '--chmod', 'F600'];
  await startWith(maps, 'reconcile');
  const { uid, mode } = lstatSync(join(replica, 'page'));
  expect({ uid, mode: mode & 0o7777 }).toEqual({ uid: 1234, mode: 0o600 });
  await startWith(maps, 'resume');
  await startWith([], 'reconcile');
  farm.expectEqual();
});

test.each([
  [['--chmod', 'rwx'], '--chmod takes rules'],
  [['--owner-map', 'nobody-of-that-name:1'], 'nobody-of-that-name is nobody here'],
  [['--owner-map', '*:nobody-of-that-name'], "the replica's host knows no user nobody-of-that-name"],
  [['--bandwidth', 'fast'], '--bandwidth takes bytes a second'],
])('fam mirror %s is refused', async (args, message) => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 1 });
  const mirror = farm.start({ args });
  expect(await mirror.exited).toEqual({ code: exitCodes.USAGE, signal: null });
  expect(mirror.stderr).toContain(message);
});
