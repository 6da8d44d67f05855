// A fault point for tests: FAM_KILL_AT=rename:3 ends this process with SIGKILL when it reaches the step `rename` for the third
// time. Steps: the operations of core/plan-operation.ts, and before-commit, committed, limbo-emptied, reconciled.

import type { Step } from './applier.ts';

/** @param order the variable's value; undefined or malformed: no fault */
export function killStep(order: string | undefined): Step | undefined {
  const [, name, count] = /^([\w-]+):(\d+)$/.exec(order ?? '') ?? [];
  if (name === undefined) return undefined;
  let left = Number(count);
  return (step) => {
    if (step === name && --left === 0) process.kill(process.pid, 'SIGKILL');
  };
}
