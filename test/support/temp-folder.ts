import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { forgetMounts } from './forget-mounts.ts';

/** A new folder that is removed when the test that asked for it has finished. */
export function tempFolder(name = 'fam-test', parent: string = tmpdir()): string {
  const path = mkdtempSync(join(parent, `${name}-`));
  // Large trees on a busy disk take their time.
  onTestFinished(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    forgetMounts(path);
  }, 180_000);
  return path;
}
