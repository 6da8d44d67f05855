// Each kind of change, live, over a real sshd to a whole farm; then all of them in one go, by inotify, and while nobody looked.

import { expect, test } from 'vitest';
import { changeKinds } from './change-kinds.ts';
import { type Farm, startFarm } from './farm.ts';

function changeEverything(farm: Farm): void {
  for (const [kind, change] of Object.entries(changeKinds)) {
    try {
      change(farm.look());
    } catch (error) {
      throw new Error(`the test itself could not: ${kind}`, { cause: error });
    }
  }
}

test('fam mirror keeps four replicas over ssh and a local one equal through every kind of change', async () => {
  const farm = await startFarm({ ssh: 4, local: 1 });
  const mirror = farm.start();
  await mirror.inSync();
  farm.expectEqual();
  for (const [n, [kind, change]] of Object.entries(changeKinds).entries()) {
    try {
      change(farm.look());
      await mirror.barrier();
      // One after each kind, each in its turn: what one misses it does not get later, and the end would show it.
      farm.expectEqual([n % farm.replicas.length]);
    } catch (error) {
      throw new Error(`after: ${kind}`, { cause: error });
    }
  }
  farm.expectEqual();
  await mirror.end();
  farm.expectEqual();
}, 180_000);

test.each(['fanotify', 'inotify'])('fam mirror by %s follows all changes in one go', async (monitor) => {
  const farm = await startFarm({ ssh: 0, local: 1 });
  const mirror = farm.start({ args: ['--monitor', monitor] });
  await mirror.inSync();
  changeEverything(farm);
  await mirror.barrier();
  farm.expectEqual();
  await mirror.end();
});

test('fam mirror catches up with what changed while it was not running', async () => {
  const farm = await startFarm({ ssh: 1, local: 1 });
  const first = farm.start();
  await first.inSync();
  await first.end();
  changeEverything(farm);
  const second = farm.start();
  await second.inSync();
  await second.barrier();
  farm.expectEqual();
  await second.end();
});

test('fam mirror --once ends with 0 and equal trees', async () => {
  const farm = await startFarm({ ssh: 1, local: 1 });
  const mirror = farm.start({ args: ['--once'] });
  expect(await mirror.exited, mirror.stderr).toEqual({ code: 0, signal: null });
  farm.expectEqual();
});
