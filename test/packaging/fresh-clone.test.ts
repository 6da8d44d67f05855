// What a newcomer types: one command in a fresh clone. Nothing is installed or built before.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { expectEqualTrees } from '../oracle/compare-trees.ts';
import { makeTree } from '../support/make-tree.ts';
import { tempFolder } from '../support/temp-folder.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));

function freshClone(): {
  clone: string;
  npm: (...args: string[]) => { status: number | null; stdout: string; stderr: string };
} {
  const clone = join(tempFolder('clone'), 'fam');
  // The files of this checkout as git sees them, uncommitted ones included: what is tested is what is here.
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: checkout,
  });
  mkdirSync(clone);
  execFileSync(
    'sh',
    ['-c', `tar -C '${checkout}' --null --ignore-failed-read -T - -cf - | tar -C '${clone}' -xf -`],
    { input: files },
  );
  const npm = (...args: string[]) => spawnSync('npm', args, { cwd: clone, encoding: 'utf8' });
  return { clone, npm };
}

test('npm start -- SRC DEST mirrors from a fresh clone, and npm test runs tests and counts them', () => {
  const { clone, npm } = freshClone();
  expect(existsSync(join(clone, 'node_modules'))).toBe(false);
  const folder = tempFolder('newcomer');
  makeTree(join(folder, 'source'), 2, 100);
  mkdirSync(join(folder, 'dest'));
  const start = npm(
    'start',
    '--',
    join(folder, 'source'),
    join(folder, 'dest'),
    '--once',
    '--state',
    join(folder, 'state'),
  );
  expect(start.status, start.stderr).toBe(0);
  expectEqualTrees(join(folder, 'source'), join(folder, 'dest'), { ignore: ['.fam'] });

  // A second start neither installs nor builds.
  const again = npm('start', '--', '--help');
  expect(again.status, again.stderr).toBe(0);
  expect(again.stderr).not.toMatch(/installing|building/);

  const passing = npm('test', '--', 'src/core');
  expect(passing.stdout.trimEnd().split('\n').at(-1)).toMatch(/^\d+ passed, 0 failed$/);
  expect(passing.status, passing.stderr).toBe(0);

  writeFileSync(
    join(clone, 'src/core/broken.test.ts'),
    "import { expect, test } from 'vitest';\ntest('broken', () => expect(1).toBe(2));\n",
  );
  const failing = npm('test', '--', 'src/core/broken');
  expect(failing.stdout.trimEnd().split('\n').at(-1)).toBe('0 passed, 1 failed');
  expect(failing.status).toBe(1);
}, 240_000);
