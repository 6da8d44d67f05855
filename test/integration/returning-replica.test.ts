// A replica that comes back as another one than it went: from a backup, or from before what the source remembers. It is noticed, compared, and
// equal afterwards; what is the same is not sent.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { compareTrees } from '../oracle/compare-trees.ts';
import { type Connection, Killed, ReplicaPair } from '../support/replica-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

process.umask(0o022);

function mirrored(): ReplicaPair {
  const pair = new ReplicaPair(tempFolder('fam-returning', '/dev/shm'));
  onTestFinished(() => pair.close());
  fs.mkdirSync(join(pair.source, 'folder/deep'), { recursive: true });
  for (const name of ['page', 'folder/page', 'folder/deep/page', 'goes', 'folder/goes'])
    fs.writeFileSync(join(pair.source, name), `content of ${name}`.repeat(1000));
  pair.record();
  pair.connect();
  return pair;
}

function expectEqual(pair: ReplicaPair): void {
  expect(compareTrees(pair.source, pair.replica, { ignore: ['.fam'] })).toEqual([]);
}

const met = ({ events }: Connection) => events.find((event) => event.type === 'met');
const home = (pair: ReplicaPair) => join(pair.folder, '.fam-replica');

function changeSource(pair: ReplicaPair): void {
  fs.writeFileSync(join(pair.source, 'page'), 'new content');
  fs.rmSync(join(pair.source, 'goes'));
  fs.rmSync(join(pair.source, 'folder/goes'));
  fs.renameSync(join(pair.source, 'folder/deep'), join(pair.source, 'deep'));
  pair.record();
}

test.each([
  ['with the state that it had then', true],
  ['but with its present state', false],
])('a tree that was restored from a backup, %s', (_, withState) => {
  const pair = mirrored();
  const backup = join(pair.folder, 'backup');
  execFileSync('cp', ['-a', pair.replica, backup]);
  execFileSync('cp', ['-a', home(pair), `${backup}-state`]);
  changeSource(pair);
  pair.connect();
  expectEqual(pair);

  fs.rmSync(pair.replica, { recursive: true });
  execFileSync('cp', ['-a', backup, pair.replica]);
  if (withState) {
    fs.rmSync(home(pair), { recursive: true });
    execFileSync('cp', ['-a', `${backup}-state`, home(pair)]);
  }
  fs.writeFileSync(join(pair.source, 'folder/new'), 'written later');
  pair.record();
  const back = pair.connect();
  expect(met(back)).toMatchObject({ mode: 'reconcile' });
  expect(back.problems).toEqual([
    { path: pair.replica, action: 'go on where it was', code: 'not the files that fam left' },
  ]);
  // What the source has deleted since is not known to be fam's: kept, and told (I5).
  expect(back.events).toContainEqual({
    type: 'extras',
    extras: {
      type: 'extras',
      count: 3,
      paths: expect.arrayContaining(['goes', 'folder/goes', 'folder/deep']),
    },
  });
  for (const name of ['goes', 'folder/goes', 'folder/deep'])
    fs.rmSync(join(pair.replica, name), { recursive: true });
  fs.utimesSync(join(pair.source, 'folder'), 5, 5);
  fs.utimesSync(pair.source, 5, 5);
  pair.record();
  expect(met(pair.connect())).toMatchObject({ mode: 'resume' });
  expectEqual(pair);
});

test('a tree that was put back in place from a backup: what differs was rewritten, the rest has not been touched', () => {
  const pair = mirrored();
  const backup = join(pair.folder, 'backup');
  execFileSync('cp', ['-a', pair.replica, backup]);
  fs.writeFileSync(join(pair.source, 'folder/page'), 'new content');
  fs.writeFileSync(join(pair.source, 'folder/deep/page'), 'new content');
  pair.record();
  pair.connect();
  expectEqual(pair);
  execFileSync('rsync', ['-a', '--delete', `${backup}/`, `${pair.replica}/`]);
  const back = pair.connect();
  expect(met(back)).toMatchObject({ mode: 'reconcile' });
  fs.utimesSync(pair.source, 5, 5);
  pair.record();
  expect(met(pair.connect())).toMatchObject({ mode: 'resume' });
  expectEqual(pair);
});

test('a replica from before what the source has forgotten is compared, and loses what was deleted meanwhile', () => {
  const pair = mirrored();
  changeSource(pair);
  pair.prune();
  const back = pair.connect();
  expect(met(back)).toMatchObject({ mode: 'reconcile' });
  expect(back.problems).toEqual([]);
  expect(back.contentBytes).toBe('new content'.length + fs.statSync(join(pair.source, 'deep/page')).size);
  fs.utimesSync(pair.source, 5, 5);
  pair.record();
  pair.connect();
  expectEqual(pair);
  expect(fs.readdirSync(join(home(pair), 'trash'))).toEqual([]);
});

test('a few files that somebody changed or removed do not make a replica another one', () => {
  const pair = mirrored();
  fs.rmSync(join(pair.replica, 'goes'));
  fs.writeFileSync(join(pair.replica, 'theirs'), 'theirs');
  expect(met(pair.connect())).toMatchObject({ mode: 'resume' });
});

// Torture 141000: a folder that had been adopted with an old page in it was renamed before the page's new content had come.
test.each([
  ['is renamed', (at: (name: string) => string) => fs.renameSync(at('folder'), at('elsewhere'))],
  [
    'trades places with another one',
    (at: (name: string) => string) => {
      fs.renameSync(at('folder'), at('between'));
      fs.renameSync(at('other'), at('folder'));
      fs.renameSync(at('between'), at('other'));
    },
  ],
])('no old page under a new name: a folder %s during a first contact, or after it was cut off', (_, move) => {
  for (const isCutOff of [false, true]) expectNoOldPage(move, isCutOff);
});

function expectNoOldPage(move: (at: (name: string) => string) => void, isCutOff: boolean): void {
  const pair = mirrored();
  const inSource = (name: string): string => join(pair.source, name);
  fs.mkdirSync(inSource('other'));
  const old = 'old'.repeat(100_000);
  for (const folder of ['folder', 'other']) fs.writeFileSync(inSource(`${folder}/page`), old + folder);
  pair.record();
  pair.connect();
  for (const folder of ['folder', 'other'])
    fs.writeFileSync(inSource(`${folder}/page`), 'new'.repeat(100_000) + folder);
  pair.record();
  fs.rmSync(home(pair), { recursive: true });

  const where = new Map<string, string>();
  const oldUnderNewNames: string[] = [];
  const look = (): void => {
    for (const folder of fs.readdirSync(pair.replica)) {
      const path = join(pair.replica, folder, 'page');
      const content = fs.existsSync(path) ? fs.readFileSync(path, 'utf8') : '';
      if (!content.startsWith('old')) continue;
      const first = where.get(content) ?? folder;
      where.set(content, first);
      if (first !== folder) oldUnderNewNames.push(folder);
    }
  };
  look();
  const onListing = (listings: number): void => {
    if (listings !== 1 || isCutOff) return;
    move(inSource);
    pair.record();
  };
  const onPiece = (): void => {
    if (isCutOff) throw new Killed();
  };
  if (isCutOff) {
    expect(() => pair.connect({ onPiece }, look)).toThrow(Killed);
    move(inSource);
    pair.record();
  }
  pair.connect({ onListing }, look);
  expect(oldUnderNewNames).toEqual([]);
  pair.connect();
  expectEqual(pair);
}
