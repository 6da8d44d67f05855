import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * The real path of what may not exist yet: that of what exists of it, and the rest as it is given.
 * @param path absolute
 * @param realPath what it is called for exists
 */
export function plannedRealPath(path: string, realPath: (existing: string) => string = realpathSync): string {
  if (existsSync(path)) return realPath(path);
  const parent = dirname(path);
  return parent === path ? path : join(plannedRealPath(parent, realPath), basename(path));
}
