// For esbuild: replaces the places where koffi and lmdb look for their addons, so that their JavaScript can be bundled.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** @param loaders JavaScript modules whose default export loads the addon: `{ koffi, lmdb }` */
export function addonLoaders(loaders) {
  return {
    name: 'addon-loaders',
    setup({ onLoad, onResolve }) {
      const load = (name) => () => ({ contents: loaders[name], resolveDir: root });
      onResolve({ filter: /\/static\.js$/ }, ({ importer, resolveDir }) =>
        importer.includes('/node_modules/koffi/') ? { path: join(resolveDir, 'src/static.js') } : undefined,
      );
      onLoad({ filter: /\/koffi\/src\/static\.js$|\/koffi\/src\/koffi\/src\/static\.js$/ }, () => ({
        contents: `import load from 'fam-addon:koffi';\nexport const loadStatic = load;\n`,
        resolveDir: root,
      }));
      onResolve({ filter: /^fam-addon:/ }, ({ path }) => ({
        path: path.slice('fam-addon:'.length),
        namespace: 'addon',
      }));
      onResolve({ filter: /^node-gyp-build-optional-packages$/ }, () => ({
        path: 'lmdb',
        namespace: 'addon',
      }));
      onLoad({ filter: /^koffi$/, namespace: 'addon' }, load('koffi'));
      onLoad({ filter: /^lmdb$/, namespace: 'addon' }, load('lmdb'));
      // msgpackr is fast enough without its own addon, and does without when it gets nothing.
      onLoad({ filter: /^none$/, namespace: 'addon' }, () => ({ contents: 'module.exports = null;' }));
      onResolve({ filter: /^msgpackr-extract$/ }, () => ({ path: 'none', namespace: 'addon' }));
    },
  };
}

/** ES modules inside a bundle that is CommonJS ask for their own URL. */
export const moduleUrl = {
  define: { 'import.meta.url': 'famModuleUrl' },
  banner: { js: "const famModuleUrl = require('node:url').pathToFileURL(__filename).href;" },
};

/** CommonJS modules inside a bundle of ES modules need a `require` for what is Node's own. */
export const requireBanner = [
  `import { createRequire as famCreateRequire } from 'node:module';`,
  'const require = famCreateRequire(import.meta.url);',
].join(' ');
