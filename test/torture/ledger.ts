// What a campaign has run: a line of JSON for each history, kept whatever ends the campaign, and a table of it.

import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface LedgerLine {
  /** ISO 8601: when the history ended. */
  readonly at: string;
  readonly row: string;
  readonly seed: number;
  /** What was special, if anything. */
  readonly scenario?: string;
  /** Rounds that ended equal. */
  readonly rounds: number;
  readonly operations: number;
  /** Of files that verify themselves, on the replicas. */
  readonly reads: number;
  /** Times that each fault ran. */
  readonly faults: Readonly<Record<string, number>>;
  /** The kind of failure. */
  readonly failure?: string;
}

export class Ledger {
  readonly file: string;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.file = join(folder, 'ledger.jsonl');
  }

  /** One write: lanes append to the same file. */
  add(line: LedgerLine): void {
    appendFileSync(this.file, `${JSON.stringify(line)}\n`);
  }

  /** Of histories that have ended since then. */
  since(at: Date): LedgerLine[] {
    if (!existsSync(this.file)) return [];
    const lines = readFileSync(this.file, 'utf8').split('\n').filter(Boolean);
    return lines
      .map((line): LedgerLine => JSON.parse(line))
      .filter((line) => Date.parse(line.at) >= at.getTime());
  }
}

/** In Markdown, a line for each row of the matrix. */
export function table(lines: readonly LedgerLine[]): string {
  const byRow = new Map<string, LedgerLine[]>();
  for (const line of lines) byRow.set(line.row, [...(byRow.get(line.row) ?? []), line]);
  return [
    '| row | histories | rounds | operations | verified reads | seeds | failed |',
    '|---|---:|---:|---:|---:|---|---|',
    ...[...byRow].sort(([a], [b]) => (a < b ? -1 : 1)).map(([row, own]) => tableLine(row, own)),
    tableLine('all', lines),
  ].join('\n');
}

function tableLine(row: string, lines: readonly LedgerLine[]): string {
  const sum = (get: (line: LedgerLine) => number): number =>
    lines.reduce((total, line) => total + get(line), 0);
  const seeds = lines.map(({ seed }) => seed);
  const failed = lines.filter(({ failure }) => failure !== undefined);
  const cells = [
    row,
    lines.length,
    sum(({ rounds }) => rounds),
    sum(({ operations }) => operations),
    sum(({ reads }) => reads),
    `${Math.min(...seeds)} to ${Math.max(...seeds)}`,
    failed.map(({ seed, failure }) => `${seed} (${failure})`).join(', '),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** `kill-agent 3, disk-full 1` */
export function faultList(lines: readonly LedgerLine[]): string {
  const total = new Map<string, number>();
  for (const { faults } of lines)
    for (const [name, count] of Object.entries(faults)) total.set(name, (total.get(name) ?? 0) + count);
  return [...total].map(([name, count]) => `${name} ${count}`).join(', ') || 'none';
}
