// What trees hold besides files and folders (I1): device nodes, FIFOs, capabilities, ACLs; sockets are left out and counted; and what an
// ordinary user's replica cannot keep is said once.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { expectEqualTrees } from '../oracle/compare-trees.ts';
import { entriesBelow } from '../support/entries-below.ts';
import { runFam } from '../support/fam.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Farm, startFarm } from './farm.ts';

const run = (program: string, ...args: string[]) => execFileSync(program, args, { stdio: 'pipe' });

function addSpecialFiles(folder: string): void {
  mkdirSync(folder);
  run('mknod', join(folder, 'null'), 'c', '1', '3');
  run('mknod', join(folder, 'disk'), 'b', '7', '4242');
  run('mkfifo', '-m', '620', join(folder, 'fifo'));
  for (const name of ['ping', 'tool'])
    writeFileSync(join(folder, name), `#!/bin/sh\n# ${name}, which is long enough\n`);
  chownSync(join(folder, 'tool'), 33, 44);
  chmodSync(join(folder, 'tool'), 0o6755);
  run('setcap', 'cap_net_raw+ep', join(folder, 'ping'));
  run('setfacl', '-m', 'u:1234:rw,g:5678:r', join(folder, 'tool'));
  run('setfattr', '-n', 'trusted.mark', '-v', 'root only', join(folder, 'ping'));
}

async function addSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
}

test('--init on a replica that has been compared before moves what only it has to its trash', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
  const extra = join(farm.replicas[0] ?? '', 'extra');
  writeFileSync(extra, 'extra');
  const first = farm.start();
  await first.inSync();
  expect(first.stderr).toContain('--init moves such to the trash');
  await first.end();
  const mirror = farm.start({ args: ['--init'] });
  await mirror.inSync();
  expect(existsSync(extra)).toBe(false);
  farm.expectEqual();
  await mirror.end();
});

test('--compare brings back what somebody changed or removed on a replica, and keeps what only that one has', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
  const [replica = ''] = farm.replicas;
  for (const name of ['changed', 'removed']) writeFileSync(join(farm.source, name), name);
  const first = farm.start();
  await first.inSync();
  await first.end();
  writeFileSync(join(replica, 'changed'), 'by hand');
  rmSync(join(replica, 'removed'));
  writeFileSync(join(replica, 'extra'), 'extra');
  const mirror = farm.start({ args: ['--compare'] });
  await mirror.inSync();
  for (const name of ['changed', 'removed']) expect(readFileSync(join(replica, name), 'utf8')).toBe(name);
  expect(existsSync(join(replica, 'extra'))).toBe(true);
  for (const told of [
    { event: 'extras', paths: ['extra'] },
    { event: 'kept', paths: ['changed'] },
  ])
    expect(mirror.log).toContainEqual(expect.objectContaining(told));
  await mirror.end();
});

test('what could not be written is told by fam status, also after a restart, and comes when it has been mended', async ({
  skip,
}) => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
  const locked = join(farm.replicas[0] ?? '', 'locked');
  const lock = (how: string) => spawnSync('chattr', [how, locked]).status === 0;
  const status = async () => (await runFam(['status', '--state', farm.state])).stdout;
  mkdirSync(join(farm.source, 'locked'));
  const first = farm.start();
  await first.inSync();
  if (!lock('+i')) skip('this file system has no immutable folders, or this user may not make one');
  onTestFinished(() => {
    lock('-i');
  });
  writeFileSync(join(farm.source, 'locked/page'), 'page');
  const waited = await runFam(['wait', '--state', farm.state, '--timeout', '30']);
  expect(waited).toMatchObject({ code: 0 });
  expect(waited.stderr).toMatch(/has everything but for [1-9]\d* failures?, which the mirror's log names\n/);
  expect(await status()).toMatch(
    /: in sync but for [1-9]\d* failures?, which the log names(, \d+ problems?)?\n/,
  );
  await first.end();

  const second = farm.start();
  await second.inSync();
  expect(await status()).toMatch(/: in sync but for [1-9]/);
  expect(second.log).toContainEqual(expect.objectContaining({ event: 'connected', mode: 'resume' }));

  lock('-i');
  await waitFor(async () => /: in sync(, \d+ problems?)?\n/.test(await status()), {
    describe: () => second.stderr,
  });
  expect(second.log).toContainEqual(expect.objectContaining({ event: 'mended', failing: 0 }));
  farm.expectEqual();
  await second.end();
});

