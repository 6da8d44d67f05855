import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { arch, cpus, hostname, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import type { Floor } from './floors.ts';
import { median } from './stats.ts';
import type { Figure, Metrics } from './trial.ts';

/** One figure of one trial, as it is kept. */
export interface Sample extends Figure {
  readonly workload: string;
  readonly peer: string;
  readonly replicas: number;
  readonly repeat: number;
  readonly restarts: number;
  readonly load: number;
  readonly calibrationMs: number;
}

/** A run of the bench: everything that is needed to read its figures again. */
export interface Run {
  readonly version: 1;
  readonly date: string;
  readonly commit: string;
  readonly quick: boolean;
  readonly machine: Machine;
  readonly scratch: string;
  readonly isolated: boolean;
  readonly versions: Record<string, string>;
  readonly floors: Floor[];
  readonly samples: Sample[];
}

export interface Machine {
  readonly host: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
}

/** All trials of one variant on one peer, their medians. */
export interface Cell {
  readonly workload: string;
  readonly peer: string;
  readonly replicas: number;
  readonly variant: string;
  readonly trials: number;
  readonly failed: number;
  readonly restarts: number;
  readonly metrics: Metrics;
  /** The least and the greatest of each metric. */
  readonly range: Record<string, readonly [number, number]>;
  readonly notes: readonly string[];
  readonly samples: readonly number[];
}

export function thisMachine(): Machine {
  return {
    host: hostname(),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `Linux ${release()} ${arch()}`,
    node: process.version,
  };
}

export function summarise(samples: readonly Sample[]): Cell[] {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const key = cellKey(sample);
    const group = groups.get(key);
    if (group) group.push(sample);
    else groups.set(key, [sample]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const good = group.filter((sample) => sample.ok);
    // A cell without a good trial still shows what its trials saw.
    const counted = good.length > 0 ? good : group;
    const names = [...new Set(counted.flatMap((sample) => Object.keys(sample.metrics)))];
    const metrics: Metrics = {};
    const range: Record<string, readonly [number, number]> = {};
    for (const name of names) {
      const values = counted
        .map((sample) => sample.metrics[name])
        .filter((value) => typeof value === 'number');
      metrics[name] = median(values);
      range[name] = [Math.min(...values), Math.max(...values)];
    }
    return {
      workload: first.workload,
      peer: first.peer,
      replicas: first.replicas,
      variant: first.variant,
      trials: group.length,
      failed: group.length - good.length,
      restarts: group.reduce((sum, sample) => sum + sample.restarts, 0),
      metrics,
      range,
      notes: [...new Set(group.flatMap((sample) => (sample.note === undefined ? [] : [sample.note])))],
      samples: counted.flatMap((sample) => sample.samples ?? []),
    };
  });
}

export function cellKey(item: { workload: string; peer: string; replicas: number; variant: string }): string {
  return [item.workload, item.variant, item.peer, item.replicas].join(' | ');
}

export function saveRun(path: string, run: Run): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(run, null, 1)}\n`);
}

/** Earlier runs in `folder` of this machine and scale, newest first. */
export function earlierRuns(folder: string, run: Run): Run[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => parseRun(readFileSync(`${folder}/${name}`, 'utf8')))
    .filter((other) => other !== undefined)
    .filter(
      (other) =>
        other.date < run.date &&
        other.quick === run.quick &&
        other.scratch === run.scratch &&
        sameMachine(other.machine, run.machine),
    )
    .sort((a, b) => b.date.localeCompare(a.date));
}

function sameMachine(a: Machine, b: Machine): boolean {
  return a.processor === b.processor && a.cores === b.cores && a.memoryGiB === b.memoryGiB;
}

function parseRun(text: string): Run | undefined {
  const value: unknown = JSON.parse(text);
  return isRun(value) ? value : undefined;
}

/** Written by us, by saveRun(): the version is proof enough of the rest. */
function isRun(value: unknown): value is Run {
  return (
    typeof value === 'object' &&
    value !== null &&
    'version' in value &&
    value.version === 1 &&
    'samples' in value &&
    Array.isArray(value.samples)
  );
}
