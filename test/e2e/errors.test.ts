// Each failure that a sysadmin can cause has an exit code of its own and a message that names the thing.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Child } from '../support/child.ts';
import { famCommand, runFam } from '../support/fam.ts';
import { freePort } from '../support/free-port.ts';
import { startSshd } from '../support/sshd.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { startFarm } from './farm.ts';

interface Place {
  readonly source: string;
  readonly dest: string;
  readonly state: string;
}

function place(): Place {
  const folder = tempFolder('errors');
  const [source, dest] = [join(folder, 'source'), join(folder, 'dest')];
  mkdirSync(source);
  mkdirSync(dest);
  writeFileSync(join(source, 'page.html'), 'page');
  return { source, dest, state: join(folder, 'state') };
}

/** A failure that nobody but a person can mend is told at once, not after minutes of attempts. */
const maxUntilToldMs = 15_000;

/** Runs `fam mirror --once` and expects its exit code, and a message of a line or two that matches everything. */
async function expectFailure(
  exitCode: number,
  args: readonly string[],
  ...patterns: (string | RegExp)[]
): Promise<void> {
  const started = performance.now();
  const { code, stderr } = await runFam(['mirror', '--once', '--log-format', 'text', ...args]);
  expect(performance.now() - started, stderr).toBeLessThan(maxUntilToldMs);
  expect(stderr).not.toMatch(/^\s+at .*:\d+/m);
  for (const pattern of patterns) {
    if (typeof pattern === 'string') expect(stderr).toContain(pattern);
    else expect(stderr).toMatch(pattern);
  }
  expect(code, stderr).toBe(exitCode);
}

function mountTmpfs(path: string, options: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'fam-test', path]);
  onTestFinished(() => {
    execFileSync('umount', ['-l', path]);
  });
}

test('a path that is not UTF-8: 2, and no folder of another name', () => {
  const { source, dest, state } = place();
  const script = `exec "$0" "$1" mirror --once --state "$2" "$3" "$(printf '%s\\377' "$4/")"`;
  const args = ['-c', script, process.execPath, famCommand, state, source, dest];
  const { status, stderr } = spawnSync('sh', args, { encoding: 'utf8' });
  expect(stderr).toContain('is not UTF-8');
  expect(status).toBe(2);
  expect(readdirSync(dest)).toEqual([]);
});

test('a symlink to a path that is not UTF-8: 2', async () => {
  const { source, dest, state } = place();
  const target = Buffer.concat([Buffer.from(`${dest}/`), Buffer.of(0xff)]);
  mkdirSync(target);
  symlinkSync(target, `${dest}/link`);
  await expectFailure(2, [source, `${dest}/link`, '--state', state], 'have to be UTF-8');
});

test('no such source: 10', async () => {
  const { source, dest, state } = place();
  await expectFailure(10, [`${source}/missing`, dest, '--state', state], `${source}/missing`);
});

test('the source is a file: 11', async () => {
  const { source, dest, state } = place();
  await expectFailure(
    11,
    [join(source, 'page.html'), dest, '--state', state],
    join(source, 'page.html'),
    /director|folder/,
  );
});

test('a destination inside the source: 16', async () => {
  const { source, state } = place();
  mkdirSync(join(source, 'inside'));
  await expectFailure(16, [source, join(source, 'inside'), '--state', state], join(source, 'inside'));
});

test('the state inside the source or a replica: 16, and nothing is made there', async () => {
  const { source, dest } = place();
  for (const folder of [source, dest]) {
    const state = join(folder, 'state');
    await expectFailure(16, [source, dest, '--state', state], state, folder);
    expect(existsSync(state)).toBe(false);
  }
});

test('a source that is an empty word: 2', async () => {
  const { dest, state } = place();
  await expectFailure(2, ['', dest, '--state', state], 'source is empty');
});

test('destinations that are one another, or inside one another: 16', async () => {
  const { source, dest, state } = place();
  const inside = join(dest, 'not/there/yet');
  const refused = async (one: string, other: string, why: string): Promise<void> =>
    expectFailure(16, [source, one, other, '--state', state], one, other, why);
  symlinkSync(dest, `${dest}-link`);
  await refused(dest, dest, 'the same place');
  await refused(`${dest}-link`, `${dest}/../dest/`, 'the same place');
  await refused(dest, inside, 'within one another');
  await refused(inside, `${dest}-link`, 'within one another');
  await refused('www@web1:site/', 'www@web1:./site', 'the same place');
  await refused('www@web1:.', 'www@web1:site', 'within one another');
  await refused('web1:/www/a/../b', 'web1:/www/b/c', 'within one another');
  expect(existsSync(state)).toBe(false);
});

test('a replica that is, or is inside of, or holds the source, behind ssh to this very host: 16, and nothing is made', async () => {
  const { source, state } = place();
  const sshd = await startSshd();
  const folder = dirname(source);
  mkdirSync(join(source, 'sub'));
  for (const replica of [source, join(source, 'sub'), folder]) {
    const args = [source, `web1:${replica}`, '-e', sshd.rsh, '--state', state];
    await expectFailure(16, args, 'own host', replica);
  }
  expect(readdirSync(source).sort()).toEqual(['.fam-sub', 'page.html', 'sub']);
  expect(readdirSync(join(source, 'sub'))).toEqual([]);
});

