import { type Cell, cellKey, type Run, summarise } from '../record.ts';
import type { Workload } from '../workloads/workload.ts';

export interface Regression {
  readonly cell: string;
  readonly metric: string;
  readonly before: number;
  readonly now: number;
  readonly since: string;
}

/** More than this much worse than the last recorded run is printed. */
const tolerated = 1.2;

/** Only our own figures: the peers' move with the machine, which is what the ratios are for. */
export function regressions(run: Run, earlier: readonly Run[], workloads: readonly Workload[]): Regression[] {
  const history = earlier.map((other) => ({
    date: other.date,
    cells: new Map(summarise(other.samples).map((cell) => [cellKey(cell), cell])),
  }));
  return summarise(run.samples)
    .filter((cell) => cell.peer === 'fam')
    .flatMap((cell) => {
      const workload = workloads.find((one) => one.name === cell.workload);
      const last = history.find((one) => one.cells.has(cellKey(cell)));
      const before = last?.cells.get(cellKey(cell));
      if (!workload || !last || !before) return [];
      return [workload.score, ...workload.also].flatMap((metric) =>
        compare(cell, before, metric, workload, last.date),
      );
    });
}

function compare(cell: Cell, before: Cell, metric: string, workload: Workload, since: string): Regression[] {
  const now = cell.metrics[metric];
  const old = before.metrics[metric];
  if (now === undefined || old === undefined || !metricIsCost(metric) || old === 0) return [];
  const higherIsBetter =
    metric.endsWith('PerSecond') || (metric === workload.score && workload.better === 'higher');
  const worse = higherIsBetter ? old / now : now / old;
  return worse > tolerated ? [{ cell: cellKey(cell), metric, before: old, now, since }] : [];
}

function metricIsCost(metric: string): boolean {
  return !/^(samples|operations|renames|changes|eligible)Count$|^writeSeconds$/.test(metric);
}
