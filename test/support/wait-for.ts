import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  /** Milliseconds until the wait fails. Default 10,000. */
  readonly deadlineMs?: number;
  /** What was waited for; with a function, evaluated at the failure to tell how far it got. */
  readonly describe: string | (() => string);
  /** Milliseconds between two looks. Default 10. */
  readonly intervalMs?: number;
}

/**
 * Looks at a condition until it holds and returns its value (anything but false and undefined).
 * A condition that throws is one that does not hold yet; its last error is the failure's cause.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { deadlineMs = 10_000, describe, intervalMs = 10 }: WaitOptions,
): Promise<Exclude<T, false | undefined>> {
  const end = performance.now() + deadlineMs;
  let cause: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > end) {
      const what = typeof describe === 'string' ? describe : describe();
      throw new Error(`not within ${deadlineMs} ms: ${what}`, { cause });
    }
    await delay(intervalMs);
  }
}
