// Native addons as npm has installed them, for the bundles in dist/ (scripts/bundle.mjs): the few files where they can be, in
// place of the searches that their packages do. Outside of bundles nobody imports this file.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { codeOf } from '../core/errors.ts';

const require = createRequire(import.meta.url);

/** koffi's own index picks the file for this C library. */
export function koffiAddon(): unknown {
  return requireOf('koffi')(`@koromix/koffi-linux-${process.arch}`);
}

/** The build for this very Node.js is the faster one; the one for Node-API serves every other. */
export function lmdbAddon(): unknown {
  const requireOfLmdb = requireOf('lmdb');
  const platform = `@lmdb/lmdb-linux-${process.arch}`;
  const variants = isMusl() ? ['napi.musl'] : [`abi${process.versions.modules}.glibc`, 'napi.glibc'];
  for (const variant of variants) {
    try {
      return requireOfLmdb(`${platform}/node.${variant}.node`);
    } catch (error) {
      if (codeOf(error) !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  // Built on this machine, or somewhere that only lmdb itself knows of.
  const search: unknown = requireOfLmdb('node-gyp-build-optional-packages');
  if (typeof search !== 'function') throw new Error('lmdb cannot be loaded');
  return search(dirname(dirname(require.resolve('lmdb'))));
}

/** What the package itself would get: its dependencies need not be visible from here. */
function requireOf(name: string): NodeJS.Require {
  return createRequire(require.resolve(name));
}

function isMusl(): boolean {
  return readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-');
}
