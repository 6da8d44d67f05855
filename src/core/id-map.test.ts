import { expect, test } from 'vitest';
import { largestId, mapId, parseIdMap } from './id-map.ts';

const names: Readonly<Record<string, number>> = { 'www-data': 33 };
const idOf = (name: string): number | undefined => names[name];

test('parseIdMap reads names, numbers, ranges and everybody', () => {
  expect(parseIdMap('www-data:nginx,1000-1999:2000,*:web', idOf)).toEqual([
    { from: 33, to: 33, target: 'nginx' },
    { from: 1000, to: 1999, target: '2000' },
    { from: 0, to: largestId, target: 'web' },
  ]);
});

test('parseIdMap says what it does not understand', () => {
  expect(parseIdMap('nobody-here:1', idOf)).toBe('nobody-here is nobody here');
  expect(parseIdMap('33', idOf)).toBe('33 is not FROM:TO');
  expect(parseIdMap('', idOf)).toBe(' is not FROM:TO');
});

test('mapId takes the first rule that matches, and leaves the others alone', () => {
  const rules = [
    { from: 33, to: 33, id: 101 },
    { from: 0, to: 999, id: 0 },
  ];
  expect([33, 5, 1000].map((id) => mapId(rules, id))).toEqual([101, 0, 1000]);
});
