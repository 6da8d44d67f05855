// I7: nothing is written or deleted outside of the replica's root, whatever local users do meanwhile: an administrator of the replica moves
// a folder out of it, to keep what is in there.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { whyNotMountable } from '../contract/filesystems.ts';
import { expectEqualTrees } from '../oracle/compare-trees.ts';
import { ReplicaPair } from '../support/replica-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { contradictionsOfReplica } from '../support/tree/contradictions.ts';

interface Moved {
  readonly pair: ReplicaPair;
  /** A folder of both trees, and one in it. */
  readonly site: string;
  readonly deep: string;
  /** Where the replica's `site` goes. */
  readonly safe: string;
}

function makePair(): Moved {
  const pair = new ReplicaPair(tempFolder('fam-moved', '/dev/shm'));
  onTestFinished(() => pair.close());
  const site = join(pair.source, 'site');
  const deep = join(site, 'deep');
  fs.mkdirSync(deep, { recursive: true });
  for (const name of ['a', 'b', 'c']) {
    fs.writeFileSync(join(site, name), name);
    fs.writeFileSync(join(deep, name), name);
  }
  fs.writeFileSync(join(pair.source, 'other'), 'x');
  pair.record();
  return { pair, site, deep, safe: join(pair.folder, 'safe') };
}

function moveAway({ pair, safe }: Moved): void {
  fs.renameSync(join(pair.replica, 'site'), safe);
}

/** Names below a folder, with what is in them and when they were changed. */
function stateOf(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => {
      const path = join(folder, name);
      const { mtimeNs, ctimeNs } = fs.lstatSync(path, { bigint: true });
      const content = fs.lstatSync(path).isFile() ? fs.readFileSync(path, 'utf8') : '';
      return `${name} ${mtimeNs} ${ctimeNs} ${content.length} ${content.slice(0, 20)}`;
    })
    .sort();
}

test('a folder that has left the replica is left alone, and made again', () => {
  const moved = makePair();
  const { pair, site, deep, safe } = moved;
  pair.connect();
  // The agent has been at work in both of them.
  fs.writeFileSync(join(site, 'a'), 'changed');
  fs.writeFileSync(join(deep, 'a'), 'changed');
  pair.record();
  let before: string[] = [];
  const { problems } = pair.connect({}, undefined, () => {
    moveAway(moved);
    before = stateOf(safe);
    fs.rmSync(join(site, 'b'));
    fs.writeFileSync(join(site, 'new'), 'new');
    fs.rmSync(join(deep, 'b'));
    fs.writeFileSync(join(deep, 'c'), 'changed');
    fs.chmodSync(join(deep, 'a'), 0o600);
    fs.renameSync(join(site, 'c'), join(pair.source, 'c'));
    fs.mkdirSync(join(site, 'made'));
    fs.writeFileSync(join(site, 'made/large'), 'x'.repeat(300_000));
    pair.record();
    return true;
  });
  expect(before).toHaveLength(7);
  expect(stateOf(safe)).toEqual(before);
  expect(new Set(problems.map(({ code }) => code))).toEqual(new Set(['ENOENT']));
  expectEqualTrees(pair.source, pair.replica);
});

test('a folder that has left the replica is made again with all that is in it, whatever was not touched', () => {
  const moved = makePair();
  const { pair, site, deep, safe } = moved;
  const deepest = join(deep, 'deepest');
  fs.mkdirSync(deepest);
  fs.writeFileSync(join(deepest, 'large'), 'x'.repeat(300_000));
  fs.linkSync(join(deepest, 'large'), join(deep, 'link'));
  pair.record();
  pair.connect();
  moveAway(moved);
  const before = stateOf(safe);
  fs.writeFileSync(join(site, 'new'), 'new');
  pair.record();
  pair.connect();
  expect(stateOf(safe)).toEqual(before);
  expectEqualTrees(pair.source, pair.replica);
  // Nothing is recorded in what is not there.
  const state = join(pair.folder, '.fam-replica/state');
  expect(contradictionsOfReplica(state, pair.replica)).toEqual([]);
});

