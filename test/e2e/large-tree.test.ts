// A large real tree: what is installed on this machine, and this project's own node_modules.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { entriesBelow } from '../support/entries-below.ts';
import { inodeNumbers, startFarm } from './farm.ts';

const nodeModules = fileURLToPath(new URL('../../node_modules', import.meta.url));
const realTrees = [
  '/usr/include',
  '/usr/share/doc',
  '/usr/share/perl',
  '/usr/lib/node_modules',
  '/usr/share/man',
  '/usr/share/zoneinfo',
];
const wantedFiles = 20_000;

/** A few binaries would be most of the bytes: how large files travel is tested elsewhere. */
function copyTree(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to]);
  execFileSync('find', [to, '-type', 'f', '-size', '+1M', '-delete']);
}

/** Copies real trees below `root` until they hold enough files. */
function fillWithRealTrees(root: string): void {
  copyTree(nodeModules, join(root, 'node_modules'));
  for (const [n, tree] of realTrees.entries()) {
    if (countFiles(root) >= wantedFiles) return;
    if (existsSync(tree)) copyTree(tree, join(root, `tree-${n}`));
  }
  // A small machine: the same modules again, as a monorepo has them.
  for (let copy = 0; countFiles(root) < wantedFiles; copy++)
    copyTree(nodeModules, join(root, `package-${copy}`));
}

function countFiles(root: string): number {
  return [...entriesBelow(root)].length;
}

test('fam mirror copies a real tree of 20,000 files and follows while it is rebuilt in place', async () => {
  const farm = await startFarm({ ssh: 1, local: 1, files: 10 });
  fillWithRealTrees(farm.source);
  const modules = join(farm.source, 'node_modules');
  const modulesAgain = join(farm.folder, 'modules');
  execFileSync('cp', ['-a', modules, modulesAgain]);
  expect(countFiles(farm.source)).toBeGreaterThanOrEqual(wantedFiles);
  const mirror = farm.start();
  await mirror.inSync(180_000);
  farm.expectEqual();

  // As `npm ci` does: everything goes and comes again.
  rmSync(modules, { recursive: true });
  execFileSync('cp', ['-a', modulesAgain, modules]);
  await mirror.barrier(180);
  farm.expectEqual();
  await mirror.end();

  // A restart sends nothing.
  const before = inodeNumbers(farm.replicas[0] ?? '');
  const again = farm.start();
  await again.inSync(60_000);
  await again.end();
  const after = inodeNumbers(farm.replicas[0] ?? '');
  const placed = [...before].filter(
    ([path, number]) => !path.includes('/.fam/') && after.get(path) !== number,
  );
  expect(placed).toEqual([]);
}, 400_000);

// What is known of the blocks of large files is swept after so many of them; they are as large as need be for that, and hold nothing.
test('more large files than are kept in mind before the first sweep', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 0 });
  mkdirSync(join(farm.source, 'large'), { recursive: true });
  for (let i = 0; i < 4200; i++) {
    const path = join(farm.source, 'large', `file${i}`);
    writeFileSync(path, '');
    truncateSync(path, 256 * 1024);
  }
  const mirror = farm.start();
  await mirror.inSync(120_000);
  rmSync(join(farm.source, 'large'), { recursive: true });
  await mirror.barrier(60);
  farm.expectEqual();
  await mirror.end();
});
