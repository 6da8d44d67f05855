// The first sync: what is equal costs nothing, what only the replica has is not deleted without consent (I5).

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Farm, inodeNumbers, startFarm } from './farm.ts';

async function farmWithCopies(): Promise<Farm> {
  const farm = await startFarm({ ssh: 1, local: 1 });
  for (const root of farm.replicas) execFileSync('cp', ['-a', '--no-target-directory', farm.source, root]);
  return farm;
}

test('fam mirror adopts a replica that is already equal and sends no content', async () => {
  const farm = await farmWithCopies();
  const before = farm.replicas.map(inodeNumbers);
  const mirror = farm.start();
  await mirror.inSync();
  farm.expectEqual();
  await mirror.end();
  for (const [n, root] of farm.replicas.entries()) {
    const ignoreOwn = (numbers: Map<string, bigint>) =>
      [...numbers].filter(([path]) => !path.startsWith(join(root, '.fam')));
    expect(ignoreOwn(inodeNumbers(root))).toEqual(ignoreOwn(before[n] ?? new Map()));
  }
  for (const line of await mirror.logged('first-sync')) expect(line, line.msg).toMatchObject({ bytes: 0 });
});

test('fam mirror sends only what differs', async () => {
  const farm = await farmWithCopies();
  const [changed = '', touched = ''] = farm.look().files.map((path) => path.slice(farm.source.length + 1));
  for (const root of farm.replicas) {
    writeFileSync(join(root, changed), 'differs');
    utimesSync(join(root, touched), 1, 1);
  }
  const before = farm.replicas.map(inodeNumbers);
  const mirror = farm.start();
  await mirror.inSync();
  farm.expectEqual();
  await mirror.end();
  for (const [n, root] of farm.replicas.entries()) {
    const now = inodeNumbers(root);
    const placed = [...(before[n] ?? [])].filter(([path, number]) => now.get(path) !== number);
    expect(placed.map(([path]) => path).sort()).toEqual([join(root, changed), join(root, touched)].sort());
  }
});

test('fam mirror streams a large file of a folder that takes several listings', async () => {
  const farm = await startFarm({ ssh: 1, local: 1, files: 10 });
  const folder = join(farm.source, 'folder');
  mkdirSync(folder);
  // It is on the replica long before the folder's last listing.
  writeFileSync(join(folder, 'a'), Buffer.alloc(200_000, 'large'));
  for (let i = 0; i < 5000; i++) writeFileSync(join(folder, `file-${i}`), Buffer.alloc(4000, String(i)));
  const mirror = farm.start();
  await mirror.inSync();
  farm.expectEqual();
  await mirror.end();
});

const extra = 'only the replica has this';

test('fam mirror keeps what only the replica has, and says so', async () => {
  const farm = await farmWithCopies();
  for (const root of farm.replicas) writeFileSync(join(root, extra), 'precious');
  const mirror = farm.start();
  await mirror.inSync();
  await mirror.end();
  for (const root of farm.replicas) expect(existsSync(join(root, extra))).toBe(true);
  expect(mirror.stderr).toContain(extra);
});

test.each([
  ['--init', { args: ['--init'] }],
  ['INIT_MIRROR=1', { env: { ...process.env, INIT_MIRROR: '1' } }],
])('fam mirror with %s makes the replica equal', async (_, setup) => {
  const farm = await farmWithCopies();
  for (const root of farm.replicas) writeFileSync(join(root, extra), 'not so precious');
  const mirror = farm.start(setup);
  await mirror.inSync();
  farm.expectEqual();
  await mirror.end();
});
