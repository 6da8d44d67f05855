import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { pollUntil } from './compare.ts';
import type { Lab } from './lab.ts';
import { pause, sleepBlocking } from './pause.ts';
import { median, percentile, round } from './stats.ts';
import { buildTree, removeTree, writeRandomFile } from './trees.ts';
import type { Metrics, Scale } from './trial.ts';
import { writeBurst } from './workloads/burst.ts';

export interface Floor {
  readonly name: string;
  readonly title: string;
  readonly metrics: Metrics;
}

const page = randomBytes(4096);
const treeFiles = 200_000;

/** What the machine, its kernel and plain ssh can do: no peer can be faster. */
export async function measureFloors(lab: Lab, scale: Scale): Promise<Floor[]> {
  await lab.startServers(1);
  const work = `${lab.source}.floor`;
  removeTree(work);
  mkdirSync(work, { recursive: true });
  const replica = lab.replica(0);
  removeTree(replica);
  mkdirSync(replica, { recursive: true });
  const largeBytes = Math.round(2 ** 31 * scale.factor);
  const files = Math.round(treeFiles * scale.factor);
  const floors: Floor[] = [];
  const add = (name: string, title: string, metrics: Metrics): void => {
    floors.push({ name, title, metrics });
    console.error(
      `  ${title}: ${Object.entries(metrics)
        .map(([key, value]) => `${key} ${value}`)
        .join(', ')}`,
    );
  };

  add('sha256', 'SHA-256 of 64 MiB', { MiBPerSecond: hashSpeed() });
  add(
    'fsync',
    '4 KiB written and synced',
    latencies(Array.from({ length: 50 }, () => timeMs(() => syncedWrite(`${work}/synced`)))),
  );
  add(
    'connect',
    'ssh connection and `true`',
    latencies(
      Array.from({ length: 8 }, () => timeMs(() => spawnSync(lab.sshCommand(), [lab.host(0), 'true']))),
    ),
  );
  add('echo', 'ssh pipe, 4 KiB there and back', latencies(await pipeEcho(lab)));
  add(
    'visible',
    'ssh pipe into `cat > file`, 4 KiB visible',
    latencies(await pipeVisible(lab, `${replica}/visible`)),
  );
  writeRandomFile(`${work}/large`, largeBytes);
  for (const [name, target] of [
    ['throughput', '/dev/null'],
    ['throughput-file', `${replica}/large`],
  ] as const) {
    const seconds = repeated(3, () =>
      shell(`${lab.sshCommand()} ${lab.host(0)} 'cat > ${target}' < ${work}/large`),
    );
    add(
      name,
      `ssh, a large file into ${name === 'throughput' ? '/dev/null' : 'a file'}, connection included`,
      { MiBPerSecond: round(largeBytes / 2 ** 20 / seconds, 1) },
    );
  }
  rmSync(`${replica}/large`);
  const copied = repeated(3, () => shell(`cp ${work}/large ${replica}/large`));
  add('copy-large', 'cp of the same file', { MiBPerSecond: round(largeBytes / 2 ** 20 / copied, 1) });
  const read = repeated(3, () => shell(`cat ${work}/large > /dev/null`));
  add('read-large', 'one read of the same file', { MiBPerSecond: round(largeBytes / 2 ** 20 / read, 1) });
  removeTree(work);
  const written = repeated(3, () => {
    removeTree(`${work}/burst`);
    return writeBurst(`${work}/burst`, Math.round(10_000 * scale.factor));
  });
  add('create', 'the files of `burst` written locally', {
    seconds: round(written),
    filesPerSecond: Math.round((10_000 * scale.factor) / written),
  });
  removeTree(work);

  buildTree(lab.source, { kind: 'small', files }, true);
  const label = files.toLocaleString('en');
  add('walk', `walk of ${label} files, find (readdir and lstat)`, {
    seconds: round(repeated(3, () => shell(`find ${lab.source} -printf '%s%T@%i' > /dev/null`))),
  });
  add('walk-node', `walk of ${label} files, node (readdir and lstat)`, {
    seconds: round(repeated(3, () => timed(() => walk(lab.source)))),
  });
  removeTree(replica);
  const treeCopied = repeated(2, () => {
    removeTree(replica);
    return shell(`cp -a ${lab.source} ${replica}`);
  });
  add('copy-tree', `cp -a of ${label} files`, { seconds: round(treeCopied) });
  const noop = repeated(3, () =>
    shell(`rsync -a --delete -e ${lab.sshCommand()} ${lab.source}/ ${lab.host(0)}:${replica}/`),
  );
  add('rsync-noop', `rsync -a over ssh, ${label} files, nothing to do`, { seconds: round(noop) });
  removeTree(replica);
  return floors;
}

