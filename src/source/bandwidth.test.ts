import { expect, test } from 'vitest';
import { Bandwidth, parseBandwidth } from './bandwidth.ts';

test('Bandwidth lets the average through and no more', () => {
  const limit = new Bandwidth(1000, 0);
  let sent = 0;
  let now = 0;
  while (now < 10_000) {
    now = limit.readyAt(now);
    limit.take(100);
    sent += 100;
  }
  expect(sent).toBeGreaterThanOrEqual(10_000);
  // The burst at the start, what came in since, and the overdraft of the last one.
  expect(sent).toBeLessThanOrEqual(250 + now + 100);
});

test('Bandwidth saves up a quarter of a second at most', () => {
  const limit = new Bandwidth(1000, 0);
  expect(limit.readyAt(3_600_000)).toBe(3_600_000);
  limit.take(250);
  expect(limit.readyAt(3_600_000)).toBeGreaterThan(3_600_000);
});

test('parseBandwidth takes bytes a second with the usual units', () => {
  expect(parseBandwidth('500')).toBe(500);
  expect(parseBandwidth('1.5M')).toBe(1.5 * 1024 * 1024);
  expect(parseBandwidth('10k')).toBe(10_240);
  expect(parseBandwidth('2 g')).toBeUndefined();
  expect(parseBandwidth('0')).toBeUndefined();
  expect(parseBandwidth('fast')).toBeUndefined();
});
