// The source's state folder is lost: its replicas know it all the same, and what fam had put on them is fam's.

import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startFarm } from './farm.ts';

test('fam mirror reconciles after its state was lost, deletes what it had put there, keeps what others did', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 60 });
  const [replica = ''] = farm.replicas;
  mkdirSync(join(farm.source, 'goes', 'deep'), { recursive: true });
  writeFileSync(join(farm.source, 'goes', 'deep', 'page'), 'x');
  writeFileSync(join(farm.source, 'stays'), 'same');
  writeFileSync(join(farm.source, 'changes'), 'old');
  const first = farm.start();
  await first.inSync();
  await first.end();
  const inode = lstatSync(join(replica, 'stays')).ino;

  rmSync(farm.state, { recursive: true });
  rmSync(join(farm.source, 'goes'), { recursive: true });
  writeFileSync(join(farm.source, 'changes'), 'new content');
  renameSync(join(farm.source, 'stays'), join(farm.source, 'renamed'));
  writeFileSync(join(farm.source, 'stays'), 'another');
  writeFileSync(join(replica, 'theirs'), 'put here by somebody else');

  const second = farm.start();
  await second.inSync();
  expect(readdirSync(replica)).toContain('theirs');
  expect(existsSync(join(replica, 'goes'))).toBe(false);
  rmSync(join(replica, 'theirs'));
  await second.barrier();
  await second.end();
  expect(lstatSync(join(replica, 'stays')).ino).not.toBe(inode);
  const trash = join(farm.folder, `.fam-${replica.split('/').at(-1)}`, 'trash');
  expect(readdirSync(trash), 'what fam had put there needs no trash').toEqual([]);
});
