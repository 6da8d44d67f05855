// `npm run check`: the one gate. Format and lint, promise and layer rules, types, dead code. All run; any failure fails it.

import { ensureInstalled, run, succeeds } from './ensure-built.mjs';

const steps = [
  ['format and lint', 'node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'],
  ['promises and layers', 'node_modules/eslint/bin/eslint.js', '--max-warnings=0', '.'],
  ['types', 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json'],
  ['dead code', 'node_modules/knip/bin/knip.js'],
];

const failed = succeeds(ensureInstalled)
  ? steps.filter(([, ...command]) => run(process.execPath, command) !== 0).map(([name]) => name)
  : ['installing'];
if (failed.length > 0) console.error(`check: failed: ${failed.join(', ')}`);
else console.error(`check: passed: ${steps.map(([name]) => name).join(', ')}`);
process.exitCode = failed.length > 0 ? 1 : 0;
