import type { Floor } from './floors.ts';
import type { Cell } from './record.ts';
import { round } from './stats.ts';

/** What a run found, for the budgets to look up; undefined where it was not measured or failed. */
export class Found {
  readonly #cells: readonly Cell[];
  readonly #floors: readonly Floor[];

  constructor(cells: readonly Cell[], floors: readonly Floor[]) {
    this.#cells = cells;
    this.#floors = floors;
  }

  /** The worst of the variants whose names start with `variant`. */
  metric(
    workload: string,
    metric: string,
    peer = 'fam',
    replicas?: number,
    variant = '',
  ): number | undefined {
    const values = this.#cells
      .filter((cell) => cell.workload === workload && cell.peer === peer && cell.failed < cell.trials)
      .filter(
        (cell) => (replicas === undefined || cell.replicas === replicas) && cell.variant.startsWith(variant),
      )
      .map((cell) => cell.metrics[metric] ?? Number.NaN)
      .filter((value) => !Number.isNaN(value));
    return values.length > 0 ? Math.max(...values) : undefined;
  }

  floor(name: string, metric: string): number | undefined {
    return this.#floors.find((floor) => floor.name === name)?.metrics[metric];
  }
}

export interface Budget {
  readonly title: string;
  readonly goal: string;
  /** The limit or peer that stands beside it. */
  readonly beside: string;
  /** The figure that the goal speaks of, and whether it keeps it. */
  check(found: Found): { readonly figure: string; readonly met: boolean } | undefined;
}

function atMost(limit: number, unit: string, value: (found: Found) => number | undefined): Budget['check'] {
  return (found) => {
    const measured = value(found);
    return measured === undefined
      ? undefined
      : { figure: `${round(measured, measured < 10 ? 2 : 0)}${unit}`, met: measured <= limit };
  };
}

