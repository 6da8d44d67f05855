// The main server dies, a replica takes its place, and later it goes back: users find the changes that they made.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { openHome } from '../../src/replica/home.ts';
import { expectEqualTrees } from '../oracle/compare-trees.ts';
import { Child } from '../support/child.ts';
import { Mirror, runFam } from '../support/fam.ts';
import { agentsOf, kill } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Farm, startFarm } from './farm.ts';

const superseded = 35;
const agentFile = fileURLToPath(new URL('../../dist/agent-bundle.cjs', import.meta.url));

async function promote(root: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runFam(['promote', root, ...args]);
  expect(code, stderr).toBe(0);
  return stdout;
}

/** What is in the trash of a replica, by the path where it was. */
function trashOf(root: string): Map<string, string> {
  const trash = join(openHomePath(root), 'trash');
  const lines = existsSync(join(trash, 'list.jsonl'))
    ? readFileSync(join(trash, 'list.jsonl'), 'utf8').trim().split('\n')
    : [];
  return new Map(
    lines.map((line) => {
      const { path, kept } = JSON.parse(line);
      const isFolder = statSync(join(trash, kept)).isDirectory();
      return [path, isFolder ? 'a folder' : readFileSync(join(trash, kept), 'utf8')];
    }),
  );
}

function openHomePath(root: string): string {
  return root.replace(/([^/]+)$/, '.fam-$1');
}

/** The main and all that it runs die with changes that nobody has. */
async function die(farm: Farm, main: Mirror, change: () => void): Promise<void> {
  const agents = farm.replicas.flatMap(agentsOf);
  kill(agents, 'SIGSTOP');
  change();
  await main.stop('SIGKILL');
  kill(agents, 'SIGKILL');
  await waitFor(() => farm.replicas.flatMap(agentsOf).length === 0, { describe: 'the agents to end' });
}