test('a folder that somebody has moved away on a replica is made again when something in it changes, and nothing counts as failed', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
  const [replica = ''] = farm.replicas;
  mkdirSync(join(farm.source, 'site/deep'), { recursive: true });
  for (const path of ['site/page', 'site/deep/page']) writeFileSync(join(farm.source, path), path);
  const mirror = farm.start();
  await mirror.inSync();
  renameSync(join(replica, 'site'), join(farm.folder, 'kept'));
  writeFileSync(join(farm.source, 'site/new'), 'new');
  await waitFor(() => existsSync(join(replica, 'site/deep/page')), { describe: () => mirror.stderr });
  expect((await runFam(['wait', '--state', farm.state, '--timeout', '30'])).code).toBe(0);
  const status = await runFam(['status', '--state', farm.state]);
  expect(status.stdout).toMatch(/: in sync, \d+ problems?\n/);
  farm.expectEqual();
  expect(readFileSync(join(farm.folder, 'kept/deep/page'), 'utf8')).toBe('site/deep/page');
  await mirror.end();
});

test('devices, FIFOs, capabilities and ACLs are kept; sockets are left out and counted', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 20 });
  const [replica = ''] = farm.replicas;
  addSpecialFiles(join(farm.source, 'before'));
  await addSocket(join(farm.source, 'before/socket'));
  const mirror = farm.start();
  await mirror.inSync();
  expect(mirror.stderr).toMatch(/scanned \d+ names in \d+ folders, sockets left out: 1"/);

  addSpecialFiles(join(farm.source, 'live'));
  await addSocket(join(farm.source, 'live/socket'));
  // An owner that changes takes set-id bits and capabilities away in passing.
  chownSync(join(farm.source, 'before/tool'), 55, 66);
  run('setcap', 'cap_net_admin+ep', join(farm.source, 'before/ping'));
  rmSync(join(farm.source, 'before/null'));
  run('mknod', join(farm.source, 'before/null'), 'c', '1', '5');
  await mirror.barrier();
  for (const folder of ['before', 'live']) {
    expect(readdirSync(join(replica, folder)).sort()).toEqual(['disk', 'fifo', 'null', 'ping', 'tool']);
    rmSync(join(farm.source, folder, 'socket'));
  }
  await mirror.barrier();
  farm.expectEqual();
  expect(lstatSync(join(replica, 'before/null')).rdev).toBe(0x105);
  expect(mirror.events('problem')).toEqual([]);
  await mirror.end();
});

/** A farm that this user, who is not root, may mirror. */
async function farmOf(uid: number): Promise<Farm> {
  const farm = await startFarm({ ssh: 0, local: 1, files: 20 });
  run('chmod', '-R', 'a+rX', farm.folder);
  mkdirSync(farm.state);
  for (const path of [farm.folder, farm.state, ...farm.replicas]) chownSync(path, uid, uid);
  return farm;
}

const nobody = 65534;
const unlessRoot = test.skipIf(process.getuid?.() !== 0);

unlessRoot(
  'a replica that is not root has what read-only folders hold: its own may be written in',
  async () => {
    const farm = await farmOf(nobody);
    const [replica = ''] = farm.replicas;
    const fill = (folder: string): void => {
      mkdirSync(join(farm.source, folder, 'deep'), { recursive: true });
      for (const file of ['page', 'deep/page']) writeFileSync(join(farm.source, folder, file), folder);
      run('chmod', '-R', 'a-w', join(farm.source, folder));
    };
    fill('before');
    const mirror = farm.start({ uid: nobody });
    await mirror.inSync();
    fill('live');
    writeFileSync(join(farm.source, 'before/more'), 'more');
    rmSync(join(farm.source, 'before/page'));
    renameSync(join(farm.source, 'before/deep'), join(farm.source, 'live/deeper'));
    await mirror.barrier();
    const files = (root: string) => [...entriesBelow(root)].map(({ name }) => name).sort();
    expect(files(replica)).toEqual(files(farm.source));
    expect(lstatSync(join(replica, 'live')).mode & 0o777).toBe(0o755);
    const problems = mirror.events('problem').map(({ msg }) => msg);
    expect(problems.filter((message) => !message.includes('keep owner'))).toEqual([]);
    await mirror.end();
  },
);

