import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { longTimeout } from './long-timeout.ts';

const dayMs = 86_400_000;

describe('longTimeout', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test.each([30, 90])('calls back after %i days, and no sooner', (days) => {
    const act = vi.fn();
    longTimeout(act, days * dayMs);
    vi.advanceTimersByTime(days * dayMs - 1);
    expect(act).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(act).toHaveBeenCalledTimes(1);
  });

  test('can be cancelled, also after 25 days', () => {
    const act = vi.fn();
    const cancel = longTimeout(act, 30 * dayMs);
    vi.advanceTimersByTime(29 * dayMs);
    cancel();
    vi.advanceTimersByTime(30 * dayMs);
    expect(act).not.toHaveBeenCalled();
  });
});
