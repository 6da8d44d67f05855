import { describe, expect, test } from 'vitest';
import type { Name } from '../core/name.ts';
import { HotFiles } from './hot-files.ts';

const name = (text: string): Name => text as Name;

describe('HotFiles', () => {
  const make = (): HotFiles => new HotFiles({ settleMs: 200, hotFileMaxDelayMs: 2000 });

  test('due: after quiet, not before', () => {
    const hot = make();
    expect(hot.deadline).toBeUndefined();
    hot.touch('k', 1, name('a'), 4, 1000);
    expect(hot.deadline).toBe(1200);
    expect(hot.due(1199)).toEqual([]);
    hot.touch('k', 1, name('a'), 8, 1150);
    expect(hot.due(1200)).toEqual([]);
    expect(hot.due(1350).map((f) => [f.name, f.hints])).toEqual([['a', 12]]);
    expect(hot.size).toBe(0);
  });

  test('due: a file that never rests, at the latest after the maximum', () => {
    const hot = make();
    for (let now = 0; now <= 1900; now += 100) hot.touch('k', 1, name('a'), 4, now);
    expect(hot.due(1999)).toEqual([]);
    expect(hot.due(2000)).toHaveLength(1);
  });

  test('touch: a renamed file is found under its new name only', () => {
    const hot = make();
    hot.touch('k', 1, name('a'), 4, 0);
    hot.touch('k', 2, name('b'), 4, 10);
    expect(hot.findName(1, name('a'))).toBeUndefined();
    expect(hot.findName(2, name('b'))).toBe(hot.find('k'));
    hot.touch('other', 1, name('a'), 4, 20);
    expect(hot.size).toBe(2);
    expect(hot.due(50, true)).toHaveLength(2);
  });
});