function latencies(samples: readonly number[]): Metrics {
  return {
    p50Ms: round(percentile(samples, 0.5)),
    p95Ms: round(percentile(samples, 0.95)),
    p99Ms: round(percentile(samples, 0.99)),
  };
}

async function pipeEcho(lab: Lab): Promise<number[]> {
  const child = spawn(lab.sshCommand(), [lab.host(0), 'cat'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const samples: number[] = [];
  for (let index = 0; index < 400; index++) {
    const began = performance.now();
    child.stdin.write(page);
    await received(child, page.length);
    samples.push(performance.now() - began);
    await pause(2 + Math.random() * 8);
  }
  child.stdin.end();
  await ended(child);
  return samples.slice(20);
}

function received(child: ChildProcess, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    let left = bytes;
    const listener = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left > 0) return;
      child.stdout?.off('data', listener);
      resolve();
    };
    child.stdout?.on('data', listener);
  });
}

async function pipeVisible(lab: Lab, path: string): Promise<number[]> {
  const child = spawn(lab.sshCommand(), [lab.host(0), `cat > ${path}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // A blocking write into the pipe itself: the event loop is not part of this floor.
  const pipe = child.stdin;
  const samples: number[] = [];
  pipe.write(page);
  while (!existsSync(path) || statSync(path).size < page.length) await pause(5);
  for (let index = 2; index < 400; index++) {
    await pause(2 + Math.random() * 8);
    const began = performance.now();
    pipe.write(page);
    const seen = await pollUntil(() => statSync(path).size >= index * page.length, 5000, sleepBlocking);
    if (seen !== undefined) samples.push(performance.now() - began);
  }
  pipe.end();
  await ended(child);
  return samples;
}

function ended(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => child.once('exit', resolve));
}

function hashSpeed(): number {
  const data = Buffer.alloc(64 << 20);
  return Math.round(64 / repeated(3, () => timed(() => createHash('sha256').update(data).digest())));
}

function syncedWrite(path: string): void {
  const fd = openSync(path, 'w');
  writeSync(fd, page);
  fsyncSync(fd);
  closeSync(fd);
}

function walk(root: string): number {
  let count = 0;
  for (const name of readdirSync(root)) {
    const path = `${root}/${name}`;
    count++;
    if (lstatSync(path).isDirectory()) count += walk(path);
  }
  return count;
}

function timeMs(action: () => unknown): number {
  const began = performance.now();
  action();
  return performance.now() - began;
}

function timed(action: () => unknown): number {
  return timeMs(action) / 1000;
}

/** The median of `times` calls; each returns its own seconds. */
function repeated(times: number, measure: () => number): number {
  return median(Array.from({ length: times }, measure));
}

function shell(script: string): number {
  return timed(() => execFileSync('sh', ['-c', script], { stdio: 'ignore' }));
}

/** Milliseconds for a fixed piece of work, and the load: how much others use the machine right now. */
export function machineNoise(): { calibrationMs: number; load: number } {
  const data = Buffer.alloc(32 << 20);
  const calibrationMs = round(
    timeMs(() => createHash('sha256').update(data).digest()),
    1,
  );
  return { calibrationMs, load: Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]) };
}
