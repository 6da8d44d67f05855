import { describe, expect, it } from 'vitest';
import { Backoff, healthyMs, longestDelayMs, shortestDelayMs } from './backoff.ts';

describe('Backoff', () => {
  it('waits a 32nd of the outage, 0.25 s at least and 30 s at most', () => {
    const backoff = new Backoff(() => 1);
    expect(backoff.failed(5000)).toBe(shortestDelayMs);
    expect(backoff.failed(5000 + 20_000)).toBe(625);
    expect(backoff.failed(5000 + 320_000)).toBe(10_000);
    expect(backoff.failed(5000 + 86_400_000)).toBe(longestDelayMs);
  });

  it('never waits less than half, so that jitter does not become hammering', () => {
    const backoff = new Backoff(() => 0);
    expect(backoff.failed(0)).toBe(shortestDelayMs / 2);
    expect(backoff.failed(86_400_000)).toBe(longestDelayMs / 2);
  });

  it('starts over after a healthy minute, not after a short one', () => {
    const backoff = new Backoff(() => 1);
    backoff.failed(0);
    backoff.connected(64_000);
    expect(backoff.failed(64_000 + healthyMs - 1), 'lost young: the outage goes on').toBeGreaterThan(3000);
    backoff.connected(200_000);
    expect(backoff.failed(200_000 + healthyMs)).toBe(shortestDelayMs);
    // An attempt that never connected does not profit from the old connection.
    expect(backoff.failed(200_000 + 11 * healthyMs)).toBeGreaterThan(shortestDelayMs);
  });
});
