// Histories from consecutive seeds, until the time is over or, unless all rows of the matrix are asked for, one of them fails.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Failure, type HistoryResult, runHistory } from './history.ts';
import { Ledger } from './ledger.ts';
import { showOperation } from './operation.ts';
import type { CommandLine } from './options.ts';
import { countOperations, type HistoryPlan, loadPlan, planHistory, savePlan } from './plan.ts';
import { inRow, rowName } from './rows.ts';
import { shrink } from './shrink.ts';

/** Of the last round of a failure, for each writer. */
const printedOperations = 5;
/** Shrinking takes at most this long, whatever the campaign's time. */
const shrinkMs = 5 * 60_000;

export type Print = (line: string) => void;

/** True when all histories have ended equal. */
export async function campaign(command: CommandLine, print: Print): Promise<boolean> {
  const { options, allRows, lane, out } = command;
  const until = performance.now() + options.minutes * 60_000;
  const ledger = new Ledger(out);
  let isGood = true;
  for (let n = 0; (isGood || allRows) && performance.now() < until; n++) {
    const seed = options.seed + lane.number + n * lane.of;
    const own = allRows ? inRow(options, seed) : options;
    const plan = planHistory(own, seed);
    const kind = [rowName(own), ...(plan.scenario === undefined ? [] : [plan.scenario])].join(', ');
    const result = await runHistory(plan, (line) => print(`  ${kind}: seed ${seed}, ${line}`));
    const { rounds, operations, reads, faults, failure } = result;
    ledger.add({
      at: new Date().toISOString(),
      row: rowName(own),
      seed,
      ...(plan.scenario === undefined ? {} : { scenario: plan.scenario }),
      rounds,
      operations,
      reads,
      faults,
      ...(failure === undefined ? {} : { failure: failure.kind }),
    });
    if (failure === undefined) continue;
    isGood = false;
    await handle(plan, failure, result, command, print);
  }
  return isGood;
}

export async function replay(file: string, command: CommandLine, print: Print): Promise<boolean> {
  const plan = loadPlan(file);
  const result = await runHistory(plan, print);
  if (result.failure === undefined) {
    print('all equal');
    return true;
  }
  await handle(plan, result.failure, result, { ...command, out: join(command.out, 'replayed') }, print);
  return false;
}

async function handle(
  plan: HistoryPlan,
  failure: Failure,
  result: HistoryResult,
  { out, shrink: wantsShrink }: CommandLine,
  print: Print,
): Promise<void> {
  mkdirSync(out, { recursive: true });
  const name = `${plan.options.fs}-${plan.options.transport}-${plan.seed}`;
  const file = join(out, `${name}.json`);
  const log = join(out, `${name}.log`);
  const found = describeFailure(plan, failure);
  const failed = { ...plan, rounds: plan.rounds.slice(0, failure.round + 1) };
  savePlan(file, failed);
  // What was found stays with the log: whoever started the campaign may have kept nothing of its output.
  writeFileSync(log, [result.log, ...found, ''].join('\n'));
  for (const line of found) print(line);
  print(`log of fam: ${log}`);
  print(`again: npm run torture -- --replay ${file}`);
  if (wantsShrink) await shrinkAndSave(failed, failure, file, print);
}

function describeFailure(plan: HistoryPlan, failure: Failure): string[] {
  const round = plan.rounds[failure.round];
  const lines = [
    `FAILED: seed ${plan.seed}${plan.scenario === undefined ? '' : ` (${plan.scenario})`}, round ${failure.round}: ${failure.kind}`,
    ...failure.details.map((line) => `  ${line}`),
    `faults of the round: ${round?.faults.map(({ name, atMs }) => `${name} at ${atMs} ms`).join(', ') || 'none'}`,
  ];
  for (const [writer, list] of round?.operations.entries() ?? []) {
    lines.push(`last operations of writer ${writer + 1}:`);
    lines.push(...list.slice(-printedOperations).map((operation) => `  ${showOperation(operation)}`));
  }
  return lines;
}

async function shrinkAndSave(plan: HistoryPlan, failure: Failure, file: string, print: Print): Promise<void> {
  print(`shrinking ${countOperations(plan)} operations, at most ${shrinkMs / 60_000} minutes`);
  const small = file.replace(/\.json$/, '.small.json');
  const smallest = await shrink(plan, failure.kind, {
    until: performance.now() + shrinkMs,
    run: async (cut) => (await runHistory(cut, () => {})).failure,
    onProgress: (cut) => {
      savePlan(small, cut);
      print(`  fails with ${countOperations(cut)} operations in ${cut.rounds.length} rounds`);
    },
  });
  savePlan(small, smallest);
  if (countOperations(smallest) <= 40) {
    for (const [n, round] of smallest.rounds.entries()) {
      for (const fault of round.faults) print(`  round ${n}, fault ${fault.name} at ${fault.atMs} ms`);
      for (const [writer, list] of round.operations.entries()) {
        for (const operation of list)
          print(`  round ${n}, writer ${writer + 1}: ${showOperation(operation)}`);
      }
    }
  }
  print(`smallest: npm run torture -- --replay ${small}`);
}