test('a second mirror on the same state: 14', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 5 });
  const mirror = farm.start();
  await mirror.inSync();
  await expectFailure(14, [farm.source, ...farm.dests, '--state', farm.state], farm.state, `${mirror.pid}`);
  expect(mirror.exit).toBeUndefined();
  await mirror.end();
});

test('host unreachable: 20', async () => {
  const { source, dest, state } = place();
  const rsh = `ssh -p ${await freePort()} -o BatchMode=yes`;
  await expectFailure(20, [source, `127.0.0.1:${dest}`, '--state', state, '-e', rsh], '127.0.0.1', /refused/);
});

test('a host whose name nobody knows: 20', async () => {
  const { source, dest, state } = place();
  await expectFailure(20, [source, `no-such-host.invalid:${dest}`, '--state', state], 'no-such-host.invalid');
});

test('permission denied by ssh: 21', async () => {
  const { source, dest, state } = place();
  const sshd = await startSshd();
  const key = join(tempFolder('other-key'), 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const options = `-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes`;
  const rsh = `ssh -F none -p ${sshd.port} -i ${key} ${options}`;
  await expectFailure(21, [source, `127.0.0.1:${dest}`, '--state', state, '-e', rsh], '127.0.0.1', /denied/i);
});

test('a host key that is not known: 22', async () => {
  const { source, dest, state } = place();
  const sshd = await startSshd();
  const options = '-o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null';
  const rsh = `ssh -F none -p ${sshd.port} ${options}`;
  await expectFailure(
    22,
    [source, `127.0.0.1:${dest}`, '--state', state, '-e', rsh],
    '127.0.0.1',
    /host key/i,
  );
});

test('a host without node: 23', async () => {
  const { source, dest, state } = place();
  const emptyPath = tempFolder('no-node');
  for (const command of ['sh', 'uname', 'mkdir', 'cat', 'mv', 'rm', 'test', 'chmod']) {
    const found = execFileSync('sh', ['-c', `command -v ${command}`], { encoding: 'utf8' }).trim();
    if (found.startsWith('/')) execFileSync('ln', ['-s', found, join(emptyPath, command)]);
  }
  const sshd = await startSshd({ env: { PATH: emptyPath } });
  await expectFailure(
    23,
    [source, `127.0.0.1:${dest}`, '--state', state, '-e', sshd.rsh],
    '127.0.0.1',
    /node/i,
  );
});

test('destination not writable: 30', async () => {
  const { source, dest, state } = place();
  mountTmpfs(dest, 'ro');
  await expectFailure(30, [source, dest, '--state', state], dest, /mounted read-only: .*remount/);
});

test('destination not writable, over ssh: 30', async () => {
  const { source, dest, state } = place();
  mountTmpfs(dest, 'ro');
  const sshd = await startSshd();
  await expectFailure(30, [source, `127.0.0.1:${dest}`, '--state', state, '-e', sshd.rsh], dest);
});

test('the destination is a file: 31', async () => {
  const { source, dest, state } = place();
  writeFileSync(join(dest, 'file'), '');
  await expectFailure(31, [source, join(dest, 'file'), '--state', state], join(dest, 'file'));
});

test('disk full on the replica: 32', async () => {
  const { source, dest, state } = place();
  mountTmpfs(dest, 'size=2m');
  for (let n = 0; n < 40; n++) writeFileSync(join(source, `file-${n}`), Buffer.alloc(100_000, n));
  await expectFailure(32, [source, dest, '--state', state], dest, /full|ENOSPC|no space/i);
});

test('disk full while a large file is streamed: 32', async () => {
  const { source, dest, state } = place();
  mountTmpfs(dest, 'size=4m');
  writeFileSync(join(source, 'large'), Buffer.alloc(20_000_000, 1));
  await expectFailure(32, [source, dest, '--state', state], dest, /full|ENOSPC|no space/i);
});

test('wrong usage: 2', async () => {
  await expectFailure(2, [], /SRC|usage|missing/i);
  const { source } = place();
  await expectFailure(2, [source], /DEST|usage|missing/i);
  await expectFailure(2, ['--no-such-option'], /no-such-option/);
});

test.each([
  {
    what: 'a message that cannot be written: the exit code tells all the same',
    args: ['wait', '/nowhere'],
    to: '2>/dev/full',
    code: 41,
  },
  { what: 'output that cannot be written: 42', args: ['--help'], to: '>/dev/full', code: 42 },
  { what: 'a reader that goes away is no error', args: ['--help'], to: '| true', code: 0 },
])('$what', async ({ args, to, code }) => {
  const script = `"$@" ${to}; exit "\${PIPESTATUS[0]}"`;
  const child = new Child('bash', ['-c', script, 'bash', process.execPath, famCommand, ...args]);
  expect(await child.exited).toEqual({ code, signal: null });
  expect(child.stderr).not.toMatch(/^\s+at .*:\d+/m);
});
