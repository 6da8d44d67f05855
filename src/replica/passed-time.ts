// How much time has passed, as far as agents have seen it pass: a clock that is set, forward or back, must not make anything old.

import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import * as z from 'zod/mini';

export const dayMs = 24 * 60 * 60 * 1000;

/** What the host's clocks say. */
export interface Clocks {
  /** The boot that `uptimeMs` counts from; empty: not known. */
  readonly bootId: string;
  readonly uptimeMs: number;
  readonly wallMs: number;
}

/** The latest of what they have said, and the sum of what has passed between. */
export interface PassedTime extends Clocks {
  readonly passedMs: number;
}

export const passedTimeSchema = z.object({
  bootId: z.string(),
  uptimeMs: z.number(),
  wallMs: z.number(),
  passedMs: z.number(),
});

/**
 * Adds what has passed since. Within one boot that is known. Across boots it is what the calendar says, but no more than a day; and a calendar
 * that was ahead before counts again only when it gets beyond that. In doubt too little is counted.
 */
export function timePassed(before: PassedTime | undefined, now: Clocks): PassedTime {
  if (before === undefined) return { ...now, passedMs: 0 };
  const isSameBoot = now.bootId !== '' && now.bootId === before.bootId;
  const ms = isSameBoot ? now.uptimeMs - before.uptimeMs : Math.min(now.wallMs - before.wallMs, dayMs);
  return {
    ...now,
    wallMs: Math.max(now.wallMs, before.wallMs),
    passedMs: before.passedMs + Math.max(0, ms),
  };
}

export function readClocks(): Clocks {
  return { bootId: bootId(), uptimeMs: uptime() * 1000, wallMs: Date.now() };
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
