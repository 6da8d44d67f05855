// Attributes and link targets fill messages as contents do: a message that exceeds a frame would be built again for ever.

import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bytesOfText } from '../../src/core/name.ts';
import * as sys from '../../src/kernel/sys.ts';
import { compareTrees } from '../oracle/compare-trees.ts';
import { ReplicaPair } from '../support/replica-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

const count = 5000;
const longTarget = `${'d'.repeat(200)}/`.repeat(19);

/** As Samba and netatalk keep resource forks: together more than a frame holds. */
const forks = 300;
const forkBytes = 60_000;

function emptyPair(): ReplicaPair {
  const pair = new ReplicaPair(tempFolder('fam-attributes', '/dev/shm'));
  onTestFinished(() => pair.close());
  return pair;
}

function setFork(path: string, bytes: Buffer): void {
  const fd = sys.check(sys.openat(sys.AT_FDCWD, bytesOfText(path), sys.O_RDONLY), 'open');
  sys.check(sys.fsetxattr(fd, 'trusted.fork', bytes), 'setxattr');
  sys.close(fd);
}

function makeForks(pair: ReplicaPair): void {
  for (let i = 0; i < forks; i++) {
    const path = join(pair.source, `file${i}`);
    fs.writeFileSync(path, 'x');
    setFork(path, Buffer.alloc(forkBytes, i));
  }
}

function expectEqual(pair: ReplicaPair): void {
  expect(compareTrees(pair.source, pair.replica, { ignore: ['.fam'] })).toEqual([]);
}

const kinds: [string, (pair: ReplicaPair) => void][] = [
  ['extended attributes', makeForks],
  [
    'link targets',
    (pair) => {
      for (let i = 0; i < count; i++) fs.symlinkSync(`${longTarget}${i}`, join(pair.source, `link${i}`));
    },
  ],
];

test.each(kinds)('%s larger than a frame: first contact with a replica that has nothing', (_, make) => {
  const pair = emptyPair();
  make(pair);
  pair.record();
  pair.connect();
  expectEqual(pair);
});

test.each(kinds)('%s larger than a frame: a batch', (_, make) => {
  const pair = emptyPair();
  pair.record();
  pair.connect();
  make(pair);
  pair.record();
  pair.connect();
  expectEqual(pair);
});

test('extended attributes larger than a frame: files that the replica has', () => {
  const pair = emptyPair();
  makeForks(pair);
  pair.record();
  pair.connect();
  for (let i = 0; i < forks; i++) {
    setFork(join(pair.source, `file${i}`), Buffer.alloc(forkBytes, i + 1));
    fs.utimesSync(join(pair.source, `file${i}`), 5, 5);
  }
  pair.record();
  pair.connect();
  expectEqual(pair);
  fs.rmSync(join(pair.folder, '.fam-replica'), { recursive: true });
  for (let i = 0; i < forks; i++) fs.writeFileSync(join(pair.source, `file${i}`), 'y');
  pair.record();
  pair.connect();
  expectEqual(pair);
});
