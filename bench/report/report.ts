import { writeFileSync } from 'node:fs';
import type { Options } from '../options.ts';
import { earlierRuns, type Run } from '../record.ts';
import { describe, markdown } from './markdown.ts';
import { writePlots } from './plots.ts';
import { regressions } from './regression.ts';

/** Writes NAME.md and its plots beside NAME.json, prints the tables, and what got worse since the last recorded run. */
export function writeReport(options: Options, name: string, run: Run): void {
  const worse = regressions(run, earlierRuns(options.results, run), options.workloads);
  const plots = writePlots(options.results, name, run, options.workloads);
  const text = markdown({ run, workloads: options.workloads, regressions: worse, plots });
  const path = `${options.results}/${name}.md`;
  writeFileSync(path, text);
  console.log(text);
  for (const one of worse) console.log(`REGRESSION ${describe(one)}`);
  console.log(`written: ${path}`);
}
