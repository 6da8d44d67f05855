// A path in a tree, as an absolute one, and back.

import type { ByteString } from './name.ts';

/** @param path relative to `root`; '' is the root itself */
export function under(root: ByteString, path: ByteString): ByteString {
  if (path === '') return root;
  return root === '/' ? `/${path}` : `${root}/${path}`;
}

/** @returns the absolute `path` relative to `root`; undefined when it is not below it */
export function below(root: ByteString, path: ByteString): ByteString | undefined {
  const prefix = root === '/' ? root : `${root}/`;
  return path.startsWith(prefix) && path !== prefix ? path.slice(prefix.length) : undefined;
}

/** The absolute path `inner` is `outer` or below it. */
export function isWithin(inner: ByteString, outer: ByteString): boolean {
  return inner === outer || below(outer, inner) !== undefined;
}
