import { chmodSync, cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';
import { digestOf, Keepsakes } from './keepsakes.ts';

function folderWithFiles(): string {
  const folder = tempFolder('fam-keepsakes');
  mkdirSync(join(folder, 'moved/deep'), { recursive: true });
  mkdirSync(join(folder, 'trash'));
  for (const name of ['moved/page', 'moved/deep/page'])
    writeFileSync(join(folder, name), `content of ${name}`);
  return folder;
}

test.each<[what: string, change: (at: (path: string) => string) => void]>([
  ['other bytes', (at) => writeFileSync(at('page'), 'another of moved/pag')],
  ['another mode', (at) => chmodSync(at('deep'), 0o700)],
  ['a name less', (at) => rmSync(at('deep/page'))],
  ['a name more', (at) => writeFileSync(at('deep/more'), '')],
  [
    'an equal file in the place of one',
    (at) => {
      cpSync(at('page'), at('copy'), { preserveTimestamps: true });
      renameSync(at('copy'), at('page'));
    },
  ],
])('Keepsakes sees %s in a folder that was moved out of a replica', (_, change) => {
  const folder = folderWithFiles();
  const keepsakes = new Keepsakes();
  keepsakes.keepOutside(join(folder, 'moved'));
  expect(keepsakes.violations()).toEqual([]);
  change((path) => join(folder, 'moved', path));
  expect(keepsakes.violations()).not.toEqual([]);
});

test('Keepsakes misses what a local user gave and is not in the trash, however deep', () => {
  const folder = folderWithFiles();
  const trash = join(folder, 'trash');
  const keepsakes = new Keepsakes();
  const path = join(folder, 'moved/deep/page');
  keepsakes.expectInTrash(trash, [{ path, digest: digestOf(path) }]);
  expect(keepsakes.violations()).toEqual([`"${path}" was put there by a local user, and is not in ${trash}`]);
  renameSync(join(folder, 'moved'), join(trash, '1-2-3'));
  expect(keepsakes.violations()).toEqual([]);
  rmSync(join(trash, '1-2-3'), { recursive: true });
  keepsakes.forgetTrash(trash);
  expect(keepsakes.violations()).toEqual([]);
});
