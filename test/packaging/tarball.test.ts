// What users install is the tarball, not the checkout: no install script, no compiler, nothing missing.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { expectEqualTrees } from '../oracle/compare-trees.ts';
import { makeTree } from '../support/make-tree.ts';
import { tempFolder } from '../support/temp-folder.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const manifest: { version: string; scripts: Record<string, string> } = JSON.parse(
  readFileSync(join(checkout, 'package.json'), 'utf8'),
);

/** A PATH with nothing but Node, npm and a shell: an install that wanted a compiler, python or curl would fail. */
function barePath(): string {
  const bin = tempFolder('bare-path');
  const find = (command: string) =>
    execFileSync('sh', ['-c', `command -v ${command}`], { encoding: 'utf8' }).trim();
  for (const command of ['node', 'npm', 'sh']) symlinkSync(find(command), join(bin, command));
  return bin;
}

test('the packed tarball installs without scripts or compiler, and mirrors', () => {
  for (const hook of ['preinstall', 'install', 'postinstall', 'prepare'])
    expect(manifest.scripts[hook]).toBeUndefined();

  const folder = tempFolder('packaging');
  const packed: [{ filename: string; files: { path: string }[] }] = JSON.parse(
    execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
      cwd: checkout,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  );
  const paths = packed[0].files.map(({ path }) => path);
  expect(paths).toEqual(
    expect.arrayContaining(['bin/fam', 'bin/fam_mirror', 'dist/cli/main.js', 'LICENSE', 'README.md']),
  );
  expect(paths.filter((path) => /^(src|test|bench|scripts)\/|\.test\./.test(path))).toEqual([]);

  const prefix = join(folder, 'prefix');
  mkdirSync(prefix);
  // How this machine reaches the registry is not what is tested.
  const { NODE_EXTRA_CA_CERTS = '' } = process.env;
  const env = { HOME: folder, PATH: barePath(), npm_config_cache: cacheOf(), NODE_EXTRA_CA_CERTS };
  execFileSync(
    'npm',
    [
      'install',
      '--ignore-scripts',
      '--global',
      '--prefix',
      prefix,
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      join(folder, packed[0].filename),
    ],
    { env, cwd: folder, stdio: 'pipe' },
  );
  const installed = (command: string, ...args: string[]) =>
    execFileSync(join(prefix, 'bin', command), args, { env, cwd: folder, encoding: 'utf8', stdio: 'pipe' });
  expect(installed('fam', '--version').trim()).toBe(manifest.version);

  const source = join(folder, 'source');
  makeTree(source, 1, 200);
  for (const [command, dest] of [
    ['fam', 'dest'],
    ['fam_mirror', 'dest-2'],
  ] as const) {
    mkdirSync(join(folder, dest));
    const mirror = command === 'fam' ? ['mirror'] : [];
    installed(
      command,
      ...mirror,
      source,
      join(folder, dest),
      '--once',
      '--state',
      join(folder, `state-${dest}`),
    );
    expectEqualTrees(source, join(folder, dest), { ignore: ['.fam'] });
  }
});

/** The packages that the checkout was installed from, so that the test asks the registry for little. */
function cacheOf(): string {
  return execFileSync('npm', ['config', 'get', 'cache'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();
}
