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

test('reasons that take turns are told once each, and then as rarely as one; what is new each time does not fill the log', () => {
  const outage = new Outage();
  let lines = 0;
  for (let second = 0; second < 3600; second++)
    if (outage.isNews(second % 2 === 0 ? 'closed' : 'reset by peer', second * 1000)) lines += 1;
  expect(lines).toBeLessThanOrEqual(12);
  const other = new Outage();
  lines = 0;
  for (let second = 0; second < 3600; second++) if (other.isNews(`port ${second}`, second * 1000)) lines += 1;
  expect(lines).toBeLessThanOrEqual(20);
});
