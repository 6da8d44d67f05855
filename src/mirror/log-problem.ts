import { displayBytes } from '../core/name.ts';
import { type Problem, sentenceOf } from '../core/problem.ts';
import type { Log } from '../runtime/log.ts';

/** One line for a path that could not be handled, at either end. */
export function logProblem(log: Log, problem: Problem): void {
  log.warn({ ...problem, event: 'problem', path: displayBytes(problem.path) }, sentenceOf(problem));
}
