// A path in a tree, as an absolute one.

import type { ByteString } from './name.ts';

/** @param path relative to `root`; '' is the root itself */
export function under(root: ByteString, path: ByteString): ByteString {
  if (path === '') return root;
  return root === '/' ? `/${path}` : `${root}/${path}`;
}
