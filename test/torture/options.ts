// What a campaign is told, and what a replay file holds of it.

import { parseArgs } from 'node:util';
import { type ScenarioName, scenarioNames } from './scenarios/scenario.ts';

const fileSystems = ['ext4', 'xfs', 'btrfs', 'tmpfs', 'overlayfs', 'span'] as const;
/** The second as it was before Linux 5.17. */
const monitors = ['fanotify', 'fanotify-without-rename', 'inotify'] as const;
const users = ['root', 'nobody'] as const;
const transports = ['local', 'ssh'] as const;

export interface TortureOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Rounds of one history: the trees and processes live that long. */
  readonly rounds: number;
  /** undefined: as fam chooses. */
  readonly monitor: (typeof monitors)[number] | undefined;
  readonly replicas: number;
  readonly fs: (typeof fileSystems)[number];
  readonly user: (typeof users)[number];
  readonly transport: (typeof transports)[number];
  /** Names of faults to choose from; undefined: all that are possible here, [] none. */
  readonly faults: readonly string[] | undefined;
  /** Operations of each writer in a round, at most. */
  readonly operations: number;
  readonly writers: number;
  /** Absent: the seed's own, if it has one. */
  readonly scenario?: ScenarioName | 'none' | undefined;
}

export interface CommandLine {
  readonly options: TortureOptions;
  readonly replay: string | undefined;
  /** Leave the failing history's replay file here. */
  readonly out: string;
  readonly shrink: boolean;
  /** A row of the matrix for each seed, and no end at a failure. */
  readonly allRows: boolean;
  /** One of several processes: it takes each `of`th seed, beginning with its own number. */
  readonly lane: { readonly number: number; readonly of: number };
  /** It was started as a lane, by whoever prints what all of them did. */
  readonly isLane: boolean;
}

export const usage = `npm run torture -- [--seed S] [--minutes M] [--rounds N] [--monitor ${monitors.join('|')}] [--replicas N]
  [--fs ${fileSystems.join('|')}] [--user ${users.join('|')}] [--transport ${transports.join('|')}]
  [--faults NAME,NAME...|none] [--operations N] [--writers N]
  [--scenario ${scenarioNames.join('|')}|none] [--out FOLDER] [--no-shrink] [--all-rows] [--lanes N] [--replay FILE]`;

function oneOf<T extends string>(name: string, value: string, list: readonly T[]): T {
  const found = list.find((item) => item === value);
  if (found === undefined) throw new Error(`--${name} takes ${list.join(', ')}`);
  return found;
}

function positive(name: string, value: string): number {
  const number = Number(value);
  if (!(number > 0)) throw new Error(`--${name} takes a number above 0`);
  return number;
}

/** `0/2` is the first of two. */
function laneOf(value: string): CommandLine['lane'] {
  const [number = Number.NaN, of = Number.NaN] = value.split('/').map(Number);
  if (!(number >= 0 && number < of)) throw new Error('--lane takes K/N, K from 0');
  return { number, of };
}

/** @throws Error with a line for the user */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      minutes: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '5' },
      monitor: { type: 'string' },
      replicas: { type: 'string', default: '2' },
      fs: { type: 'string' },
      user: { type: 'string' },
      transport: { type: 'string' },
      faults: { type: 'string' },
      operations: { type: 'string', default: '250' },
      writers: { type: 'string', default: '3' },
      scenario: { type: 'string' },
      out: { type: 'string', default: '.cache/torture' },
      'no-shrink': { type: 'boolean', default: false },
      'all-rows': { type: 'boolean', default: false },
      lanes: { type: 'string', default: '1' },
      // What `--lanes` starts.
      lane: { type: 'string' },
      replay: { type: 'string' },
    },
  });
  if (values['all-rows']) {
    const own = (['fs', 'monitor', 'user', 'transport'] as const).find((name) => values[name] !== undefined);
    if (own !== undefined) throw new Error(`--all-rows chooses --${own} itself`);
  }
  return {
    options: {
      seed: Number(values.seed),
      minutes: positive('minutes', values.minutes),
      rounds: positive('rounds', values.rounds),
      monitor: values.monitor === undefined ? undefined : oneOf('monitor', values.monitor, monitors),
      replicas: positive('replicas', values.replicas),
      fs: oneOf('fs', values.fs ?? 'tmpfs', fileSystems),
      user: oneOf('user', values.user ?? 'root', users),
      transport: oneOf('transport', values.transport ?? 'local', transports),
      faults:
        values.faults === undefined ? undefined : values.faults.split(',').filter((name) => name !== 'none'),
      operations: positive('operations', values.operations),
      writers: positive('writers', values.writers),
      scenario:
        values.scenario === undefined
          ? undefined
          : oneOf('scenario', values.scenario, [...scenarioNames, 'none'] as const),
    },
    replay: values.replay,
    out: values.out,
    shrink: !values['no-shrink'],
    allRows: values['all-rows'],
    lane:
      values.lane === undefined ? { number: 0, of: positive('lanes', values.lanes) } : laneOf(values.lane),
    isLane: values.lane !== undefined,
  };
}
