// For esbuild: Node's own modules are fetched when a module that needs them first runs, and not before a bundle runs at all;
// nor are facades made for them, which touch everything that they export.

import { isBuiltin } from 'node:module';

/** These are there before any code of ours, or have no other form than an import. */
const kept = new Set(['node:module']);

export const lazyBuiltins = {
  name: 'lazy-builtins',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^(node:)?[a-z_/]+$/ }, ({ path }) => {
      if (!isBuiltin(path) || kept.has(path)) return undefined;
      return { path, namespace: 'builtin' };
    });
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};
