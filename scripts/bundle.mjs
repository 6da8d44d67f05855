// Bundles what tsc wrote: each entry below dist/ becomes one file, with what they share in dist/chunk/. A command and its
// threads then load a few modules in place of two hundred, which is most of the time that starting takes. Packages are bundled too; their native addons stay where npm has put them.

import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { addonLoaders, requireBanner } from './addon-loaders.mjs';
import { lazyBuiltins } from './lazy-builtins.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

/** Commands, the library, and the modules that threads start from (src/runtime/worker-file.ts). */
const entries = [
  'index.js',
  'cli/main.js',
  'source/tree-worker.js',
  'source/reader-worker.js',
  'replica/applier-thread.js',
  'replica/sync-thread.js',
  'watch/watch-worker.js',
];

rmSync(join(dist, 'chunk'), { recursive: true, force: true });
await build({
  entryPoints: entries.map((entry) => join(dist, entry)),
  outdir: dist,
  outbase: dist,
  allowOverwrite: true,
  bundle: true,
  splitting: true,
  chunkNames: 'chunk/[name]-[hash]',
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  charset: 'ascii',
  sourcemap: true,
  legalComments: 'none',
  logLevel: 'warning',
  banner: { js: requireBanner },
  plugins: [
    addonLoaders({ koffi: installedLoader('koffiAddon'), lmdb: installedLoader('lmdbAddon') }),
    lazyBuiltins,
  ],
});

/** A module that loads what npm has installed. */
function installedLoader(name) {
  return `export { ${name} as default } from ${JSON.stringify(join(root, 'src/runtime/installed-addon.ts'))};\n`;
}
