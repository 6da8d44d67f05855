import { type Budget, budgets, Found } from '../budgets.ts';
import { peerNames } from '../peers/index.ts';
import { type Cell, type Run, summarise } from '../record.ts';
import { round } from '../stats.ts';
import type { Workload } from '../workloads/workload.ts';
import type { Regression } from './regression.ts';

export interface ReportInput {
  readonly run: Run;
  readonly workloads: readonly Workload[];
  readonly regressions: readonly Regression[];
  /** File names of the plots beside the report. */
  readonly plots: readonly string[];
}

/** The whole report of a run. */
export function markdown(input: ReportInput): string {
  const { run } = input;
  const cells = summarise(run.samples);
  return [
    `# Bench of ${run.date}`,
    '',
    ...heading(run),
    ...budgetTable(new Found(cells, run.floors)),
    ...floorTable(run),
    ...input.workloads.flatMap((workload) => workloadTable(workload, cells)),
    ...regressionList(input.regressions),
    ...input.plots.flatMap((plot) => [`![${plot}](${plot})`, '']),
    '## Versions',
    '',
    ...Object.entries(run.versions).map(([name, version]) => `- ${name}: ${version}`),
    '',
  ].join('\n');
}

function heading(run: Run): string[] {
  const { machine } = run;
  const loads = run.samples.map((sample) => sample.load);
  const quick = run.quick
    ? [
        '**A quick run, at a fraction of the size: it shows that everything runs, its figures are not for comparison.**',
        '',
      ]
    : [];
  return [
    ...quick,
    `- machine: ${machine.host}, ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.kernel}, Node ${machine.node}`,
    `- commit: ${run.commit}`,
    `- trees on: ${run.scratch}; ${run.isolated ? 'private net, pid and mount name spaces' : 'no name spaces: counters hold the traffic of others too'}`,
    `- load average before the trials: ${Math.min(...loads)} to ${Math.max(...loads)}`,
    '',
    'Figures are medians over the trials of this run, peers interleaved; in brackets the range. Ratios are to the peer named in the table.',
    '',
  ];
}

function budgetTable(found: Found): string[] {
  const row = (budget: Budget): string => {
    const result = budget.check(found);
    return `| ${budget.title} | ${budget.goal.replaceAll('|', '\\|')} | ${result?.figure ?? ''} | ${result === undefined ? 'not measured' : result.met ? 'yes' : '**no**'} |`;
  };
  return ['## Budgets', '', '| | goal | this run | kept |', '|---|---|---|---|', ...budgets.map(row), ''];
}

function floorTable(run: Run): string[] {
  if (run.floors.length === 0) return [];
  const rows = run.floors.map(
    (floor) =>
      `| ${floor.title} | ${Object.entries(floor.metrics)
        .map(([name, value]) => `${label(name)}${showMetric(name, value)}`)
        .join(', ')} |`,
  );
  return ['## Floors', '', '| what | figure |', '|---|---|', ...rows, ''];
}

function workloadTable(workload: Workload, all: readonly Cell[]): string[] {
  const cells = all.filter((cell) => cell.workload === workload.name);
  if (cells.length === 0) return [];
  const columns = [
    ...new Map(
      cells.map((cell) => [
        `${cell.variant}, ${cell.replicas} ${cell.replicas === 1 ? 'replica' : 'replicas'}`,
        cell,
      ]),
    ),
  ];
  const peers = peerNames.filter((peer) => cells.some((cell) => cell.peer === peer));
  const rows = peers.map((peer) => {
    const shown = columns.map(([, column]) => {
      const same = (cell: Cell): boolean =>
        cell.variant === column.variant && cell.replicas === column.replicas;
      const reference = cells.find((cell) => same(cell) && cell.peer === workload.reference);
      return showCell(
        workload,
        cells.find((cell) => same(cell) && cell.peer === peer),
        reference,
      );
    });
    return `| ${peer} | ${shown.join(' | ')} |`;
  });
  const notes = cells.flatMap((cell) =>
    cell.notes.map((note) => `- ${cell.peer}, ${cell.variant}, ${cell.replicas}: ${note}`),
  );
  return [
    `## ${workload.title}`,
    '',
    `${workload.method} Ratios to ${workload.reference}.`,
    '',
    `| peer | ${columns.map(([title]) => title).join(' | ')} |`,
    `|---${'|---'.repeat(columns.length)}|`,
    ...rows,
    '',
    ...(notes.length > 0 ? [...notes, ''] : []),
  ];
}

function showCell(workload: Workload, cell: Cell | undefined, reference: Cell | undefined): string {
  if (!cell) return '';
  const score = cell.metrics[workload.score];
  const failures = cell.failed > 0 ? `**failed ${cell.failed} of ${cell.trials}**` : '';
  if (cell.failed === cell.trials && score === undefined) return failures;
  const parts: string[] = [];
  if (score !== undefined && !Number.isNaN(score)) {
    const [low, high] = cell.range[workload.score] ?? [score, score];
    const spread = cell.trials > 1 && high > low ? ` [${showNumber(low)}..${showNumber(high)}]` : '';
    const base = reference?.metrics[workload.score];
    const factor =
      base !== undefined && base > 0 && cell.peer !== workload.reference
        ? ` (x${showNumber(score / base)})`
        : '';
    parts.push(`**${showMetric(workload.score, score)}**${spread}${factor}`);
  }
  for (const name of workload.also) {
    const value = cell.metrics[name];
    if (value !== undefined && !Number.isNaN(value)) parts.push(`${label(name)}${showMetric(name, value)}`);
  }
  if (cell.restarts > 0) parts.push(`${cell.restarts} restarts`);
  if (failures !== '') parts.push(failures);
  return parts.join(', ');
}

function regressionList(list: readonly Regression[]): string[] {
  if (list.length === 0) return [];
  return ['## Regressions', '', ...list.map((one) => `- ${describe(one)}`), ''];
}

export function describe(one: Regression): string {
  return `${one.cell}: ${one.metric} was ${showNumber(one.before)} on ${one.since}, is ${showNumber(one.now)}`;
}

const units = [
  ['MiBPerSecond', ' MiB/s'],
  ['filesPerSecond', ' files/s'],
  ['SecondsPerMinute', ' s a minute'],
  ['seconds', ' s'],
  ['Seconds', ' s'],
  ['MiB', ' MiB'],
  ['Ms', ' ms'],
  ['Count', ''],
] as const;

export function showMetric(name: string, value: number): string {
  if (name.endsWith('Bytes')) return showBytes(value);
  const unit = units.find(([suffix]) => name.endsWith(suffix))?.[1] ?? '';
  return `${showNumber(value)}${unit}`;
}

/** `p95Ms` needs its name before the figure, `wireBytes` says `wire`. */
function label(name: string): string {
  const words = name
    .replace(/(SecondsPerMinute|MiBPerSecond|PerSecond|Seconds|seconds|Bytes|MiB|Ms|Count)$/, '')
    .replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`)
    .trim();
  return words === '' ? '' : `${words} `;
}

function showBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 2 ** 20) return `${showNumber(bytes / 1024)} KiB`;
  return bytes < 2 ** 30 ? `${showNumber(bytes / 2 ** 20)} MiB` : `${showNumber(bytes / 2 ** 30)} GiB`;
}

export function showNumber(value: number): string {
  const size = Math.abs(value);
  return size >= 1000
    ? Math.round(value).toLocaleString('en')
    : String(round(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3));
}
