// Half a minute of torture in every test run. The long campaign is `npm run torture` (docs/torture.md).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { Child } from '../support/child.ts';

const run = fileURLToPath(new URL('run.mjs', import.meta.url));
/** Another seed is another half minute. */
const seed = process.env['FAM_TORTURE_SEED'] ?? '1';

test('torture: half a minute of random histories with faults ends in equal trees', async () => {
  const out = mkdtempSync(join(tmpdir(), 'fam-torture-short-'));
  const args = [run, '--seed', seed, '--minutes', '0.5', '--rounds', '4', '--no-shrink', '--out', out];
  // A history that has begun is finished, and a source may have to wait for a heartbeat.
  const child = new Child(process.execPath, args, process.env, 'SIGTERM');
  const { code } = await child.exited;
  // A failure's replay file and log stay for whoever reads its path in the output.
  if (code === 0) onTestFinished(() => rmSync(out, { recursive: true, force: true }));
  expect(code, child.stdout + child.stderr).toBe(0);
  // Histories, rounds, operations, verified reads.
  expect(child.stdout).toMatch(/^\| all \|( [1-9]\d* \|){4}/m);
}, 400_000);
