import { type Dirent, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Everything below a folder. Not by `recursive`: from Node.js 22 on that follows links to folders, in circles too. */
export function* entriesBelow(folder: string): Generator<Dirent> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    yield entry;
    if (entry.isDirectory()) yield* entriesBelow(join(entry.parentPath, entry.name));
  }
}