test('a replica takes over, the others follow it without consent, the old main comes back as a replica and then as the main', async () => {
  const farm = await startFarm({ ssh: 1, local: 1, files: 60 });
  const { source } = farm;
  const [web2 = '', web3 = ''] = farm.replicas;
  writeFileSync(join(source, 'page'), 'first');
  writeFileSync(join(source, 'removed-later'), 'x');
  mkdirSync(join(source, 'folder', 'deep'), { recursive: true });
  writeFileSync(join(source, 'folder', 'deep', 'removed-too'), 'y');
  const first = farm.start();
  await first.inSync();
  await first.barrier();
  await die(farm, first, () => {
    writeFileSync(join(source, 'page'), 'never arrived');
    writeFileSync(join(source, 'late'), 'never arrived either');
  });

  expect((await runFam(['status', web2])).stdout).toMatch(/: a replica, a whole copy, nobody is connected, /);
  expect(await promote(web2)).toContain(`${web2} is the main`);
  expect((await runFam(['status', web2])).stdout).toMatch(/: the main since .* \(fam promote\), /);
  writeFileSync(join(web2, 'page'), 'written on the standby');
  mkdirSync(join(web2, 'new', 'folder'), { recursive: true });
  writeFileSync(join(web2, 'new', 'folder', 'upload'), 'a user of the standby');
  rmSync(join(web2, 'removed-later'));
  rmSync(join(web2, 'folder'), { recursive: true });

  const second = new Mirror({ source: web2, dests: [web3, source] });
  await second.inSync();
  await second.barrier();
  expectEqualTrees(web2, web3);
  expect(trashOf(web3), 'what the old main had put there is replaced and removed without a trace').toEqual(
    new Map(),
  );
  expect(trashOf(source)).toEqual(
    new Map([
      ['page', 'never arrived'],
      ['removed-later', 'x'],
      ['folder', 'a folder'],
    ]),
  );
  expect(readFileSync(join(source, 'late'), 'utf8'), 'kept, and listed in the log').toBe(
    'never arrived either',
  );
  expect(second.stderr).toMatch(/were kept \(.*late/);
  expect(second.stderr, 'and what gave way is named').toMatch(
    /gave way \((page|removed-later|folder|, )+\): kept in/,
  );
  for (const name of ['removed-later', 'folder'])
    expect(existsSync(join(source, name)), 'what users of the standby have removed').toBe(false);
  rmSync(join(source, 'late'));

  const old = farm.start();
  expect((await old.exited).code, 'the old main starts by itself again').toBe(superseded);
  const { asReplica } = JSON.parse((await runFam(['status', source, '--json'])).stdout);
  expect(asReplica).toMatchObject({
    root: source,
    isMain: false,
    isWhole: true,
    agent: agentsOf(source)[0]?.pid,
  });
  expect(old.stderr).toContain('fam promote');
  writeFileSync(join(web2, 'page-2'), 'and again');
  await second.barrier();
  expectEqualTrees(web2, source);
  await second.end();

  await promote(source);
  const third = farm.start();
  await third.inSync();
  writeFileSync(join(source, 'page'), 'written on the first main');
  renameSync(join(source, 'new'), join(source, 'renamed'));
  await third.barrier();
  farm.expectEqual();
  await third.end();
  const again = new Mirror({ source: web2, dests: [web3] });
  expect((await again.exited).code, 'web2 is not the main any more').toBe(34);
});

test('users of a small tree have replaced all of it when another replica meets the main that took over', async () => {
  const farm = await startFarm({ ssh: 0, local: 2, files: 5 });
  const [web2 = '', web3 = ''] = farm.replicas;
  const first = farm.start();
  await first.inSync();
  await first.end();
  await promote(web2);
  for (const name of readdirSync(web2)) rmSync(join(web2, name), { recursive: true });
  writeFileSync(join(web2, 'new page'), 'x');
  const second = new Mirror({ source: web2, dests: [web3] });
  await second.inSync();
  expectEqualTrees(web2, web3);
  await second.end();
});

test('the old main gives up all that was removed meanwhile, in more names than one message holds', async () => {
  const farm = await startFarm({ ssh: 0, local: 1, files: 10 });
  const [web2 = ''] = farm.replicas;
  const many = join(farm.source, 'many');
  mkdirSync(many);
  for (let n = 0; n < 9000; n++) writeFileSync(join(many, `file-${n}`), '');
  const first = farm.start();
  await first.inSync();
  await first.end();
  await promote(web2);
  for (let n = 0; n < 9000; n++) if (n % 1000 !== 7) rmSync(join(web2, 'many', `file-${n}`));
  writeFileSync(join(many, 'late'), 'nobody got it');
  const second = new Mirror({ source: web2, dests: [farm.source] });
  await second.inSync();
  expect(readdirSync(many).sort()).toEqual(['late', ...readdirSync(join(web2, 'many'))].sort());
  await second.end();
});

test('a main that is cut off, not dead, ends when it meets the replica that took over', async () => {
  const farm = await startFarm({ ssh: 1, files: 20 });
  const [web2 = ''] = farm.replicas;
  const first = farm.start();
  await first.inSync();
  writeFileSync(join(farm.source, 'late'), 'x');
  await first.barrier();
  // Where fam is not installed the agent that it has brought can do it.
  const byAgent = new Child(process.execPath, [agentFile, 'promote', web2]);
  expect((await byAgent.exited).code, byAgent.stderr).toBe(0);
  expect(byAgent.stdout).toContain(`${web2} is the main`);
  expect(agentsOf(web2), 'its agent has been ended').toEqual([]);
  writeFileSync(join(web2, 'late'), 'of the standby');
  const { code } = await first.exited;
  expect(code).toBe(superseded);
  expect(first.stderr).toContain(`${web2} was promoted`);
  expect(readFileSync(join(web2, 'late'), 'utf8')).toBe('of the standby');
  const withConsent = farm.start({ args: ['--init'] });
  expect((await withConsent.exited).code, 'also with --init, which may stand in a unit file').toBe(
    superseded,
  );
  expect(readFileSync(join(web2, 'late'), 'utf8')).toBe('of the standby');

  await promote(web2, '--undo');
  const second = farm.start();
  await second.inSync();
  await second.barrier();
  farm.expectEqual();
  expect(trashOf(web2)).toEqual(new Map([['late', 'of the standby']]));
  await second.end();
});

test('a replica that was not promoted does not mirror back to its main', async () => {
  const farm = await startFarm({ ssh: 0, local: 2, files: 10 });
  const [web2 = '', web3 = ''] = farm.replicas;
  const first = new Mirror({ source: farm.source, dests: [web2] });
  await first.inSync();
  const back = new Mirror({ source: web2, dests: [farm.source] });
  expect((await back.exited).code).toBe(34);
  expect(back.stderr).toContain('in a circle');
  const on = new Mirror({ source: web2, dests: [web3] });
  await on.inSync();
  writeFileSync(join(farm.source, 'page'), 'handed on');
  await waitFor(() => existsSync(join(web3, 'page')), { describe: 'the page on the replica of the replica' });
  await on.end();
  await first.end();
});

/** Three trees, of which the first has files. */
async function startThree(): Promise<readonly [string, string, string]> {
  const farm = await startFarm({ ssh: 0, local: 2, files: 10 });
  const [b = '', c = ''] = farm.replicas;
  return [farm.source, b, c];
}

const handOn = (source: string, dest: string, ...args: string[]): Mirror =>
  new Mirror({ source, dests: [dest], args });

async function arrives(from: string, to: string, text: string): Promise<void> {
  writeFileSync(join(from, 'page'), text);
  await waitFor(() => existsSync(join(to, 'page')) && readFileSync(join(to, 'page'), 'utf8') === text, {
    describe: `${text} in ${to}`,
  });
}

test('a chain of three does not become a circle, and is turned when its end is promoted', async () => {
  const [a, b, c] = await startThree();
  const first = handOn(a, b);
  await first.inSync();
  const second = handOn(b, c);
  await second.inSync();
  const back = handOn(c, a, '--init');
  expect((await back.exited).code).toBe(34);
  expect(back.stderr).toContain(`by way of others: changes would go round in a circle`);
  expect(back.stderr).toContain(`run fam promote ${c}`);
  await arrives(a, c, 'down the chain');

  await second.end();
  await promote(c);
  const turned = handOn(c, a);
  await turned.inSync();
  await first.barrier();
  await arrives(c, b, 'from the other end');
  const circle = handOn(b, c);
  expect((await circle.exited).code, 'c is the main').toBe(35);
  await first.end();
  const again = handOn(a, b);
  await again.inSync();
  await arrives(c, b, 'started again');
  await again.end();
  await turned.end();
});

test('a circle that is closed where nothing was known when its parts began', async () => {
  const [a, b, c] = await startThree();
  const last = handOn(c, a);
  await last.inSync();
  const second = handOn(b, c);
  await second.inSync();
  // What c follows is told to a while the mirror runs.
  await last.logged('in-sync', { count: 2 });
  const first = handOn(a, b);
  expect((await first.exited).code).toBe(34);
  await arrives(b, a, 'still a chain');
  await last.end();
  await second.end();
});

test('a circle of which all parts begin at once stops, and says how to go on', async () => {
  const [a, b, c] = await startThree();
  const ring = [handOn(a, b), handOn(b, c), handOn(c, a)];
  const isRefused = (mirror: Mirror): boolean => mirror.stderr.includes('in a circle');
  await waitFor(() => ring.some(isRefused), { describe: () => ring.map((one) => one.stderr).join('\n') });
  for (const mirror of ring) await mirror.stop('SIGTERM');
  await promote(a, '--force');
  const first = handOn(a, b, '--init');
  await first.inSync();
  const second = handOn(b, c);
  await second.inSync();
  await arrives(a, c, 'a is the main');
  await first.barrier();
  expectEqualTrees(a, b);
  await first.end();
  await second.end();
});

test("a promoted replica's own folder inside its root is not mirrored", async () => {
  const farm = await startFarm({ ssh: 0, local: 2, files: 10 });
  const [web2 = '', web3 = ''] = farm.replicas;
  mkdirSync(join(web2, '.fam'), { mode: 0o700 });
  const first = new Mirror({ source: farm.source, dests: [web2] });
  await first.inSync();
  await first.end();
  await promote(web2);
  const second = new Mirror({ source: web2, dests: [web3] });
  await second.inSync();
  writeFileSync(join(web2, 'page'), 'x');
  await second.barrier();
  expect(readdirSync(web3)).not.toContain('.fam');
  expectEqualTrees(web2, web3, { ignore: ['.fam'] });
  await second.end();
});

test('a replica whose first copy had not ended is promoted with --force only', async () => {
  const root = join(tempFolder('promote'), 'www');
  mkdirSync(root);
  openHome(root).close();
  const refused = await runFam(['promote', root]);
  expect(refused.code).toBe(36);
  expect(refused.stderr).toContain('--force');
  expect(await promote(root, '--force')).toContain('is the main');
});
