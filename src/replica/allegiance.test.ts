import { describe, expect, test } from 'vitest';
import type { Succession } from '../core/succession.ts';
import { sourceIdOf } from '../tree/source-id.ts';
import type { Welcome } from '../wire/messages.ts';
import { follow } from './allegiance.ts';

const root = '/srv/www';
const own = sourceIdOf(root);
const memory = { sourceId: 'line', epoch: 5, reconciled: true };
const follows: Succession = { sourceId: 'line', promotedAt: 0, isMain: false, wasMain: false, isWhole: true };

function welcome(other: Partial<Welcome>): Welcome {
  return {
    type: 'welcome',
    protocol: 1,
    version: 'test',
    sourceId: 'line',
    epoch: 5,
    mode: 'reconcile',
    init: false,
    durability: 'none',
    ...other,
  };
}

describe('whom a replica follows (I9)', () => {
  const cases: readonly [string, Partial<Succession> | undefined, Partial<Welcome>, string][] = [
    ['the source that it knows', {}, {}, 'follows'],
    ['a later epoch of it', {}, { epoch: 6 }, 'follows'],
    ['an earlier epoch of it', {}, { epoch: 4 }, 'REPLICA_FENCED'],
    ['an earlier epoch, with consent', {}, { epoch: 4, init: true }, 'follows'],
    ['another source', {}, { sourceId: 'other' }, 'REPLICA_FENCED'],
    ['another source, with consent', {}, { sourceId: 'other', init: true }, 'follows'],
    ['a replica that was promoted, whatever its epoch', {}, { promotedAt: 100, epoch: 1 }, 'follows'],
    ['one of another line that was promoted', {}, { sourceId: 'other', promotedAt: 100 }, 'REPLICA_FENCED'],
    ['the first main after that', { promotedAt: 100 }, {}, 'SUPERSEDED'],
    ['the first main after that, with consent', { promotedAt: 100 }, { init: true }, 'SUPERSEDED'],
    ['a main that was promoted later still', { promotedAt: 100 }, { promotedAt: 101, epoch: 1 }, 'follows'],
    [
      'the main that it knows, in an earlier epoch',
      { promotedAt: 100 },
      { promotedAt: 100, epoch: 4 },
      'REPLICA_FENCED',
    ],
    [
      'the old main, when it is the main itself',
      { promotedAt: 100, isMain: true },
      { init: true },
      'SUPERSEDED',
    ],
    ['one that was promoted before it', { promotedAt: 100, isMain: true }, { promotedAt: 99 }, 'SUPERSEDED'],
    ['one that was promoted after it', { promotedAt: 100, isMain: true }, { promotedAt: 101 }, 'follows'],
    [
      'another line, when it is the main',
      { promotedAt: 100, isMain: true },
      { sourceId: 'other', promotedAt: 101, init: true },
      'SUPERSEDED',
    ],
    ['a replica of its own tree, as an earlier fam says it', undefined, { follows: own }, 'REPLICA_FENCED'],
    ['a replica of another tree', {}, { follows: 'other' }, 'follows'],
    ['a replica of a replica of its own tree', {}, { descent: ['line', 'b', own] }, 'REPLICA_FENCED'],
    ['one that comes from other trees', {}, { descent: ['line', 'b', 'c'] }, 'follows'],
    [
      'a promoted one that comes from its own tree no more',
      {},
      { follows: own, descent: ['line'] },
      'follows',
    ],
    ['a copied machine, of which the tree has the same id', {}, { descent: [own] }, 'follows'],
  ];
  test.each(cases)('%s', (_, succession, other, expected) => {
    const known = succession === undefined ? undefined : { ...follows, ...succession };
    const outcome = (): string => {
      try {
        const next = follow({ root, memory, succession: known }, welcome(other));
        expect(next).toMatchObject({ promotedAt: other.promotedAt ?? 0, isMain: false });
        return 'follows';
      } catch (error) {
        return error instanceof Error && 'code' in error ? String(error.code) : String(error);
      }
    };
    expect(outcome()).toBe(expected);
  });

  test('a whole copy stays one, and that of another line is none', () => {
    const allegiance = { root, memory, succession: follows };
    expect(follow(allegiance, welcome({ promotedAt: 7 })).isWhole).toBe(true);
    expect(follow(allegiance, welcome({ sourceId: 'other', init: true })).isWhole).toBe(false);
    expect(follow({ root, memory: undefined, succession: undefined }, welcome({})).isWhole).toBe(false);
    expect(
      follow({ root, memory, succession: undefined }, welcome({})).isWhole,
      'from before the file was kept',
    ).toBe(true);
  });

  test('what the source comes from is remembered, for those who follow this root', () => {
    const descentBy = (other: Partial<Welcome>) =>
      follow({ root, memory, succession: follows }, welcome(other)).descent;
    expect(descentBy({ descent: ['a', 'b'] })).toEqual(['a', 'b']);
    expect(descentBy({}), 'by an earlier fam').toEqual(['line']);
    expect(descentBy({ follows: 'other' }), 'by an earlier fam that follows').toEqual(['line', 'other']);
    expect(descentBy({ promotedAt: 7 }), 'it does not say which tree was promoted').toEqual([]);
  });

  test('who was the main is told from others until it has been compared to the end', () => {
    const met = (succession: Succession | undefined, sourceId: string): boolean =>
      follow({ root, memory: undefined, succession }, welcome({ sourceId, promotedAt: 7 })).wasMain;
    expect(met(undefined, own), 'the first main').toBe(true);
    expect(met(undefined, 'line'), 'a new replica').toBe(false);
    expect(met({ ...follows, isMain: true }, 'line'), 'one that was promoted').toBe(true);
    expect(met({ ...follows, wasMain: true }, 'line'), 'the comparison was cut off').toBe(true);
    expect(met({ ...follows, sourceId: own }, own), 'it has been compared').toBe(false);
  });
});
