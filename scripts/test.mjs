// `npm test`: sets up what is missing, runs the gate, builds, runs every test, and ends with one plain line:
// `N passed, N failed`, with `, N skipped` behind it where tests were skipped. The exit code says the same.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, run, succeeds } from './ensure-built.mjs';

/** What vitest counted; a file that could not even load counts as one failure. */
function readCounts(reportFile, exitCode) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  try {
    const report = JSON.parse(readFileSync(reportFile, 'utf8'));
    for (const { status, assertionResults } of report.testResults) {
      if (status === 'failed' && assertionResults.every((test) => test.status !== 'failed'))
        counts.failed += 1;
      for (const test of assertionResults) {
        if (test.status === 'passed' || test.status === 'failed') counts[test.status] += 1;
        else counts.skipped += 1;
      }
    }
  } catch (error) {
    console.error(`no report from vitest: ${error}`);
  }
  // An error outside every test, or no report at all.
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

/** Runs vitest with its own report on the terminal, and counts. */
function runTests() {
  const reports = mkdtempSync(join(tmpdir(), 'fam-test-report-'));
  const reportFile = join(reports, 'report.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`];
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', ...reporters, ...filters];
  const exitCode = run(process.execPath, vitest);
  const counts = readCounts(reportFile, exitCode);
  rmSync(reports, { recursive: true });
  return counts;
}

/** Test files or vitest options; with any, the check is left out. */
const filters = process.argv.slice(2);
const steps = {
  'installing dependencies': () => succeeds(ensureInstalled),
  'installing test tools': () => run('bash', ['scripts/install-test-tools.sh']) === 0,
  'npm run check': () => filters.length > 0 || run(process.execPath, ['scripts/check.mjs']) === 0,
  'the build': () => succeeds(ensureBuilt),
};
const failedSteps = [];
for (const [name, step] of Object.entries(steps)) {
  if (!step()) failedSteps.push(name);
  if (failedSteps.includes('installing dependencies')) break;
}
const canRun = !failedSteps.includes('installing dependencies') && !failedSteps.includes('the build');
const { passed, failed, skipped } = canRun ? runTests() : { passed: 0, failed: 0, skipped: 0 };

for (const name of failedSteps) console.error(`${name} failed (see above): it counts as one failure`);
const failures = failed + failedSteps.length;
console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failures > 0 ? 1 : 0;
