// The disk of a web server does not come up again after a reboot, or is unmounted under the agent: fam waits for it.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { expectEqualTrees } from '../oracle/compare-trees.ts';
import { type LogLine, Mirror, runFam } from '../support/fam.ts';
import { makeTree } from '../support/make-tree.ts';
import { startSshd } from '../support/sshd.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { waitFor } from '../support/wait-for.ts';

test('a replica waits until its file system is mounted, and the others go on', async () => {
  const sshd = await startSshd({ env: { XDG_CACHE_HOME: tempFolder('agent-cache') } });
  const folder = tempFolder('unmounted');
  const [source, disk, point, other] = [
    join(folder, 'source'),
    join(folder, 'disk'),
    join(folder, 'srv'),
    join(folder, 'other'),
  ];
  for (const path of [disk, point, other]) mkdirSync(path);
  makeTree(source, 1, 100);
  const root = join(point, 'www');
  const mount = (): void => void execFileSync('mount', ['--bind', disk, point]);
  const unmount = (): void => void execFileSync('umount', ['-l', point]);
  execFileSync('mount', ['-t', 'tmpfs', 'fam-test', disk]);
  onTestFinished(() => {
    if (existsSync(root)) unmount();
    execFileSync('umount', ['-l', disk]);
  });
  mount();
  const state = join(folder, 'state');
  const start = () => new Mirror({ source, dests: [`web1:${root}`, other], rsh: sshd.rsh, state });
  const lost = (mirror: Mirror): LogLine | undefined =>
    mirror
      .events('lost')
      .find(({ msg }) => msg.includes(`no file system is mounted on ${point}, above ${root}`));
  const page = join(source, 'page');

  const running = start();
  await running.inSync();
  await running.barrier();
  unmount();
  await waitFor(() => lost(running), {
    describe: () => `the news in\n${running.stderr}`,
    deadlineMs: 15_000,
  });
  expect(lost(running)).toMatchObject({ code: 'DESTINATION_UNWRITABLE', replica: `web1:${root}` });
  writeFileSync(page, 'for whoever is there');
  await waitFor(() => existsSync(join(other, 'page')), { describe: 'the page on the other replica' });
  expect(readdirSync(point)).toEqual([]);
  mount();
  await running.logged('in-sync', { count: 3 });
  await running.barrier();
  expectEqualTrees(source, root);
  expect(running.events('connected').at(-1)).toMatchObject({ mode: 'resume' });
  await running.end();

  unmount();
  const promoted = await runFam(['promote', point, '--force']);
  expect(promoted.code, promoted.stderr).toBe(30);
  const again = start();
  await waitFor(() => lost(again), { describe: () => `the news in\n${again.stderr}` });
  writeFileSync(page, 'after the reboot');
  await waitFor(() => readFileSync(join(other, 'page'), 'utf8') === 'after the reboot', {
    describe: 'the page',
  });
  expect(readdirSync(point)).toEqual([]);
  mount();
  await again.inSync();
  await again.barrier();
  expectEqualTrees(source, root);
  await again.end();

  unmount();
  const alone = new Mirror({ source, dests: [root], state });
  expect((await alone.exited).code, 'no other replica: it ends, and says why').toBe(30);
  expect(alone.stderr).toContain('Mount it, and fam goes on');
  mount();
});
