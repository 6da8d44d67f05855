import { linkSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { whyNotMountable, withFileSystem } from '../contract/filesystems.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { isExcused, roomOf } from './excuses.ts';

const room = { maxFileBytes: 5000, maxTargetBytes: 1023, maxAttributeBytes: 400 };

test('isExcused excuses a file that is too long for the replica, and no other', () => {
  const source = tempFolder('fam-excuses');
  for (const name of ['fits', 'too-long']) writeFileSync(join(source, name), '');
  truncateSync(join(source, 'fits'), 5000);
  truncateSync(join(source, 'too-long'), 5001);
  expect(isExcused({ path: 'too-long', what: 'missing' }, source, room, source)).toBe(true);
  expect(isExcused({ path: 'fits', what: 'missing' }, source, room, source)).toBe(false);
  expect(isExcused({ path: 'extra', what: 'extra' }, source, room, source)).toBe(false);
});

test('isExcused excuses a further name on the replica that is to be one of a file that is too long for it, and no other', () => {
  const [source, replica] = [tempFolder('fam-excuses'), tempFolder('fam-excuses')];
  for (const name of ['file', 'other', 'too-long']) writeFileSync(join(source, name), '');
  truncateSync(join(source, 'too-long'), 5001);
  for (const name of ['file', 'other']) writeFileSync(join(replica, name), '');
  linkSync(join(replica, 'file'), join(replica, 'too-long'));
  const what = 'hard-link group of 1 != 2 names';
  expect(isExcused({ path: 'file', what }, source, room, replica)).toBe(true);
  expect(isExcused({ path: 'other', what }, source, room, replica)).toBe(false);
});

test('isExcused excuses a symlink whose target is too long for the replica, and no other', () => {
  const source = tempFolder('fam-excuses');
  symlinkSync('x'.repeat(1023), join(source, 'fits'));
  symlinkSync('x'.repeat(1024), join(source, 'too-long'));
  expect(isExcused({ path: 'too-long', what: 'missing' }, source, room, source)).toBe(true);
  expect(isExcused({ path: 'fits', what: 'missing' }, source, room, source)).toBe(false);
});

test('isExcused excuses attributes that are too large for the replica, and those only', () => {
  const source = tempFolder('fam-excuses');
  writeFileSync(join(source, 'file'), '');
  const large = `xattrs [user.a=0x${'00'.repeat(500)}] != []`;
  expect(isExcused({ path: 'file', what: large }, source, room, source)).toBe(true);
  expect(isExcused({ path: 'file', what: 'xattrs [user.a=0x00] != []' }, source, room, source)).toBe(false);
  expect(
    isExcused({ path: 'file', what: `xattrs [] != [user.a=0x${'00'.repeat(500)}]` }, source, room, source),
  ).toBe(false);
});

test.skipIf(whyNotMountable('ext4'))('roomOf finds where ext4 ends', async () => {
  await withFileSystem('ext4', (path) => {
    const found = roomOf(path);
    const [TiB, blocks] = [2 ** 40, 2 ** 32];
    expect(found.maxFileBytes).toBeGreaterThan(2 * TiB);
    expect(found.maxFileBytes).toBeLessThanOrEqual(blocks * 4096);
    expect(found.maxAttributeBytes).toBeLessThan(4096);
  });
});