test('all that was in a folder comes again when one in it is removed at the source after it has left', () => {
  const moved = makePair();
  const { pair, deep } = moved;
  pair.connect();
  moveAway(moved);
  fs.rmSync(deep, { recursive: true });
  pair.record();
  pair.connect();
  expectEqualTrees(pair.source, pair.replica);
});

const reason = whyNotMountable('ext4');

test.skipIf(reason !== undefined).each([
  ['written', (site: string) => fs.writeFileSync(join(site, 'a'), 'changed'), 'put in place', 'EXDEV'],
  ['removed', (site: string) => fs.rmSync(join(site, 'deep/b')), 'remove', 'ENOENT'],
])(
  'a folder over which somebody has mounted something has not left: a file in it is %s',
  (_, change, action, code) => {
    const { pair, site } = makePair();
    pair.connect();
    const there = join(pair.replica, 'site');
    execFileSync('mount', ['-t', 'tmpfs', 'none', there]);
    const unmount = (): void => {
      execFileSync('umount', [there]);
    };
    let isMounted = true;
    onTestFinished(() => {
      if (isMounted) unmount();
    });
    change(site);
    pair.record();
    const { counts, problems } = pair.connect();
    expect(counts.get('listing'), 'nothing is listed again for it').toBeUndefined();
    expect(problems).toContainEqual(expect.objectContaining({ action, code }));
    unmount();
    isMounted = false;
    pair.connect();
    expectEqualTrees(pair.source, pair.replica);
  },
);

test('a link that somebody has removed from the replica is made again when the source changes its attributes', () => {
  const { pair, site } = makePair();
  fs.symlinkSync('target', join(site, 'link'));
  pair.record();
  pair.connect();
  fs.rmSync(join(pair.replica, 'site/link'));
  fs.lutimesSync(join(site, 'link'), 1, 1);
  pair.record();
  pair.connect();
  expectEqualTrees(pair.source, pair.replica);
});

test('what is in a folder of the same name is another one, and that is where changes go', () => {
  const moved = makePair();
  const { pair, deep, safe } = moved;
  pair.connect();
  fs.writeFileSync(join(deep, 'a'), 'changed');
  pair.record();
  let before: string[] = [];
  pair.connect({}, undefined, () => {
    moveAway(moved);
    before = stateOf(safe);
    fs.mkdirSync(join(pair.replica, 'site/deep'), { recursive: true });
    fs.writeFileSync(join(deep, 'a'), 'changed again');
    pair.record();
    return true;
  });
  expect(stateOf(safe)).toEqual(before);
  expect(fs.readFileSync(join(pair.replica, 'site/deep/a'), 'utf8')).toBe('changed again');
});

test('a folder that leaves between two messages that list it is left alone', () => {
  const moved = makePair();
  const { pair, site, safe } = moved;
  // More than one message lists, and among the last of them one whose attributes are to be set.
  for (let i = 0; i < 4200; i++) fs.writeFileSync(join(site, `${i}`), '');
  pair.record();
  pair.connect();
  fs.rmSync(join(pair.folder, '.fam-replica'), { recursive: true });
  fs.writeFileSync(join(pair.replica, 'site/theirs'), 'not at the source');
  fs.chmodSync(join(site, 'c'), 0o600);
  pair.record();
  let before: string[] = [];
  const onListing = (count: number): void => {
    if (count !== 2) return;
    moveAway(moved);
    before = stateOf(safe);
  };
  const { problems } = pair.connect({ init: true, onListing });
  expect(before.length).toBeGreaterThan(4200);
  expect(stateOf(safe)).toEqual(before);
  expect(problems).toContainEqual({ path: 'site', action: 'open', code: 'ENOENT' });
});
