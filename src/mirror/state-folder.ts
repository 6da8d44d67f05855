// Where a source keeps its state: one folder a source, named after its path.

import { join } from 'node:path';
import { escapedPath, statesFolder } from '../runtime/states-folder.ts';

/** The state folder of a source that was given no `--state`. */
export function stateFolderOf(source: string): string {
  return join(statesFolder(), escapedPath(source));
}
