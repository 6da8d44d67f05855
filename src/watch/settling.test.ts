import { describe, expect, test } from 'vitest';
import type { Name } from '../core/name.ts';
import { Settling } from './settling.ts';
import { Shadow } from './shadow.ts';

const a = 'a' as Name;
const b = 'b' as Name;
const { root } = new Shadow();

function namesDue(settling: Settling, now: number): string[] {
  return settling.due(now).map(({ name }) => name);
}

describe('Settling', () => {
  test('a file is due after settleMs of quiet, and no sooner', () => {
    const settling = new Settling(100);
    settling.touch(root, a, 1, 0);
    settling.touch(root, a, 1, 80);
    expect(namesDue(settling, 179)).toEqual([]);
    expect(namesDue(settling, 180)).toEqual(['a']);
    expect(settling.deadline).toBeUndefined();
  });

  test('one that never rests is due after ten seconds all the same', () => {
    const settling = new Settling(100);
    for (let now = 0; now < 10_000; now += 50) {
      settling.touch(root, a, 1, now);
      expect(namesDue(settling, now)).toEqual([]);
    }
    expect(namesDue(settling, 10_000)).toEqual(['a']);
  });

  test('a rename takes along what is on its way, and replaces what was on its way there', () => {
    const settling = new Settling(100);
    settling.touch(root, a, 1, 0);
    settling.touch(root, b, 1, 50);
    expect(settling.rename(root, a, root, b)).toBe(false);
    expect(namesDue(settling, 1000)).toEqual(['b']);
  });

  test('a rename tells when the file had been closed under its old name', () => {
    const settling = new Settling(100);
    settling.closedElsewhere(root, a, 1, 0);
    expect(settling.rename(root, a, root, b)).toBe(true);
  });

  test('a file in a new folder that bears the tag of one that is gone is told of', () => {
    const shadow = new Shadow();
    const settling = new Settling(100);
    const former = shadow.enter(shadow.root, a, 1);
    settling.touch(former, a, 1, 0);
    shadow.drop(former, () => {});
    shadow.recycleTags();
    const later = shadow.enter(shadow.root, b, 2);
    expect(later.tag).toBe(former.tag);
    settling.touch(later, a, 1, 50);
    expect(settling.due(1000).map(({ directory }) => directory)).toEqual([later]);
  });
});
