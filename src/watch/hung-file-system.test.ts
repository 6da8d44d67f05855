// A file system elsewhere whose program does not answer. It runs what was built.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { whyNotMountable } from '../../test/contract/filesystems.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { watch } from './watch.ts';

test.skipIf(whyNotMountable('fuse') !== undefined)(
  'a file system that does not answer holds up no watch of what lies elsewhere',
  async () => {
    const top = tempFolder();
    for (const name of ['behind', 'hung', 'tree']) mkdirSync(join(top, name));
    writeFileSync(join(top, 'target'), '');
    symlinkSync('../target', join(top, 'tree', 'link'));
    const device = statSync(top).dev;
    // Nothing is remembered of it: every look asks.
    const options = ['-f', '-o', 'attr_timeout=0,entry_timeout=0'];
    const program = spawn('bindfs', [...options, join(top, 'behind'), join(top, 'hung')]);
    onTestFinished(async () => {
      program.kill('SIGCONT');
      program.kill('SIGTERM');
      if (program.exitCode === null && program.signalCode === null) await once(program, 'exit');
    });
    await waitFor(() => statSync(join(top, 'hung')).dev !== device, { describe: 'it to be mounted' });
    program.kill('SIGSTOP');
    const told: string[] = [];
    const watcher = watch(join(top, 'tree', 'link'), { followSymlinks: true });
    const ended = watcher.listen(({ type }) => void told.push(type));
    let isReady = false;
    void watcher.ready.then(() => {
      isReady = true;
    });
    try {
      await waitFor(() => isReady, { describe: 'the watch to be ready', deadlineMs: 5000 });
      writeFileSync(join(top, 'target'), 'x');
      await waitFor(() => told.includes('changed'), { describe: () => `changed among ${told.join()}` });
    } finally {
      program.kill('SIGCONT');
      await watcher.close();
      await ended;
    }
    expect(told).not.toContain('rescan');
  },
);
