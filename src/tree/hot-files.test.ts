import { describe, expect, test } from 'vitest';
import type { Name } from '../core/name.ts';
import { HotFiles } from './hot-files.ts';

const name = (text: string): Name => text as Name;

describe('HotFiles', () => {
  const make = (): HotFiles => new HotFiles({ settleMs: 200, hotFileMaxDelayMs: 2000 });

  test('due: after quiet, not before', () => {
    const hot = make();
    expect(hot.deadline).toBeUndefined();
    hot.touch('k', 1, name('a'), 4, 1000, false);
    expect(hot.deadline).toBe(1200);
    expect(hot.due(1199)).toEqual([]);
    hot.touch('k', 1, name('a'), 8, 1150, false);
    expect(hot.due(1200)).toEqual([]);
    expect(hot.due(1350).map((f) => [f.name, f.hints])).toEqual([['a', 12]]);
    expect(hot.size).toBe(0);
  });

  test('due: a file that never rests, at the latest after the maximum', () => {
    const hot = make();
    for (let now = 0; now <= 1900; now += 100) hot.touch('k', 1, name('a'), 4, now, false);
    expect(hot.due(1999)).toEqual([]);
    expect(hot.due(2000)).toHaveLength(1);
  });

  test('touch: a renamed file is found under its new name only', () => {
    const hot = make();
    hot.touch('k', 1, name('a'), 4, 0, false);
    hot.touch('k', 2, name('b'), 4, 10, false);
    expect(hot.findName(1, name('a'))).toBeUndefined();
    expect(hot.findName(2, name('b'))).toBe(hot.find('k'));
    hot.touch('other', 1, name('a'), 4, 20, false);
    expect(hot.size).toBe(2);
    expect(hot.due(50, true)).toHaveLength(2);
  });

  test('putBack: not due before, and known all the while', () => {
    const hot = make();
    hot.touch('k', 1, name('a'), 4, 0, true);
    const [file] = hot.due(200);
    if (file === undefined) throw new Error('not due');
    expect(hot.deadline).toBeUndefined();
    hot.putBack(file, 900);
    expect(hot.find('k')).toBe(file);
    expect(hot.deadline).toBe(900);
    hot.touch('k', 1, name('a'), 8, 300, false);
    expect(hot.due(899)).toEqual([]);
    expect(hot.due(900)).toEqual([file]);
    expect(file).toMatchObject({ isUnfinished: true, since: 0, last: 300, hints: 12 });
  });
});
