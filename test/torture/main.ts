// `npm run torture`: histories from consecutive seeds until the time is over or one of them fails.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { abandonHistory, type Failure, type HistoryResult, runHistory } from './history.ts';
import { showOperation } from './operation.ts';
import { type CommandLine, parseCommandLine, usage } from './options.ts';
import { countOperations, type HistoryPlan, loadPlan, planHistory, savePlan } from './plan.ts';
import { shrink } from './shrink.ts';

/** Of the last round of a failure, for each writer. */
const printedOperations = 5;
/** Shrinking takes at most this long, whatever the campaign's time. */
const shrinkMs = 5 * 60_000;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function report(plan: HistoryPlan, failure: Failure, result: HistoryResult, out: string): string {
  mkdirSync(out, { recursive: true });
  const name = `${plan.options.fs}-${plan.options.transport}-${plan.seed}`;
  const file = join(out, `${name}.json`);
  const log = join(out, `${name}.log`);
  const found = describeFailure(plan, failure);
  savePlan(file, { ...plan, rounds: plan.rounds.slice(0, failure.round + 1) });
  // What was found stays with the log: whoever started the campaign may have kept nothing of its output.
  writeFileSync(log, [result.log, ...found, ''].join('\n'));
  for (const line of found) print(line);
  print(`log of fam: ${log}`);
  print(`again: npm run torture -- --replay ${file}`);
  return file;
}

function describeFailure(plan: HistoryPlan, failure: Failure): string[] {
  const round = plan.rounds[failure.round];
  const lines = [
    `FAILED: seed ${plan.seed}, round ${failure.round}: ${failure.kind}`,
    ...failure.details.map((line) => `  ${line}`),
    `faults of the round: ${round?.faults.map(({ name, atMs }) => `${name} at ${atMs} ms`).join(', ') || 'none'}`,
  ];
  for (const [writer, list] of round?.operations.entries() ?? []) {
    lines.push(`last operations of writer ${writer + 1}:`);
    lines.push(...list.slice(-printedOperations).map((operation) => `  ${showOperation(operation)}`));
  }
  return lines;
}

async function shrinkAndSave(plan: HistoryPlan, failure: Failure, file: string): Promise<void> {
  print(`shrinking ${countOperations(plan)} operations, at most ${shrinkMs / 60_000} minutes`);
  const small = file.replace(/\.json$/, '.small.json');
  const smallest = await shrink({ ...plan, rounds: plan.rounds.slice(0, failure.round + 1) }, failure.kind, {
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

async function campaign({ options, out, shrink: wantsShrink }: CommandLine): Promise<boolean> {
  const until = performance.now() + options.minutes * 60_000;
  const total = { histories: 0, rounds: 0, operations: 0, reads: 0, faults: new Map<string, number>() };
  print(`seed ${options.seed}, ${options.minutes} minutes: ${JSON.stringify(options)}`);
  let isGood = true;
  for (let seed = options.seed; isGood && performance.now() < until; seed++) {
    const plan = planHistory(options, seed);
    const result = await runHistory(plan, (line) => print(`  seed ${seed}, ${line}`));
    total.histories += 1;
    total.rounds += result.rounds;
    total.operations += result.operations;
    total.reads += result.reads;
    for (const [name, count] of Object.entries(result.faults))
      total.faults.set(name, (total.faults.get(name) ?? 0) + count);
    if (!result.failure) continue;
    isGood = false;
    const file = report(plan, result.failure, result, out);
    if (wantsShrink) await shrinkAndSave(plan, result.failure, file);
  }
  const faultList = [...total.faults].map(([name, count]) => `${name} ${count}`).join(', ') || 'none';
  print(
    `${total.histories} histories, ${total.rounds} rounds, ${total.operations} operations, ${total.reads} verified reads`,
  );
  print(`faults: ${faultList}`);
  print(isGood ? 'all equal' : 'FAILED');
  return isGood;
}

async function replay(file: string, { out, shrink: wantsShrink }: CommandLine): Promise<boolean> {
  const plan = loadPlan(file);
  const result = await runHistory(plan, print);
  if (!result.failure) {
    print('all equal');
    return true;
  }
  const again = report(plan, result.failure, result, join(out, 'replayed'));
  if (wantsShrink) await shrinkAndSave(plan, result.failure, again);
  return false;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void abandonHistory().finally(() => process.exit(130));
  });
}

try {
  const command = parseCommandLine(process.argv.slice(2));
  const isGood =
    command.replay === undefined ? await campaign(command) : await replay(command.replay, command);
  process.exitCode = isGood ? 0 : 1;
} catch (error) {
  print(error instanceof Error ? (error.stack ?? error.message) : String(error));
  print(usage);
  process.exitCode = 2;
}
