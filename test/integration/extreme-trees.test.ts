// Trees that few programs can walk: paths beyond PATH_MAX, names of 255 bytes, a directory with very many entries.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ReplicaPair } from '../support/replica-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

process.umask(0o022);

function makePair(): ReplicaPair {
  const pair = new ReplicaPair(tempFolder('fam-extreme', '/dev/shm'));
  onTestFinished(() => {
    pair.close();
    // Node.js cannot remove what it cannot name.
    execFileSync('rm', ['-rf', pair.source, pair.replica]);
  });
  return pair;
}

const sh = (cwd: string, script: string): string =>
  execFileSync('sh', ['-c', script], { cwd, encoding: 'utf8', maxBuffer: 64 << 20 });

/** Everything that find, which goes from directory to directory, can say of a tree, contents included. */
const listing = (root: string): string =>
  sh(root, `find . -printf '%P %y %m %U %G %s %T@ %l\\n' | sort; find . -type f -execdir cat {} +`);

/** For each directory from the top down: one name of 255 bytes, in all far more than PATH_MAX (4,096). */
const deepName = 'd'.repeat(255);
const depth = 40;
const descend = `i=0; while [ $i -lt ${depth} ]; do mkdir -p ${deepName}; cd -P ./${deepName}; i=$((i+1)); done;`;

test('paths beyond PATH_MAX are mirrored, changed, moved and removed', () => {
  const pair = makePair();
  const sync = (): void => {
    pair.record();
    expect(pair.connect().problems).toEqual([]);
  };
  sh(pair.source, `${descend} echo deep > page; ln -s page link; chmod 600 page`);
  sync();
  const seen = listing(pair.source);
  expect(seen).toContain('deep\n');
  expect(Math.max(...seen.split('\n').map((line) => line.length))).toBeGreaterThan(10_000);
  expect(listing(pair.replica)).toBe(seen);

  sh(
    pair.source,
    `${descend} echo changed > page; mv link link-2; mkdir new; head -c 300000 /dev/zero > new/large`,
  );
  fs.renameSync(join(pair.source, deepName), join(pair.source, 'moved'));
  sync();
  expect(listing(pair.replica)).toBe(listing(pair.source));

  sh(pair.source, `mv moved ${deepName}; ${descend} rm -r new page`);
  sync();
  expect(listing(pair.replica)).toBe(listing(pair.source));

  execFileSync('rm', ['-rf', join(pair.source, deepName)]);
  sync();
  expect(fs.readdirSync(pair.replica)).toEqual([]);
});

/** 1,000,000 takes some minutes: `FAM_DIRECTORY_ENTRIES=1000000 npm test -- test/integration/extreme-trees`. */
const entries = Number(process.env['FAM_DIRECTORY_ENTRIES'] ?? 30_000);

test(`a directory with ${entries} entries`, { timeout: 60_000 + entries / 2 }, () => {
  const pair = makePair();
  const folder = join(pair.source, 'many');
  fs.mkdirSync(folder);
  for (let n = 0; n < entries; n++) fs.writeFileSync(join(folder, `entry-${n}`), '');
  pair.record();
  expect(pair.connect().problems).toEqual([]);
  const names = (root: string): string[] => fs.readdirSync(join(root, 'many')).sort();
  expect(names(pair.replica)).toEqual(names(pair.source));

  // A change in it costs what it would cost anywhere.
  fs.writeFileSync(join(folder, 'entry-77'), 'changed');
  fs.renameSync(join(folder, 'entry-78'), join(folder, 'renamed'));
  fs.rmSync(join(folder, 'entry-79'));
  pair.record();
  const { sentBytes, problems } = pair.connect();
  expect(problems).toEqual([]);
  expect(sentBytes).toBeLessThan(1024);
  expect(names(pair.replica)).toEqual(names(pair.source));
  expect(fs.readFileSync(join(pair.replica, 'many/entry-77'), 'utf8')).toBe('changed');

  fs.rmSync(folder, { recursive: true });
  pair.record();
  expect(pair.connect().problems).toEqual([]);
  expect(fs.readdirSync(pair.replica)).toEqual([]);
});
