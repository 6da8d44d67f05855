// Makes a failing plan smaller while it goes on failing in the same way. Runs are not deterministic to the last event, so each
// cut gets a few chances to fail again, and a cut that never does is taken back.

import type { Failure } from './history.ts';
import type { HistoryPlan, RoundPlan } from './plan.ts';

const chances = 2;

export interface ShrinkOptions {
  /** performance.now() at which to be content with what there is. */
  readonly until: number;
  readonly run: (plan: HistoryPlan) => Promise<Failure | undefined>;
  readonly onProgress: (plan: HistoryPlan) => void;
}

/** Plans with something less, the boldest cuts first. */
function* cuts(plan: HistoryPlan): Generator<HistoryPlan> {
  const { rounds } = plan;
  const withRounds = (list: readonly RoundPlan[]): HistoryPlan => ({ ...plan, rounds: list });
  const replaced = (at: number, round: RoundPlan): HistoryPlan =>
    withRounds(rounds.map((one, n) => (n === at ? round : one)));
  for (let n = 0; n < rounds.length; n++)
    if (rounds.length > 2) yield withRounds(rounds.filter((_, at) => at !== n));
  for (const [at, round] of rounds.entries()) {
    if (round.faults.length > 0) yield replaced(at, { ...round, faults: [] });
    for (const fault of round.faults) {
      if (round.faults.length > 1)
        yield replaced(at, { ...round, faults: round.faults.filter((one) => one !== fault) });
    }
  }
  for (const [at, round] of rounds.entries()) {
    for (const [writer, list] of round.operations.entries()) {
      const withList = (shorter: typeof list): HistoryPlan =>
        replaced(at, {
          ...round,
          operations: round.operations.map((one, n) => (n === writer ? shorter : one)),
        });
      if (list.length > 0) yield withList([]);
      for (
        let size = Math.ceil(list.length / 2);
        size >= 1 && list.length > 1;
        size = size === 1 ? 0 : Math.ceil(size / 2)
      ) {
        for (let from = 0; from < list.length; from += size)
          yield withList([...list.slice(0, from), ...list.slice(from + size)]);
      }
    }
  }
}

/** The smallest plan that still failed with `kind`. */
export async function shrink(
  plan: HistoryPlan,
  kind: Failure['kind'],
  options: ShrinkOptions,
): Promise<HistoryPlan> {
  let best = plan;
  for (let smaller = true; smaller; ) {
    smaller = false;
    for (const cut of cuts(best)) {
      if (performance.now() > options.until) return best;
      for (let chance = 0; chance < chances && !smaller; chance++)
        smaller = (await options.run(cut))?.kind === kind;
      if (!smaller) continue;
      best = cut;
      options.onProgress(best);
      break;
    }
  }
  return best;
}
