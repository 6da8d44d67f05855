// kill -9 of anything, at any moment: after a restart the trees are equal again, and what was there is not sent again (I8).

import { chmodSync, closeSync, mkdirSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Mirror } from '../support/fam.ts';
import { makeTree } from '../support/make-tree.ts';
import { agentsOf, kill, sshOf } from '../support/processes.ts';
import { waitFor } from '../support/wait-for.ts';
import { Mapping } from '../torture/calls.ts';
import { changeKinds } from './change-kinds.ts';
import { type Farm, inodeNumbers, startFarm } from './farm.ts';

const stableFiles = 400;

/** A farm with a folder that nobody changes: its files on the replicas must stay the very inodes that they are. */
async function farmWithStableFolder(): Promise<Farm> {
  const farm = await startFarm({ ssh: 1, local: 1 });
  mkdirSync(join(farm.source, 'zz stable'));
  makeTree(join(farm.source, 'zz stable', 'files'), 77, stableFiles);
  return farm;
}

const stableInodes = (farm: Farm) => farm.replicas.map((root) => inodeNumbers(join(root, 'zz stable')));

/** Every other kind, for it is the kills that count. They take the first files and folders by name, and so leave the stable folder alone. */
const kinds = Object.entries(changeKinds).filter((_, n) => n % 2 === 0);

type Kill = (farm: Farm, mirror: Mirror) => void;
/** In turns. */
const survivable: readonly Kill[] = [
  (farm) => kill(farm.replicas.flatMap(agentsOf), 'SIGKILL'),
  (_, mirror) => kill(sshOf(mirror.pid), 'SIGKILL'),
];

test('fam mirror goes on after kill -9 of the agents and of ssh, again and again', async () => {
  const farm = await farmWithStableFolder();
  const mirror = farm.start();
  await mirror.inSync();
  const before = stableInodes(farm);
  for (const [n, [, change]] of kinds.entries()) {
    change(farm.look());
    // A different moment each time: at once, or while the change is being sent or applied.
    await delay(n * 3);
    survivable[n % survivable.length]?.(farm, mirror);
    if (n % 3 === 2) await mirror.barrier(60);
  }
  await mirror.barrier(60);
  farm.expectEqual();
  expect(stableInodes(farm)).toEqual(before);
  expect(mirror.events('lost').length).toBeGreaterThan(5);
  await mirror.end();
}, 180_000);

test('fam mirror starts again after kill -9 of the source, with and without its agents, in the middle of changes', async () => {
  const farm = await farmWithStableFolder();
  let mirror = farm.start();
  await mirror.inSync();
  const before = stableInodes(farm);
  for (const [n, [, change]] of kinds.entries()) {
    change(farm.look());
    if (n % 2 === 0) continue;
    await delay(n * 3);
    if (n % 4 === 1) kill(farm.replicas.flatMap(agentsOf), 'SIGKILL');
    await mirror.stop('SIGKILL');
    mirror = farm.start();
    if (n % 8 === 7) await mirror.inSync();
  }
  await mirror.inSync();
  await mirror.barrier();
  farm.expectEqual();
  expect(stableInodes(farm)).toEqual(before);
  await mirror.end();
}, 180_000);

test('a first sync that is killed half-way goes on where it was', async () => {
  const farm = await startFarm({ ssh: 1, files: 3000 });
  const [root = ''] = farm.replicas;
  const first = farm.start();
  const arrived = () => inodeNumbers(root).size;
  await waitFor(() => arrived() > 300, {
    describe: () => `some files, log:\n${first.stderr}`,
    intervalMs: 1,
  });
  await first.stop('SIGKILL');
  await waitFor(() => agentsOf(root).length === 0, {
    describe: 'the agent to notice that its source has gone',
  });
  const half = [...inodeNumbers(root)].filter(([path]) => !path.includes('/.fam/'));
  const second = farm.start();
  await second.inSync();
  farm.expectEqual();
  const whole = inodeNumbers(root);
  expect(half.filter(([path, number]) => whole.get(path) !== number)).toEqual([]);
  await second.end();
});

test('agents end when their source is killed', async () => {
  const farm = await startFarm({ ssh: 1, local: 1, files: 10 });
  const mirror = farm.start();
  await mirror.inSync();
  expect(farm.replicas.flatMap(agentsOf)).toHaveLength(2);
  await mirror.stop('SIGKILL');
  await waitFor(() => farm.replicas.flatMap(agentsOf).length === 0, { describe: 'no agent left' });
});

test('what is written to a mapped file after fam was killed, with no new time, arrives with the next start', async () => {
  const farm = await startFarm({ ssh: 0, local: 2, files: 10 });
  const [, compared = ''] = farm.replicas;
  const page = join(farm.source, 'page');
  writeFileSync(page, Buffer.alloc(8192, 'x'));
  const large = join(farm.source, 'large');
  writeFileSync(large, Buffer.alloc(400_000, 'y'));
  const first = farm.start();
  await first.inSync();
  const fds = [page, large].map((path) => openSync(path, 'r+'));
  const mappings = fds.map((fd) => new Mapping(fd, 8192));
  for (const mapping of mappings) mapping.store(10, Buffer.from('first'));
  // No event tells of that: something else has to.
  for (const path of [page, large]) chmodSync(path, 0o640);
  await first.barrier();
  farm.expectEqual();
  const times = [page, large].map((path) => statSync(path, { bigint: true }).ctimeNs);
  await first.stop('SIGKILL');
  for (const mapping of mappings) {
    mapping.store(10, Buffer.from('again'));
    mapping.close();
  }
  for (const fd of fds) closeSync(fd);
  expect([page, large].map((path) => statSync(path, { bigint: true }).ctimeNs)).toEqual(times);
  // One goes on where it was, the other one is compared.
  await waitFor(() => agentsOf(compared).length === 0, { describe: 'the agent to end' });
  rmSync(join(farm.folder, '.fam-replica-2', 'state'), { recursive: true });
  const second = farm.start();
  await second.inSync();
  await second.barrier();
  farm.expectEqual();
  await second.end();
});
