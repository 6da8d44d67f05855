// What was renamed, or given another mode, while nobody watched costs no content: the replica compares what it has. And what was written
// with its time put back arrives all the same.

import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { compareTrees } from '../oracle/compare-trees.ts';
import { Killed, ReplicaPair } from '../support/replica-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

process.umask(0o022);

const sizes = [0, 20, 33, 4096, 131_072, 131_073, 200_000, 1_000_000];

const someTime = 1_700_000_000;

/** A mirrored pair with a file of each size. `record` and `connect` of such a pair see what happened as after a time when nobody watched. */
function mirrored(): ReplicaPair {
  const pair = new ReplicaPair(tempFolder('fam-unwatched', '/dev/shm'));
  onTestFinished(() => pair.close());
  fs.mkdirSync(join(pair.source, 'folder'));
  for (const size of sizes) {
    fs.writeFileSync(join(pair.source, 'folder', `file-${size}`), Buffer.alloc(size, `${size} `));
    fs.utimesSync(join(pair.source, 'folder', `file-${size}`), 1, someTime);
  }
  pair.record();
  pair.connect();
  return pair;
}

const inSource = (pair: ReplicaPair, size: number) => join(pair.source, 'folder', `file-${size}`);

function expectEqual(pair: ReplicaPair): void {
  expect(compareTrees(pair.source, pair.replica, { ignore: ['.fam'] })).toEqual([]);
}

/** Contents shorter than their digest travel themselves. */
const tiny = sizes.filter((size) => size <= 32).reduce((sum, size) => sum + size, 0);

/** Writes other content of the same size and puts the mtime back. */
function rewriteUnseen(path: string): void {
  const { size } = fs.statSync(path);
  fs.writeFileSync(path, Buffer.alloc(size, 'other'));
  fs.utimesSync(path, 1, someTime);
}

test('files of any size that were renamed, or whose mode or owner was changed, are not sent again', () => {
  const pair = mirrored();
  const inodesBefore = sizes.map((size) => fs.statSync(join(pair.replica, 'folder', `file-${size}`)).ino);
  for (const size of sizes) {
    fs.renameSync(inSource(pair, size), join(pair.source, `renamed-${size}`));
    fs.chmodSync(join(pair.source, `renamed-${size}`), 0o640);
    fs.chownSync(join(pair.source, `renamed-${size}`), 33, 33);
  }
  pair.record();
  const { contentBytes, problems } = pair.connect();
  expect(problems).toEqual([]);
  expect(contentBytes).toBe(tiny);
  expectEqual(pair);
  // None was built anew either, save what is shorter than its digest.
  const inodes = sizes.map((size) => fs.statSync(join(pair.replica, `renamed-${size}`)).ino);
  for (const [n, size] of sizes.entries()) if (size > 32) expect(inodes[n], `${size}`).toBe(inodesBefore[n]);
  // And it is settled: nothing is left to compare.
  const again = pair.connect();
  expect(again.counts.get('wants')).toBeUndefined();
  expect(again.contentBytes).toBe(0);
  // What is known of the large one holds for its next change.
  fs.appendFileSync(join(pair.source, 'renamed-1000000'), 'more');
  pair.record();
  expect(pair.connect().counts.get('digests-wanted')).toBe(1);
  expectEqual(pair);
});

test('a folder that was renamed costs one small message, whatever it holds', () => {
  const pair = mirrored();
  for (let n = 0; n < 2000; n++) fs.writeFileSync(join(pair.source, 'folder', `page-${n}`), `page ${n}`);
  pair.record();
  pair.connect();
  fs.renameSync(join(pair.source, 'folder'), join(pair.source, 'moved'));
  pair.record();
  const { contentBytes, counts, sentBytes } = pair.connect();
  expect(contentBytes).toBe(0);
  expect(counts.get('batch')).toBe(1);
  // `welcome` is most of it.
  expect(sentBytes).toBeLessThan(1024);
  expectEqual(pair);
});

test('a file that was written with its time put back arrives, whatever its size', () => {
  const pair = mirrored();
  for (const size of sizes) rewriteUnseen(inSource(pair, size));
  pair.record();
  pair.connect();
  expectEqual(pair);
  expect(fs.readFileSync(join(pair.replica, 'folder/file-4096'), 'latin1')).toMatch(/^other/);
});

test('what somebody did to the replica’s copy is seen: its content comes again', () => {
  const pair = mirrored();
  rewriteUnseen(join(pair.replica, 'folder/file-4096'));
  fs.rmSync(join(pair.replica, 'folder/file-131072'));
  for (const size of sizes) fs.chmodSync(inSource(pair, size), 0o600);
  pair.record();
  pair.connect();
  expectEqual(pair);
});

test('a content that proves to be another one is still asked for after the agent was killed', () => {
  for (const killAt of ['before-commit', 'committed']) {
    const pair = mirrored();
    rewriteUnseen(inSource(pair, 4096));
    pair.record();
    const die = (step: string): void => {
      if (step === killAt) throw new Killed();
    };
    expect(() => pair.connect({}, die)).toThrow(Killed);
    pair.connect();
    expectEqual(pair);
  }
});
