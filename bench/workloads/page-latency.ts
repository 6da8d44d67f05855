import { randomBytes, randomFillSync } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { pollUntil } from '../compare.ts';
import { pause, sleepBlocking } from '../pause.ts';
import type { Job } from '../peers/peer.ts';
import { percentile, round } from '../stats.ts';
import type { Figure, Trial } from '../trial.ts';

const pageBytes = 4096;
const lostAfterMs = 20_000;

export interface LatencyOptions {
  /** `in place`: written over and closed. `save by rename`: written beside it and renamed over it. */
  readonly variant: 'in place' | 'save by rename';
  readonly paths: readonly string[];
  /** Stop after this time, whatever was reached. */
  readonly budgetMs: number;
  /** A page that has not arrived after this is lost. Default: 20 s. */
  readonly lostAfterMs?: number;
  /** Stop when this says so (something in the background is over). */
  readonly until?: () => boolean;
}

/**
 * Pages of an old date, on the source and on the replicas: no page is to be written twice within one second, which
 * some peers cannot tell apart (`same-second` measures that).
 */
export function seedPages(job: Job, count: number): string[] {
  const paths = Array.from({ length: count }, (_, index) => `d000/s0000/page${index}.html`);
  for (const path of paths) {
    const content = randomBytes(pageBytes);
    for (const root of [job.source, ...job.replicas]) {
      writeFileSync(`${root}/${path}`, content);
      utimesSync(`${root}/${path}`, 1_650_000_000, 1_650_000_000);
    }
  }
  return paths;
}

/** One page after another: each is awaited on every replica, byte for byte, before the next is written. */
export async function measureLatency(trial: Trial, job: Job, options: LatencyOptions): Promise<Figure> {
  const end = Date.now() + options.budgetMs;
  const samples: number[] = [];
  let lost = 0;
  trial.mark();
  for (const path of options.paths) {
    if (Date.now() > end || options.until?.() === true) break;
    const content = randomFillSync(Buffer.allocUnsafe(pageBytes));
    const began = performance.now() + publish(`${job.source}/${path}`, content, options.variant);
    const copies = job.replicas.map((replica) => `${replica}/${path}`);
    const arrived = await pollUntil(
      () => copies.every((copy) => holds(copy, content)),
      trial.within(options.lostAfterMs ?? lostAfterMs),
      sleepBlocking,
    );
    if (arrived === undefined) lost++;
    else samples.push(performance.now() - began);
    await pause(15 + Math.random() * 60);
  }
  return {
    variant: options.variant,
    ok: lost === 0 && samples.length > 0,
    metrics: {
      p50Ms: round(percentile(samples, 0.5)),
      p95Ms: round(percentile(samples, 0.95)),
      p99Ms: round(percentile(samples, 0.99)),
      maxMs: round(percentile(samples, 1)),
      samplesCount: samples.length,
      lostCount: lost,
      ...trial.cost(),
    },
    ...(lost > 0 ? { note: `${lost} pages had not arrived after ${lostAfterMs / 1000} s` } : {}),
    samples: samples.map((sample) => round(sample)),
  };
}

/** The moment, relative to the return of this call, at which the page was complete at the source: the close or the rename. */
function publish(path: string, content: Buffer, variant: LatencyOptions['variant']): number {
  if (variant === 'in place') {
    const fd = openSync(path, 'r+');
    writeSync(fd, content, 0, content.length, 0);
    const began = performance.now();
    closeSync(fd);
    return began - performance.now();
  }
  const staged = `${dirname(path)}/.${basename(path)}.tmp`;
  writeFileSync(staged, content);
  const began = performance.now();
  renameSync(staged, path);
  return began - performance.now();
}

const seen = Buffer.allocUnsafe(pageBytes);

function holds(path: string, content: Buffer): boolean {
  let fd = -1;
  try {
    fd = openSync(path, 'r');
    return (
      readSync(fd, seen, 0, pageBytes, 0) === pageBytes &&
      fstatSync(fd).size === pageBytes &&
      seen.equals(content)
    );
  } catch {
    return false;
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}
