// What the options of `fam mirror` promise of the way and of the disk: --bandwidth, --bandwidth-total, --compress, --durability.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { mountFileSystem, whyNotMountable } from '../contract/filesystems.ts';
import { expectEqualTrees } from '../oracle/compare-trees.ts';
import { Child } from '../support/child.ts';
import { famCommand, runFam } from '../support/fam.ts';
import { sshOf } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Farm, startFarm } from './farm.ts';

const MiB = 1024 * 1024;

/** Seconds until a file of random bytes is everywhere. */
async function secondsFor(farm: Farm, bytes: number, args: readonly string[]): Promise<number> {
  const mirror = farm.start({ args });
  await mirror.inSync();
  writeFileSync(join(farm.source, 'large'), randomBytes(bytes));
  const before = performance.now();
  await mirror.barrier();
  const seconds = (performance.now() - before) / 1000;
  farm.expectEqual();
  const [ssh] = sshOf(mirror.pid);
  expect(ssh?.args.includes('-C')).toBe(args.includes('--compress'));
  await mirror.end();
  return seconds;
}

test('--bandwidth holds for each replica, --bandwidth-total for all together; --compress reaches ssh', async () => {
  const farm = await startFarm({ ssh: 1, local: 1, files: 5 });
  // A quarter of a second's worth may pass at once.
  expect(await secondsFor(farm, 2 * MiB, ['--bandwidth', '1M', '--compress'])).toBeGreaterThan(1.5);
  expect(await secondsFor(farm, 1 * MiB, ['--bandwidth-total', '1M'])).toBeGreaterThan(1.5);
});

const reason = whyNotMountable('ext4');

test.skipIf(reason !== undefined).each(['batch', 'file'])(
  '--durability %s: what is said to be durable outlives a power cut',
  async (durability) => {
    const fileSystem = mountFileSystem('ext4');
    onTestFinished(() => fileSystem.unmount());
    const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
    const replica = join(fileSystem.path, 'replica');
    mkdirSync(replica);
    const mirror = farm.start({ dests: [replica], args: ['--durability', durability] });
    await mirror.inSync();
    writeFileSync(join(farm.source, 'page'), 'durable '.repeat(1000));
    writeFileSync(join(farm.source, 'large'), Buffer.alloc(3 * MiB, 'durable '));
    await mirror.barrier();
    await waitFor(
      async () => {
        const { stdout } = await runFam(['status', '--state', farm.state, '--json']);
        const status = JSON.parse(stdout);
        return status.replicas[0].durable === status.head;
      },
      { describe: 'durable up to the head' },
    );
    // The disk as it is at this moment, without what the kernel has not written yet.
    const copy = join(tempFolder('power-cut'), 'image');
    copyFileSync(join(fileSystem.path, '../image'), copy);
    const after = tempFolder('after');
    execFileSync('mount', ['-o', 'loop', copy, after]);
    try {
      for (const name of ['page', 'large'])
        expect(readFileSync(join(after, 'replica', name)).equals(readFileSync(join(farm.source, name)))).toBe(
          true,
        );
    } finally {
      execFileSync('umount', [after]);
    }
    await mirror.end();
  },
);

test('a replica without room for a large file takes what is small, and the room that removals make', async () => {
  const farm = await startFarm({ ssh: 0, local: 0, files: 5 });
  const mount = tempFolder('full', '/dev/shm');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'fam-test', mount]);
  onTestFinished(() => {
    execFileSync('umount', ['-l', mount]);
  });
  const replica = join(mount, 'replica');
  const old = Array.from({ length: 10 }, (_, n) => `old-${n}`);
  for (const name of old) writeFileSync(join(farm.source, name), randomBytes(100_000));
  const first = farm.start({ dests: [replica] });
  await first.inSync();
  writeFileSync(join(farm.source, 'large'), randomBytes(2_300_000));
  await first.logged('lost');
  await first.end();

  for (const name of old) rmSync(join(farm.source, name));
  writeFileSync(join(farm.source, 'page'), 'page');
  const again = farm.start({ dests: [replica] });
  await again.inSync();
  expectEqualTrees(farm.source, replica);
  await again.end();
});

test.each(['json', 'text'])('a log (%s) whose disk is full stops nothing', async (format) => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
  const [replica = ''] = farm.replicas;
  const command = [
    process.execPath,
    famCommand,
    'mirror',
    farm.source,
    replica,
    '--once',
    '--log-format',
    format,
  ];
  const shell = new Child('sh', ['-c', 'exec "$@" 2>/dev/full', 'sh', ...command, '--state', farm.state]);
  expect(await shell.exited).toEqual({ code: 0, signal: null });
  farm.expectEqual();
});
