import { expect, test } from 'vitest';
import { Missing } from './missing.ts';

test('Missing tells after three seconds, then less and less often', () => {
  const missing = new Missing(1000);
  const told: number[] = [];
  for (let now = 1000; now <= 3_000_000; now += 50) if (missing.again(now)) told.push(now - 1000);
  const pauses = told.map((at, n) => at - (told[n - 1] ?? 0));
  expect(pauses).toEqual([3, 6, 12, 24, 48, 96, 192, 384, 600, 600, 600].map((seconds) => seconds * 1000));
});
