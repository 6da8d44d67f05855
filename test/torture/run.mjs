// `npm run torture`: builds fam where that is needed, builds the campaign, runs it.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { ensureBuilt } from '../../scripts/ensure-built.mjs';

const folder = dirname(fileURLToPath(import.meta.url));

ensureBuilt();
await build({
  entryPoints: ['main', 'writer-main', 'reader-main'].map((name) => join(folder, `${name}.ts`)),
  outdir: join(folder, 'dist'),
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  sourcemap: 'inline',
  logLevel: 'warning',
});
await import('./dist/main.js');
