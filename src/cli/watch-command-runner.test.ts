import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { CommandRunner } from './watch-command-runner.ts';

test('CommandRunner: while the last runs are waited for, no two run at a time', async () => {
  const folder = tempFolder();
  const log = join(folder, 'log');
  const names = ['a', 'b', 'c'].map((name) => join(folder, name));
  const command = [
    `echo "start $FAM_PATH" >>${log}`,
    'until [ -e "$FAM_PATH.go" ]; do sleep 0.01; done',
    `echo "end $FAM_PATH" >>${log}`,
  ].join('; ');
  const runner = new CommandRunner({ command, restart: false });
  for (const path of names) runner.changed({ type: 'changed', path, kind: 'file' });
  const started = (path: string): Promise<unknown> =>
    waitFor(() => existsSync(log) && readFileSync(log, 'utf8').includes(`start ${path}\n`), {
      describe: `a run for ${path}`,
    });
  await started(join(folder, 'a'));
  const idle = runner.idle();
  for (const path of names) {
    await started(path);
    writeFileSync(`${path}.go`, '');
  }
  expect(await idle).toBe(0);
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  expect(lines).toEqual(names.flatMap((path) => [`start ${path}`, `end ${path}`]));
});
