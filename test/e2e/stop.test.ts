// Ctrl-C and SIGTERM: what is in flight is finished, the state is flushed, exit 0. A second one: at once.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { mountFileSystem, whyNotMountable } from '../contract/filesystems.ts';
import { Child } from '../support/child.ts';
import { makeTree } from '../support/make-tree.ts';
import { agentsOf } from '../support/processes.ts';
import { waitFor } from '../support/wait-for.ts';
import { startFarm } from './farm.ts';

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s ends an idle mirror with 0 and leaves no process behind',
  async (signal) => {
    const farm = await startFarm({ ssh: 1, local: 1 });
    const mirror = farm.start();
    await mirror.inSync();
    expect(await mirror.stop(signal), mirror.stderr).toEqual({ code: 0, signal: null });
    await waitFor(() => farm.replicas.flatMap(agentsOf).length === 0, { describe: 'no agent left' });
    farm.expectEqual();
  },
);

test('SIGTERM in the middle of a burst ends with 0; the next start sends the rest', async () => {
  const farm = await startFarm({ ssh: 1, local: 1 });
  const mirror = farm.start();
  await mirror.inSync();
  makeTree(join(farm.source, 'burst'), 3, 1500);
  await mirror.end();
  const again = farm.start();
  await again.inSync();
  farm.expectEqual();
  await again.end();
});

test.skipIf(whyNotMountable('overlay') !== undefined)(
  'where fanotify is refused at its last step, an idle mirror ends with 0 and without a word of its own',
  async () => {
    const fileSystem = mountFileSystem('overlay');
    onTestFinished(() => fileSystem.unmount());
    const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
    const source = join(fileSystem.path, 'source');
    mkdirSync(source);
    const mirror = farm.start({ source });
    await mirror.inSync();
    await mirror.end();
  },
);

test('SIGTERM before --once has done what it was to do ends with 143', async () => {
  const farm = await startFarm({ ssh: 0, local: 1 });
  writeFileSync(join(farm.source, 'large'), Buffer.alloc(4_000_000, 'large'));
  const mirror = farm.start({ args: ['--once', '--bandwidth', '100K'] });
  await mirror.logged('connected');
  expect(await mirror.stop('SIGTERM'), mirror.stderr).toEqual({ code: 143, signal: null });
});

test('SIGTERM during the first sync ends with 0', async () => {
  const farm = await startFarm({ ssh: 1, files: 3000 });
  const mirror = farm.start();
  await mirror.logged('connected');
  await mirror.end();
  const again = farm.start();
  await again.inSync();
  farm.expectEqual();
  await again.end();
});

test('a second SIGTERM ends it at once, although an agent does not answer and files are written at full speed', async () => {
  const farm = await startFarm({ ssh: 0, local: 1 });
  mkdirSync(join(farm.source, 'later'));
  const mirror = farm.start();
  await mirror.inSync();
  const [agent] = agentsOf(farm.replicas[0] ?? '');
  if (!agent) throw new Error('no agent');
  process.kill(agent.pid, 'SIGSTOP');
  try {
    // The tree's thread is in the middle of a transaction most of the time.
    const writer = new Child('sh', [
      '-c',
      'cd "$1" && n=0; while mkdir $n; do for i in 0 1 2 3 4 5 6 7 8 9; do echo > $n/$i; done; n=$((n+1)); done',
      'sh',
      join(farm.source, 'later'),
    ]);
    await waitFor(() => existsSync(join(farm.source, 'later', '100')), { describe: 'the writer to write' });
    mirror.signal('SIGTERM');
    await waitFor(() => /SIGTERM|stopping|finishing/i.test(mirror.stderr), {
      describe: () => `a word about the signal:\n${mirror.stderr}`,
    });
    expect(mirror.exit).toBeUndefined();
    // Without a second one the agent would be waited for: ten seconds.
    const before = performance.now();
    await mirror.stop('SIGTERM');
    expect(performance.now() - before).toBeLessThan(8000);
    await writer.stop('SIGKILL');
  } finally {
    process.kill(agent.pid, 'SIGKILL');
  }
  const again = farm.start();
  await again.inSync();
  farm.expectEqual();
  await again.end();
});
