// A replica that cannot be reached for a while: the others go on, it is tried again with growing pauses, and catches up.

import { randomBytes } from 'node:crypto';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { compareTrees } from '../oracle/compare-trees.ts';
import { agentsOf, kill, runningProcesses, sshOf } from '../support/processes.ts';
import { waitFor } from '../support/wait-for.ts';
import { changeKinds } from './change-kinds.ts';
import { startFarm } from './farm.ts';

test('fam mirror says that a link is lost and when it tries again, and catches up from its cursor', async () => {
  const farm = await startFarm({ ssh: 1, local: 1 });
  const [remote = '', local = ''] = farm.replicas;
  const mirror = farm.start();
  await mirror.inSync();

  await farm.sshd?.stop();
  // That the link broke, and then why it does not come back, each with the pause.
  const lost = await mirror.logged('lost', { count: 2 });
  for (const line of lost) expect(line.msg).toMatch(/lost.*retry in [\d.]+ s/);

  for (const change of Object.values(changeKinds)) change(farm.look());
  await waitFor(() => compareTrees(farm.source, local, { ignore: ['.fam'] }).length === 0, {
    describe: 'the local replica to follow although the other one is away',
    deadlineMs: 30_000,
    intervalMs: 200,
  });
  expect(compareTrees(farm.source, remote, { ignore: ['.fam'] })).not.toEqual([]);

  await farm.sshd?.start();
  await mirror.barrier(60);
  farm.expectEqual();
  await mirror.end();
}, 120_000);

test('fam wait ends with TIMEOUT while a replica is away, and with 0 when it is back', async () => {
  const farm = await startFarm({ ssh: 1, files: 20 });
  const mirror = farm.start();
  await mirror.inSync();
  await farm.sshd?.stop();
  await mirror.logged('lost');
  writeFileSync(join(farm.source, 'while it is away'), 'x');
  await expect(mirror.barrier(1)).rejects.toThrow(/ended with 40/);
  await farm.sshd?.start();
  await mirror.barrier(60);
  farm.expectEqual();
  await mirror.end();
});

test('a link that is frozen without being closed is noticed', async () => {
  const farm = await startFarm({ ssh: 1, files: 20 });
  const mirror = farm.start();
  await mirror.inSync();
  const [ssh] = sshOf(mirror.pid);
  if (!ssh) throw new Error('no ssh');
  process.kill(ssh.pid, 'SIGSTOP');
  // A stopped process cannot outlive the test; fam ends it itself when it gives up.
  onTestFinished(() => {
    if (runningProcesses().some(({ pid, program }) => pid === ssh.pid && program === 'ssh'))
      process.kill(ssh.pid, 'SIGKILL');
  });
  writeFileSync(join(farm.source, 'sent into the void'), 'x');
  await mirror.logged('lost', { deadlineMs: 60_000 });
  await mirror.barrier(60);
  farm.expectEqual();
  await mirror.end();
}, 120_000);

test('large files reach both replicas whole, though the agents of one are killed while they are on their way', async () => {
  const farm = await startFarm({ ssh: 1, local: 1, files: 20 });
  const [remote = ''] = farm.replicas;
  const mirror = farm.start();
  await mirror.inSync();
  for (const name of ['first', 'second', 'third'])
    writeFileSync(join(farm.source, name), randomBytes(48 * 1024 * 1024));
  let kills = 0;
  // Staged content grows where nobody sees it: killed in the middle of it, and in the middle of the rest.
  for (const least of [8, 60].map((mebibytes) => mebibytes * 1024 * 1024)) {
    const agents = await waitFor(() => stagedBytes(remote) > least && agentsOf(remote), {
      describe: () => `${least} bytes to be staged, of which there are ${stagedBytes(remote)}`,
      intervalMs: 1,
    });
    kill(agents, 'SIGKILL');
    await mirror.logged('lost', { count: ++kills });
  }
  await mirror.barrier(60);
  farm.expectEqual();
  await mirror.end();
}, 120_000);

function stagedBytes(replica: string): number {
  const staging = join(dirname(replica), `.fam-${basename(replica)}`, 'staging');
  return readdirSync(staging).reduce((sum, name) => sum + sizeOf(join(staging, name)), 0);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

test('an agent that is killed before it says a word is started again', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 20 });
  const [replica = ''] = farm.replicas;
  const mirror = farm.start();
  const killed = new Set<number>();
  while (killed.size < 2) {
    const isNew = ({ pid }: { pid: number }): boolean => !killed.has(pid);
    const agent = await waitFor(() => agentsOf(replica).find(isNew), { describe: 'an agent', intervalMs: 1 });
    kill([agent], 'SIGKILL');
    killed.add(agent.pid);
  }
  await mirror.inSync();
  farm.expectEqual();
  await mirror.end();
});