function ratio(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

/** The goals of the design, one line each: all of them are against figures of the same run. */
export const budgets: readonly Budget[] = [
  {
    title: 'close to visible, 1 replica, p50',
    goal: '<= 1 ms',
    beside: 'bare ssh pipe',
    check: atMost(1, ' ms', (found) => found.metric('latency', 'p50Ms', 'fam', 1)),
  },
  {
    title: 'close to visible, 1 replica, p99',
    goal: '<= 5 ms',
    beside: 'bare ssh pipe',
    check: atMost(5, ' ms', (found) => found.metric('latency', 'p99Ms', 'fam', 1)),
  },
  {
    title: 'close to visible, all of 4 replicas, p50',
    goal: '<= 2 ms',
    beside: 'lsyncd, shared ssh',
    check: atMost(2, ' ms', (found) => found.metric('latency', 'p50Ms', 'fam', 4)),
  },
  {
    title: 'close to visible, all of 4 replicas, p99',
    goal: '<= 10 ms',
    beside: 'lsyncd, shared ssh',
    check: atMost(10, ' ms', (found) => found.metric('latency', 'p99Ms', 'fam', 4)),
  },
  firstSyncRatio('200,000 small files', 'first-sync-200k', 'rsync', 0.6),
  firstSyncRatio('200,000 small files', 'first-sync-200k', 'tar', 1),
  firstSyncRatio('20,000 small files', 'first-sync-20k', 'rsync', 0.6),
  {
    title: 'first sync, one 2 GiB file',
    goal: '>= 0.9 x raw ssh throughput',
    beside: 'ssh into a file',
    check: (found) => {
      const share = ratio(
        found.metric('first-sync-2g', 'MiBPerSecond'),
        found.floor('throughput-file', 'MiBPerSecond'),
      );
      return share === undefined ? undefined : { figure: `${round(share, 2)} x`, met: share >= 0.9 };
    },
  },
  {
    title: 'burst of 10,000 files, all of 4 replicas',
    goal: '<= 0.4 x lsyncd, shared ssh',
    beside: 'lsyncd, shared ssh',
    check: atMost(0.4, ' x', (found) =>
      ratio(found.metric('burst', 'seconds', 'fam', 4), found.metric('burst', 'seconds', 'lsyncd-shared', 4)),
    ),
  },
  {
    title: 'burst of 10,000 files, all of 4 replicas',
    goal: '<= 2.5 x writing them locally',
    beside: 'file creation',
    check: atMost(2.5, ' x', (found) =>
      ratio(found.metric('burst', 'seconds', 'fam', 4), found.floor('create', 'seconds')),
    ),
  },
  {
    title: 'rename of a folder of 5,000 files / 500 MB',
    goal: '<= 5 ms',
    beside: 'lsyncd, rsync',
    check: atMost(5, ' ms', (found) => found.metric('rename', 'p50Ms')),
  },
  {
    title: 'rename of a folder, on the wire',
    goal: '<= 1 KB',
    beside: 'lsyncd, rsync',
    check: atMost(1000, ' B', (found) => found.metric('rename', 'wireBytes')),
  },
  {
    title: '4 KiB appended to, or changed inside, 1 GiB: wire',
    goal: '<= 128 KiB',
    beside: 'rsync',
    check: atMost(128, ' KiB', (found) => kibibytes(found.metric('small-change', 'wireBytes'))),
  },
  {
    title: '4 KiB appended to, or changed inside, 1 GiB: time',
    goal: "<= 0.5 x rsync's (ext4), <= 0.25 x (xfs, btrfs)",
    beside: 'one read of the file',
    check: atMost(0.5, ' x', (found) =>
      worst(
        ratio(
          found.metric('small-change', 'seconds', 'fam', 1, 'appended'),
          found.metric('small-change', 'seconds', 'rsync', 1, 'appended'),
        ),
        ratio(
          found.metric('small-change', 'seconds', 'fam', 1, 'changed'),
          found.metric('small-change', 'seconds', 'rsync', 1, 'changed'),
        ),
      ),
    ),
  },
  {
    title: 'full-speed churn, equal after it stops',
    goal: '<= 5 s',
    beside: 'lsyncd',
    check: atMost(5, ' s', (found) => found.metric('churn', 'seconds')),
  },
  {
    title: 'replica away for 20 s, equal after its return',
    goal: '<= 1 s',
    beside: 'lsyncd',
    check: atMost(1, ' s', (found) => found.metric('outage', 'seconds')),
  },
  {
    title: 'idle, 1,000,000 files: CPU',
    goal: 'none',
    beside: 'lsyncd, syncthing',
    check: atMost(0.1, ' s a minute', (found) => found.metric('idle-restart-1m', 'idleCpuSecondsPerMinute')),
  },
  {
    title: 'idle, 1,000,000 files: memory',
    goal: '<= 150 MB resident per process',
    beside: 'lsyncd, syncthing',
    check: atMost(150, ' MB', (found) => megabytes(found.metric('idle-restart-1m', 'largestRssMiB'))),
  },
  {
    title: 'restart, 1,000,000 files, 10 changed',
    goal: '<= 1.3 x a bare walk',
    beside: 'find, rsync no-op',
    // The floor walks 200,000 files; walking is linear in them.
    check: atMost(1.3, ' x', (found) =>
      ratio(
        found.metric('idle-restart-1m', 'seconds', 'fam', 1, 'restart'),
        scale(found.floor('walk', 'seconds'), 5),
      ),
    ),
  },
  {
    title: '4 KiB page while 4 GiB is in flight, p99',
    goal: '<= 25 ms',
    beside: '',
    check: atMost(25, ' ms', (found) => found.metric('small-in-flight', 'p99Ms')),
  },
  {
    title: 'two writes of one size in one second: stale',
    goal: 'none',
    beside: 'every rsync-based peer',
    check: atMost(0, '', (found) => found.metric('same-second', 'staleCount')),
  },
];

function firstSyncRatio(what: string, workload: string, peer: 'rsync' | 'tar', limit: number): Budget {
  const name = peer === 'rsync' ? '`rsync -a`' : '`tar | ssh tar`';
  return {
    title: `first sync, ${what}`,
    goal: `<= ${limit} x ${name}`,
    beside: name,
    check: atMost(limit, ' x', (found) =>
      ratio(found.metric(workload, 'seconds'), found.metric(workload, 'seconds', peer)),
    ),
  };
}

function kibibytes(bytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : bytes / 1024;
}

function megabytes(mebibytes: number | undefined): number | undefined {
  return mebibytes === undefined ? undefined : mebibytes * 1.048576;
}

function scale(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}

function worst(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : Math.max(a, b);
}
