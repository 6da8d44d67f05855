import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';

test('a defect in the main thread ends the process, although a thread is in the middle of a transaction', () => {
  const folder = tempFolder('last-words');
  const built = fileURLToPath(new URL('../../dist/runtime/last-words.js', import.meta.url));
  const program = join(folder, 'program.cjs');
  writeFileSync(
    program,
    `const { isMainThread, parentPort, Worker } = require('node:worker_threads');
    if (isMainThread) {
      import(${JSON.stringify(built)}).then(({ dieOfDefects }) => {
        dieOfDefects();
        new Worker(__filename).on('message', () => { throw new Error('a defect'); });
      });
    } else {
      const root = require(${JSON.stringify(createRequire(import.meta.url).resolve('lmdb'))}).open({ path: ${JSON.stringify(join(folder, 'db'))} });
      root.transactionSync(() => {
        parentPort.postMessage('inside');
        for (;;) root.putSync('key', 1);
      });
    }`,
  );
  // Without the last words it would have to be killed.
  const { signal, stderr } = spawnSync(process.execPath, [program], {
    encoding: 'utf8',
    timeout: 20_000,
    killSignal: 'SIGTERM',
  });
  expect(stderr).toContain('fam: internal error: Error: a defect');
  expect(signal).toBe('SIGKILL');
});
