import { expect, test } from 'vitest';
import { Outage } from './outage.ts';

test('an outage is told at once, when its reason changes, and ever more rarely', () => {
  const outage = new Outage();
  const told: number[] = [];
  for (let second = 0; second < 3600; second++)
    if (outage.isNews('refused', second * 1000)) told.push(second);
  expect(told).toEqual([0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560]);
  expect(outage.isNews('no route', 3_600_000)).toBe(true);
  expect(outage.isNews('no route', 3_601_000)).toBe(false);
  outage.end();
  expect(outage.isNews('no route', 3_602_000), 'another outage').toBe(true);
});
