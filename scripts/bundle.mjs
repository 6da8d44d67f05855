// Bundles what tsc wrote. Commands and the library become one file each, with what they share in dist/chunk/: a few modules are loaded
// in place of two hundred. The modules that threads start from become CommonJS files that hold all they need: a thread that loads no
// ES module starts 30 to 40 ms sooner (measured, of some 130). Packages are bundled too; their native addons stay where npm has put them.

import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { addonLoaders, moduleUrl, requireBanner } from './addon-loaders.mjs';
import { lazyBuiltins } from './lazy-builtins.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

const commands = ['index.js', 'cli/main.js'];
/** See src/runtime/start-thread.ts. */
const threads = [
  'source/tree-worker.js',
  'source/reader-worker.js',
  'replica/applier-thread.js',
  'replica/sync-thread.js',
  'watch/watch-worker.js',
];

const common = {
  outdir: dist,
  outbase: dist,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  charset: 'ascii',
  sourcemap: true,
  legalComments: 'none',
  logLevel: 'warning',
  plugins: [
    addonLoaders({ koffi: installedLoader('koffiAddon'), lmdb: installedLoader('lmdbAddon') }),
    lazyBuiltins,
  ],
};

await build({
  ...common,
  entryPoints: threads.map((entry) => join(dist, entry)),
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  // Names stay, for whoever reads a stack trace.
  minifyWhitespace: true,
  minifySyntax: true,
  ...moduleUrl,
});

rmSync(join(dist, 'chunk'), { recursive: true, force: true });
await build({
  ...common,
  entryPoints: commands.map((entry) => join(dist, entry)),
  allowOverwrite: true,
  splitting: true,
  chunkNames: 'chunk/[name]-[hash]',
  format: 'esm',
  banner: { js: requireBanner },
});

/** A module that loads what npm has installed. */
function installedLoader(name) {
  return `export { ${name} as default } from ${JSON.stringify(join(root, 'src/runtime/installed-addon.ts'))};\n`;
}
