import { writeFileSync } from 'node:fs';
import { peerNames } from '../peers/index.ts';
import { type Cell, type Run, summarise } from '../record.ts';
import type { Workload } from '../workloads/workload.ts';
import { showMetric } from './markdown.ts';
import { barChart, lineChart, type Series } from './svg.ts';

/** Writes the plots of a run as `PREFIX-NAME.svg` into `folder`; their file names. */
export function writePlots(
  folder: string,
  prefix: string,
  run: Run,
  workloads: readonly Workload[],
): string[] {
  const cells = summarise(run.samples).filter((cell) => cell.failed < cell.trials);
  const plots: [string, string][] = [];
  for (const workload of workloads) {
    for (const [column, group] of byColumn(cells.filter((cell) => cell.workload === workload.name))) {
      const bars = group.flatMap((cell) => {
        const value = cell.metrics[workload.score];
        return value === undefined || Number.isNaN(value)
          ? []
          : [{ label: cell.peer, value, text: showMetric(workload.score, value), ours: cell.peer === 'fam' }];
      });
      if (bars.length > 1)
        plots.push([`${workload.name}-${slug(column)}`, barChart(`${workload.title} (${column})`, bars)]);
      const curves = group.filter((cell) => cell.samples.length > 20).map(distribution);
      if (curves.length > 0) {
        const chart = lineChart(
          `${workload.title} (${column})`,
          'ms',
          'share of pages visible',
          curves,
          false,
        );
        plots.push([`${workload.name}-${slug(column)}-distribution`, chart]);
      }
    }
  }
  plots.push(...growthPlots(cells));
  for (const [name, content] of plots) writeFileSync(`${folder}/${prefix}-${name}.svg`, content);
  return plots.map(([name]) => `${prefix}-${name}.svg`);
}

const treeSizes = new Map([
  ['idle-restart-20k', 20_000],
  ['idle-restart-200k', 200_000],
  ['idle-restart-1m', 1_000_000],
]);

interface Growth {
  readonly name: string;
  readonly title: string;
  readonly xLabel: string;
  readonly metric: string;
  /** The place of a cell on the x axis; undefined: not part of this plot. */
  place(cell: Cell): number | undefined;
}

const growths: readonly Growth[] = [
  growthWithFiles('restart', 'seconds', 'Restart with 10 changed files'),
  growthWithFiles('idle', 'largestRssMiB', 'Resident memory of the largest process, MiB'),
  growthWithFiles('in place', 'p50Ms', 'Close to visible, p50 in ms'),
  growthWithReplicas('p50Ms', 'Close to visible on all replicas, p50 in ms'),
  growthWithReplicas('cpuSeconds', 'CPU seconds of a burst of 2,000 files, all processes'),
  growthWithReplicas('wireBytes', 'Bytes on the wire of a burst of 2,000 files'),
];

function growthWithFiles(variant: string, metric: string, title: string): Growth {
  const place = (cell: Cell): number | undefined =>
    cell.variant === variant ? treeSizes.get(cell.workload) : undefined;
  return { name: `files-${metric.toLowerCase()}`, title, xLabel: 'files in the tree', metric, place };
}

function growthWithReplicas(metric: string, title: string): Growth {
  const place = (cell: Cell): number | undefined =>
    cell.workload === 'replicas' ? cell.replicas : undefined;
  return { name: `replicas-${metric.toLowerCase()}`, title, xLabel: 'replicas', metric, place };
}

/** The same figure at several sizes; a plot needs two points of somebody. */
function growthPlots(cells: readonly Cell[]): [string, string][] {
  return growths.flatMap((growth): [string, string][] => {
    const series = peerNames
      .map((peer): Series => {
        const points = cells
          .filter((cell) => cell.peer === peer)
          .flatMap((cell): [number, number][] => {
            const x = growth.place(cell);
            const y = cell.metrics[growth.metric];
            return x === undefined || y === undefined ? [] : [[x, y]];
          });
        return { label: peer, ours: peer === 'fam', points: points.toSorted(([a], [b]) => a - b) };
      })
      .filter((one) => one.points.length > 1);
    if (series.length === 0) return [];
    return [[`growth-${growth.name}`, lineChart(growth.title, growth.xLabel, growth.metric, series, true)]];
  });
}

function byColumn(cells: readonly Cell[]): Map<string, Cell[]> {
  const columns = new Map<string, Cell[]>();
  for (const peer of peerNames) {
    for (const cell of cells.filter((one) => one.peer === peer)) {
      const column = `${cell.variant}, ${cell.replicas} ${cell.replicas === 1 ? 'replica' : 'replicas'}`;
      columns.set(column, [...(columns.get(column) ?? []), cell]);
    }
  }
  return columns;
}

function distribution(cell: Cell): Series {
  const sorted = cell.samples.toSorted((a, b) => a - b);
  return {
    label: cell.peer,
    ours: cell.peer === 'fam',
    points: sorted.map((sample, index) => [sample, (index + 1) / sorted.length] as const),
  };
}

function slug(column: string): string {
  return column
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}
