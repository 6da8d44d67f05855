import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compareTrees } from '../oracle/compare-trees.ts';
import { makeTree } from './make-tree.ts';
import { startNginx } from './nginx.ts';
import { tempFolder } from './temp-folder.ts';
import { startVsftpd } from './vsftpd.ts';

const curl = (...args: string[]) => execFileSync('curl', ['-sS', '--fail', ...args]);

test('startVsftpd takes uploads, renames and deletes, and startNginx serves them', async () => {
  const folder = tempFolder('servers');
  chmodSync(folder, 0o755);
  const root = join(folder, 'pub');
  mkdirSync(join(root, 'incoming'), { recursive: true });
  const [ftp, http] = await Promise.all([startVsftpd(root), startNginx(root)]);
  const content = 'x'.repeat(300_000);
  writeFileSync(join(folder, 'up'), content);
  curl('-T', join(folder, 'up'), '--ftp-create-dirs', `${ftp}/incoming/new/page.html`);
  expect(curl(`${http}/incoming/new/page.html`).toString()).toBe(content);
  expect(statSync(join(root, 'incoming/new/page.html')).mode & 0o777).toBe(0o644);
  curl(`${ftp}/`, '-Q', 'RNFR incoming/new/page.html', '-Q', 'RNTO incoming/new/other.html');
  expect(readFileSync(join(root, 'incoming/new/other.html'), 'utf8')).toBe(content);
  curl(`${ftp}/`, '-Q', 'DELE incoming/new/other.html');
  expect(() => curl(`${http}/incoming/new/other.html`)).toThrow(/404/);
});

test('makeTree makes the same tree from the same seed', () => {
  const folder = tempFolder('trees');
  const paths = makeTree(join(folder, 'a'), 7, 200);
  makeTree(join(folder, 'b'), 7, 200);
  expect(paths).toHaveLength(200);
  const differences = compareTrees(join(folder, 'a'), join(folder, 'b'));
  // A folder's mtime is the time at which it was filled.
  expect(differences.filter(({ what }) => !what.startsWith('mtime'))).toEqual([]);
  makeTree(join(folder, 'c'), 8, 200);
  expect(compareTrees(join(folder, 'a'), join(folder, 'c')).length).toBeGreaterThan(100);
});
