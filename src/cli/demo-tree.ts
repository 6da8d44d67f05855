// The demo's source: a few thousand real files, copied from what is installed beside this package.

import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Enough to see the first copy work, small enough for a temporary folder. */
const wantedFiles = 3000;

/** Fills `target` and returns how many files it got. */
export function fillDemoTree(target: string): number {
  const packageRoot = fileURLToPath(new URL('../..', import.meta.url));
  const sources = [join(packageRoot, 'node_modules'), dirname(packageRoot), '/usr/share/doc', packageRoot];
  let files = 0;
  for (const source of sources) {
    if (files >= wantedFiles) break;
    if (existsSync(source))
      files += copySome(source, join(target, `from-${sources.indexOf(source)}`), wantedFiles - files);
  }
  return files;
}

function copySome(source: string, target: string, limit: number): number {
  mkdirSync(target, { recursive: true });
  let files = 0;
  for (const entry of readdirSync(source, { withFileTypes: true })) {
    if (files >= limit) break;
    const from = join(source, entry.name);
    const to = join(target, entry.name);
    if (entry.isDirectory()) files += copySome(from, to, limit - files);
    else if (entry.isFile()) {
      copyFileSync(from, to);
      files += 1;
    }
  }
  return files;
}
