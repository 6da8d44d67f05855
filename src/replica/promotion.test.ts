import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { expectEqualTrees } from '../../test/oracle/compare-trees.ts';
import { entriesBelow } from '../../test/support/entries-below.ts';
import { Killed, ReplicaPair } from '../../test/support/replica-pair.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { openHome } from './home.ts';
import { promote, undoPromotion } from './promotion.ts';

function makePair(): ReplicaPair {
  return new ReplicaPair(tempFolder('promotion'));
}

/** One whose source has files, recorded and not yet sent. */
function makeFilledPair(): ReplicaPair {
  const pair = makePair();
  fill(pair.source);
  pair.record();
  return pair;
}

function die(): never {
  throw new Killed();
}

/** Contents of all files below a folder, each once. */
function contentsIn(folder: string): Set<string> {
  const files = [...entriesBelow(folder)].filter((entry) => entry.isFile());
  return new Set(files.map((entry) => fs.readFileSync(join(entry.parentPath, entry.name), 'latin1')));
}

function fill(source: string): void {
  const at = (path: string): string => join(source, path);
  fs.mkdirSync(at('a/b/c'), { recursive: true });
  for (const path of ['a/one', 'a/b/two', 'a/b/c/three', 'four', 'fifth'])
    fs.writeFileSync(at(path), `of ${path}`);
  fs.writeFileSync(at('large'), Buffer.alloc(300_000, 'large'));
}

function change(source: string): void {
  const at = (path: string): string => join(source, path);
  fs.renameSync(at('a/b'), at('b'));
  fs.renameSync(at('a'), at('b/a'));
  fs.renameSync(at('four'), at('x'));
  fs.renameSync(at('fifth'), at('four'));
  fs.renameSync(at('x'), at('fifth'));
  fs.writeFileSync(at('b/two'), 'changed');
  fs.writeFileSync(at('new'), 'new');
  fs.mkdirSync(at('folder/deep'), { recursive: true });
  fs.writeFileSync(at('folder/deep/file'), 'in a new folder');
  fs.renameSync(at('b/c'), at('folder/c'));
  fs.writeFileSync(at('large'), Buffer.alloc(400_000, 'other'));
}

describe('promote', () => {
  test('after the agent was killed at any step: nothing half is shown, nothing is lost, and it can follow again', async () => {
    for (let n = 1, killed = true; killed; n++) {
      const pair = makePair();
      fill(pair.source);
      const before = contentsIn(pair.source);
      pair.record();
      pair.connect();
      change(pair.source);
      const after = contentsIn(pair.source);
      pair.record();
      killed = pair.connectKilledAt(n);
      const { trash } = await promote(pair.replica, { force: false });
      const shown = contentsIn(pair.replica);
      const kept = contentsIn(trash);
      for (const content of shown) expect(before.has(content) || after.has(content), `step ${n}`).toBe(true);
      for (const content of before) {
        if (after.has(content))
          expect(shown.has(content) || kept.has(content), `step ${n}: ${content.slice(0, 20)}`).toBe(true);
      }
      expect(await undoPromotion(pair.replica)).toBe(true);
      pair.connect();
      expectEqualTrees(pair.source, pair.replica);
      expect(n).toBeLessThan(200);
      pair.close();
    }
  });

  test('says of which files newer content had been announced', async () => {
    const pair = makeFilledPair();
    pair.connect();
    fs.writeFileSync(join(pair.source, 'large'), Buffer.alloc(2_000_000, 'other'));
    pair.record();
    const dieAtSecond = (pieces: number): void => {
      if (pieces === 2) die();
    };
    expect(() => pair.connect({ onPiece: dieAtSecond })).toThrow(Killed);
    const { owed } = await promote(pair.replica, { force: false });
    expect(owed).toEqual(['large']);
    expect(fs.statSync(join(pair.replica, 'large')).size).toBe(300_000);
  });

  test('a later promotion is later, although the clock has gone back', async () => {
    const pair = makeFilledPair();
    pair.connect();
    const first = await promote(pair.replica, { force: false });
    const second = await promote(pair.replica, { force: false });
    expect(second.succession.promotedAt).toBeGreaterThan(first.succession.promotedAt);
    expect(second.succession.sourceId).toBe(first.succession.sourceId);
  });

  test('says that records were lost in a power failure', async () => {
    const pair = makeFilledPair();
    pair.connect();
    const boot = join(pair.folder, '.fam-replica/state/boot');
    const mark = JSON.parse(fs.readFileSync(boot, 'utf8'));
    fs.writeFileSync(boot, JSON.stringify({ ...mark, clean: false, bootId: 'of the day before' }));
    const { hasLostRecords, owed } = await promote(pair.replica, { force: false });
    expect({ hasLostRecords, owed }).toEqual({ hasLostRecords: true, owed: [] });
    expectEqualTrees(pair.source, pair.replica);
  });

  test('is what it was where an agent does not end', async () => {
    const pair = makeFilledPair();
    pair.connect();
    const home = openHome(pair.replica);
    // Not ours to signal: as if it were another user's, or frozen.
    fs.writeFileSync(join(home.path, 'lock'), '');
    const before = fs.readFileSync(join(home.path, 'succession.json'), 'utf8');
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const refused = promote(pair.replica, { force: false });
    vi.advanceTimersByTime(60_000);
    await expect(refused).rejects.toMatchObject({
      code: 'REPLICA_BUSY',
      message: expect.stringContaining('process unknown'),
    });
    expect(fs.readFileSync(join(home.path, 'succession.json'), 'utf8')).toBe(before);
    home.close();
  });

  test('refuses a replica to which a large file of the first copy is still on its way', async () => {
    const pair = makeFilledPair();
    expect(() => pair.connect({ onPiece: die })).toThrow(Killed);
    await expect(promote(pair.replica, { force: false })).rejects.toMatchObject({
      code: 'REPLICA_INCOMPLETE',
    });
    pair.connect();
    fs.writeFileSync(join(pair.source, 'large'), Buffer.alloc(300_000, 'newer'));
    pair.record();
    expect(() => pair.connect({ onPiece: die })).toThrow(Killed);
    const { owed } = await promote(pair.replica, { force: false });
    expect(owed).toEqual(['large']);
    pair.close();
  });

  test('says how many files a first copy lacked that is promoted by force: they have no names yet', async () => {
    const pair = makeFilledPair();
    expect(() => pair.connect({ onPiece: die })).toThrow(Killed);
    const { owed, lacking } = await promote(pair.replica, { force: true });
    expect({ owed, lacking }).toEqual({ owed: [], lacking: 1 });
    pair.close();
  });

  test('refuses a folder that is no replica, one inside a replica too, and leaves nothing in it', async () => {
    const pair = makeFilledPair();
    pair.connect();
    const inside = join(pair.replica, 'a');
    await expect(promote(inside, { force: false })).rejects.toMatchObject({ code: 'REPLICA_INCOMPLETE' });
    expectEqualTrees(pair.source, pair.replica);
    expect((await promote(inside, { force: true })).succession.isMain).toBe(true);
    pair.close();
  });

  test('refuses a replica whose first copy was cut off', async () => {
    const pair = makeFilledPair();
    const dieAtSecond = (listings: number): void => {
      if (listings === 2) die();
    };
    expect(() => pair.connect({ onListing: dieAtSecond })).toThrow(Killed);
    await expect(promote(pair.replica, { force: false })).rejects.toMatchObject({
      code: 'REPLICA_INCOMPLETE',
    });
    pair.connect();
    expectEqualTrees(pair.source, pair.replica);
  });
});