unlessRoot('a replica that is not root keeps what it can, and says the rest once', async () => {
  const farm = await farmOf(nobody);
  const [replica = ''] = farm.replicas;
  addSpecialFiles(join(farm.source, 'special'));
  const mirror = farm.start({ uid: nobody });
  await mirror.inSync();
  expect(mirror.log.find(({ msg }) => msg.startsWith('cannot keep there'))?.['lacks']).toEqual([
    'owner',
    'xattr:trusted',
    'device-nodes',
    'read-only-folders',
  ]);
  // Once for each capability, and for each of the two nodes that are not there.
  const problems = mirror.events('problem').map(({ msg }) => msg);
  for (const capability of ['owner', 'device-nodes', 'xattr:security'])
    expect(problems.filter((message) => message.includes(`keep ${capability}`))).toHaveLength(1);
  expect(problems.length).toBeLessThanOrEqual(5);
  await mirror.end();
  for (const name of ['null', 'disk']) rmSync(join(farm.source, 'special', name));
  for (const root of [farm.source, replica]) utimesSync(join(root, 'special'), 1, 1);
  expectEqualTrees(farm.source, replica, { ignore: ['.fam'], owner: false, xattrs: false });
});

unlessRoot('what cannot be read is said, holds nothing up, and arrives when it can be', async () => {
  const farm = await farmOf(nobody);
  const [replica = ''] = farm.replicas;
  const at = (name: string) => join(farm.source, name);
  const closed = ['closed', 'closed later', 'closed-live'];
  const close = (name: string): void => {
    writeFileSync(at(name), 'not for everybody', { mode: 0o600 });
    mkdirSync(at(`${name}.d`), { mode: 0o700 });
    writeFileSync(at(`${name}.d/page`), 'inside');
  };
  const open = (name: string): void => {
    chmodSync(at(name), 0o644);
    chmodSync(at(`${name}.d`), 0o755);
  };
  close('closed');
  close('closed later');
  const mirror = farm.start({ uid: nobody });
  await mirror.inSync();
  close('closed-live');
  await mirror.barrier();
  for (const name of closed) {
    expect(existsSync(join(replica, name)), name).toBe(false);
    expect(readdirSync(join(replica, `${name}.d`))).toEqual([]);
    expect(mirror.stderr).toContain(`${name}: cannot read: EACCES`);
    expect(mirror.stderr).toContain(`${name}.d: cannot list: EACCES`);
  }
  open('closed');
  open('closed-live');
  await mirror.barrier();
  await mirror.end();
  open('closed later');
  const again = farm.start({ uid: nobody });
  await again.inSync();
  await again.barrier();
  await again.end();
  expectEqualTrees(farm.source, replica, { ignore: ['.fam'], owner: false });
});

test('fam status tells how the mirror and its replicas are, to programs and to people', async () => {
  const farm = await startFarm({ ssh: 1, local: 1, files: 20 });
  const mirror = farm.start();
  await mirror.inSync();
  const { code, stdout } = await runFam(['status', '--state', farm.state, '--json']);
  expect(code).toBe(0);
  const status = JSON.parse(stdout);
  expect(status).toMatchObject({ source: farm.source, pid: mirror.pid, scanning: false });
  expect(status.replicas).toHaveLength(2);
  for (const [n, replica] of status.replicas.entries()) {
    expect(replica).toMatchObject({
      replica: farm.dests[n],
      state: 'live',
      behind: 0,
      owedFiles: 0,
      lagSeconds: 0,
    });
    expect(replica).toMatchObject({ problems: 0, lacks: [], lastError: null, retryInSeconds: null });
  }
  // By the source's name too, and of a replica that is away: why, and what is next.
  await farm.sshd?.stop();
  await mirror.logged('lost', { count: 1 });
  const text = (await runFam(['status', '--state', farm.state])).stdout;
  expect(text).toContain(`  ${farm.dests[1]}: in sync\n`);
  // The state may have moved on: it is tried again and again. The first reason is that the connection broke.
  expect(text).toMatch(
    /^ {2}web1:\S+: (lost, cannot reach web1: (connection refused|the connection broke); .*since [\d.]+ s.*|connecting.*)$/m,
  );
  expect(text.split('\n'), 'a line for the source and for each replica').toHaveLength(4);
  expect(text).toMatch(/^\S+: [1-9]\d* files and folders, watched by (fanotify|inotify)[^()]*$/m);
  await mirror.end();
  expect((await runFam(['status', '--state', farm.state])).code).toBe(41);
});
