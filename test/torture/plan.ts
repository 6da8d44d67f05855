// A whole history as data: what each writer does in each round, and what goes wrong when. It follows from options and seed
// alone, can be written to a file, run again, and cut down.

import { readFileSync, writeFileSync } from 'node:fs';
import { randomFrom } from '../support/random.ts';
import { type PlannedFault, planFaults } from './faults.ts';
import { Generator } from './generator.ts';
import type { Operation } from './operation.ts';
import type { TortureOptions } from './options.ts';
import { busyLists } from './scenarios/busy-files.ts';
import { type ScenarioName, scenarioOf, scenarios } from './scenarios/scenario.ts';

export interface RoundPlan {
  /** One list for each writer; those beyond `options.writers` are a scenario's own. */
  readonly operations: readonly (readonly Operation[])[];
  readonly faults: readonly PlannedFault[];
  /** A copy of the replicas is kept at its end. */
  readonly snapshot: boolean;
}

export interface HistoryPlan {
  readonly options: TortureOptions;
  readonly seed: number;
  /** Absent: none, as in plans of before there were any. */
  readonly scenario?: ScenarioName;
  /** The first one makes the tree that the mirror finds. */
  readonly rounds: readonly RoundPlan[];
}

/** Far apart, so that neighbouring seeds share nothing. */
const seedStride = 7919;

export function planHistory(options: TortureOptions, seed: number): HistoryPlan {
  const random = randomFrom(seed);
  const draw = (n: number): number => Math.floor(random() * n);
  const scenario = options.scenario === 'none' ? undefined : (options.scenario ?? scenarioOf(seed));
  const special = scenario === undefined ? {} : scenarios[scenario];
  const root = options.user === 'root';
  const spans = options.fs === 'span' ? ['/tree/span'] : [];
  const generators = Array.from(
    { length: options.writers },
    (_, n) => new Generator(seed * seedStride + n, { root, spans, scenario: special }),
  );
  const rounds = Array.from({ length: options.rounds + 1 }, (_, n): RoundPlan => {
    const count = 1 + draw(options.operations);
    const busy = special.isBusy && n > 0 ? busyLists(draw) : [];
    return {
      operations: [...generators.map((generator) => generator.take(count)), ...busy],
      faults: n === 0 ? [] : planFaults(draw, options.transport === 'ssh', options.faults, special.faults),
      snapshot: draw(3) === 0,
    };
  });
  return { options, seed, ...(scenario === undefined ? {} : { scenario }), rounds };
}

export function countOperations(plan: HistoryPlan): number {
  return plan.rounds.reduce(
    (sum, round) => sum + round.operations.reduce((n, list) => n + list.length, 0),
    0,
  );
}

/** How many writers it takes. */
export function writersOf(plan: HistoryPlan): number {
  return Math.max(plan.options.writers, ...plan.rounds.map((round) => round.operations.length));
}

export function savePlan(file: string, plan: HistoryPlan): void {
  writeFileSync(file, `${JSON.stringify(plan)}\n`);
}

/** Replay files are our own; nothing else is opened here. */
export function loadPlan(file: string): HistoryPlan {
  const plan: HistoryPlan = JSON.parse(readFileSync(file, 'utf8'));
  return plan;
}
