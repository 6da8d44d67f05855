// `npm start -- SRC DEST...` is `fam mirror SRC DEST...` from a checkout; without arguments, the demo.

import { ensureBuilt, succeeds } from './ensure-built.mjs';

if (succeeds(ensureBuilt)) {
  const given = process.argv.slice(2);
  process.argv.splice(2, given.length, ...(given.length > 0 ? ['mirror', ...given] : ['demo']));
  await import('../dist/cli/main.js');
} else process.exitCode = 1;
