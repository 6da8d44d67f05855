// `npm run bench:watch`: watch() against what a user would pick instead, all in one run on the same machine.
// Writes docs/watch/benchmarks.md and prints it.

import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import {
  constants,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const peers = ['fam-fanotify', 'fam-inotify', 'parcel', 'chokidar', 'inotifywait', 'watchman'] as const;
type Peer = (typeof peers)[number];

const isQuick = process.argv.includes('--quick');
const scale = isQuick ? 10 : 1;
const sizes = [10_000 / scale, 100_000 / scale];
const filesPerDirectory = 2;
const latencySamples = 300;
/** Between the first and the last samples: what watches for months has run its code before. */
const latencyWarmth = 3000;
const burstFiles = 100_000 / scale;
const burstDirectories = 100;
const races = 300;
const foreignRates = [0, 10_000, 100_000];
const foreignSeconds = isQuick ? 3 : 6;
const readyDeadlineMs = 120_000;
/** What is told this long after the last change is not counted as lost. */
const quietMs = 4000;

const peersFolder = join(tmpdir(), 'fam-bench-watch-peers');
const foreignWriter = fileURLToPath(new URL('./foreign-writer.js', import.meta.url));
const subject = fileURLToPath(new URL('./subject.js', import.meta.url));
/** A copy: a build meanwhile does not change what is measured. */
const famFolder = join(tmpdir(), `fam-bench-watch-fam-${process.pid}`);
const project = fileURLToPath(new URL('../../../', import.meta.url));
const scratch = mkdtempSync(join(process.env['FAM_BENCH_SCRATCH'] ?? '/dev/shm', 'fam-bench-watch-'));

class Subject {
  readonly #child: ChildProcess;
  readonly peer: Peer;

  constructor(peer: Peer, root: string) {
    this.peer = peer;
    this.#child = fork(subject, [peer, root, peersFolder, famFolder], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
  }

  /** Milliseconds until it was ready; undefined when it was not in time, or failed. */
  async ready(): Promise<number | undefined> {
    const answer = await Promise.race([
      this.#answer<{ ready: number }>(),
      new Promise<undefined>((resolve) => this.#child.once('exit', () => resolve(undefined))),
      delay(readyDeadlineMs, undefined, { ref: false }),
    ]);
    return answer?.ready;
  }

  #answer<T>(): Promise<T> {
    return new Promise((resolve) => this.#child.once('message', (message) => resolve(message as T)));
  }

  async ask<T>(ask: string): Promise<T> {
    if (!this.#child.connected) throw new Error(`${this.peer} has ended`);
    const answer = this.#answer<T>();
    this.#child.send({ ask });
    return answer;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 2000);
    await exited;
    clearTimeout(timer);
  }
}

function makeTree(directories: number): string {
  const root = mkdtempSync(join(scratch, 'tree-'));
  let made = 0;
  for (let a = 0; made < directories; a++) {
    const top = join(root, `section-${a}`);
    mkdirSync(top);
    made++;
    for (let b = 0; b < 99 && made < directories; b++, made++) {
      const path = join(top, `folder-${b}`);
      mkdirSync(path);
      for (let file = 0; file < filesPerDirectory; file++)
        writeFileSync(join(path, `page-${file}.html`), 'x');
    }
  }
  return root;
}

/**
 * A walk that lists every directory, and looks at every name (lstat) where `looks`: by the same system calls and in the same
 * language, and nothing else.
 */
async function bareWalk(root: string, looks: boolean): Promise<number> {
  const { openat, close } = await import(join(famFolder, 'dist/kernel/entry-calls.js'));
  const { readDirectory } = await import(join(famFolder, 'dist/kernel/directory.js'));
  const { Stat, statx } = await import(join(famFolder, 'dist/kernel/stat.js'));
  const stat = new Stat();
  const walk = (parent: number, name: string): void => {
    const fd: number = openat(parent, name, constants.O_DIRECTORY);
    const below: string[] = [];
    readDirectory(fd, (entry: string, type: number) => {
      if (looks) statx(fd, entry, stat);
      if (type === 4) below.push(entry);
    });
    for (const entry of below) walk(fd, entry);
    close(fd);
  };
  const began = performance.now();
  walk(-100, root);
  return performance.now() - began;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

interface Readiness {
  readonly readyMs: number | undefined;
  readonly memoryMib: number | undefined;
  /** CPU milliseconds in a second without changes. */
  readonly idleCpuMs: number | undefined;
}

async function measureReady(peer: Peer, root: string): Promise<Readiness> {
  const watcher = new Subject(peer, root);
  const readyMs = await watcher.ready();
  if (readyMs === undefined) {
    await watcher.end();
    return { readyMs, memoryMib: undefined, idleCpuMs: undefined };
  }
  await delay(2000);
  const { memoryKib, pid } = await watcher.ask<{ memoryKib: number; pid: number }>('memory');
  const before = cpuTicks(pid);
  await delay(3000);
  const idleCpuMs = ((cpuTicks(pid) - before) * 10) / 3;
  await watcher.end();
  return { readyMs, memoryMib: memoryKib / 1024, idleCpuMs };
}

/** Milliseconds from the write to the event: right after the start, and after `latencyWarmth` more files. */
async function measureLatency(peer: Peer): Promise<{ fresh: readonly number[]; warm: readonly number[] }> {
  const root = makeTree(1000);
  const watcher = new Subject(peer, root);
  const fresh = new Map<string, bigint>();
  const warm = new Map<string, bigint>();
  if ((await watcher.ready()) === undefined) return { fresh: [], warm: [] };
  let files = 0;
  const write = (): readonly [string, bigint] => {
    const file = files++;
    const path = join(root, `section-${file % 10}`, `folder-${file % 90}`, `new-${file}`);
    const at = process.hrtime.bigint();
    writeFileSync(path, 'x');
    return [path, at];
  };
  for (const samples of [fresh, warm]) {
    for (let sample = 0; sample < latencySamples; sample++) {
      const [path, at] = write();
      samples.set(path, at);
      await delay(10);
    }
    for (let file = 0; samples === fresh && file < latencyWarmth; file++) {
      write();
      await delay(1);
    }
  }
  await delay(quietMs / 2);
  const { heard } = await watcher.ask<{ heard: Record<string, string> }>('heard');
  await watcher.end();
  const latencies = (written: ReadonlyMap<string, bigint>): number[] =>
    [...written].flatMap(([path, at]) => {
      const when = heard[path];
      return when === undefined ? [] : [Number(BigInt(when) - at) / 1e6];
    });
  return { fresh: latencies(fresh), warm: latencies(warm) };
}

/** Names that the watcher was wrong about in the end: not heard of, or believed to be there. */
async function measureBurst(peer: Peer): Promise<number | undefined> {
  const root = mkdtempSync(join(scratch, 'burst-'));
  for (let i = 0; i < burstDirectories; i++) mkdirSync(join(root, `d${i}`));
  const watcher = new Subject(peer, root);
  if ((await watcher.ready()) === undefined) return undefined;
  const path = (file: number): string => join(root, `d${file % burstDirectories}`, `f${file}`);
  for (let file = 0; file < burstFiles; file++) writeFileSync(path(file), '');
  for (let file = 0; file < burstFiles; file += 2) unlinkSync(path(file));
  return wrongAfterwards(watcher, (there) => {
    let wrong = 0;
    for (let file = 0; file < burstFiles; file++) {
      if (there.has(path(file)) !== (file % 2 === 1)) wrong++;
    }
    return wrong;
  });
}

async function measureRaces(peer: Peer): Promise<number | undefined> {
  const root = mkdtempSync(join(scratch, 'race-'));
  const watcher = new Subject(peer, root);
  if ((await watcher.ready()) === undefined) return undefined;
  for (let race = 0; race < races; race++) {
    const deep = join(root, `r${race}`, 'b', 'c', 'd');
    mkdirSync(deep, { recursive: true });
    writeFileSync(join(deep, 'file'), 'x');
    if (race % 10 === 0) await delay(1);
  }
  return wrongAfterwards(watcher, (there) => {
    let missing = 0;
    for (let race = 0; race < races; race++) {
      if (!there.has(join(root, `r${race}`, 'b', 'c', 'd', 'file'))) missing++;
    }
    return missing;
  });
}

/** Waits until the number does not get smaller any more. */
async function wrongAfterwards(
  watcher: Subject,
  count: (there: ReadonlySet<string>) => number,
): Promise<number> {
  let wrong = Number.POSITIVE_INFINITY;
  let since = performance.now();
  while (performance.now() - since < quietMs && wrong > 0) {
    await delay(250);
    const { there } = await watcher.ask<{ there: string[] }>('count');
    const now = count(new Set(there));
    if (now < wrong) since = performance.now();
    wrong = Math.min(wrong, now);
  }
  await watcher.end();
  return wrong;
}

interface Foreign {
  readonly writesPerSecond: number;
  readonly cpuMs: number;
  readonly latencies: readonly number[];
}

/** What writes elsewhere on the same file system cost a watcher that they do not concern, and how late its own events are meanwhile. */
async function measureForeign(peer: Peer, rate: number): Promise<Foreign | undefined> {
  const root = makeTree(1000);
  const elsewhere = mkdtempSync(join(scratch, 'elsewhere-'));
  const watcher = new Subject(peer, root);
  if ((await watcher.ready()) === undefined) return undefined;
  const { pid } = await watcher.ask<{ pid: number }>('memory');
  const writer = fork(foreignWriter, [elsewhere, String(rate), String(foreignSeconds)]);
  const wrote = new Promise<{ writes: number; seconds: number }>((resolve) =>
    writer.once('message', (message) => resolve(message as { writes: number; seconds: number })),
  );
  let isOver = false;
  const over = wrote.then(() => {
    isOver = true;
  });
  await delay(500);
  const before = cpuTicks(pid);
  const since = performance.now();
  const written = new Map<string, bigint>();
  for (let sample = 0; !isOver; sample++) {
    const path = join(root, `section-${sample % 10}`, `folder-${sample % 90}`, `new-${sample}`);
    written.set(path, process.hrtime.bigint());
    writeFileSync(path, 'x');
    await Promise.race([delay(20), over]);
  }
  const cpuMs = ((cpuTicks(pid) - before) * 10 * 1000) / (performance.now() - since);
  await delay(quietMs / 2);
  const { heard } = await watcher.ask<{ heard: Record<string, string> }>('heard');
  await watcher.end();
  const { writes, seconds } = await wrote;
  const latencies = [...written].flatMap(([path, at]) => {
    const when = heard[path];
    return when === undefined ? [] : [Number(BigInt(when) - at) / 1e6];
  });
  return { writesPerSecond: writes / seconds, cpuMs, latencies };
}

function cell(value: number | undefined, digits = 0): string {
  return value === undefined || Number.isNaN(value) ? 'failed' : value.toFixed(digits);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

async function run(): Promise<string> {
  const parts: string[] = [];
  const say = (text: string): void => {
    process.stdout.write(`${text}\n\n`);
    parts.push(text);
  };
  say(
    `Measured by \`npm run bench:watch\` on ${new Date().toISOString().slice(0, 10)}: Linux ${release()}, ${availableParallelism()} processors, ` +
      `load ${loadavg()[0]?.toFixed(1)} at the start, Node.js ${process.version}, trees in ${scratch.startsWith('/dev/shm') ? 'memory (tmpfs)' : scratch}.`,
  );
  for (const size of sizes) {
    const root = makeTree(size);
    const rounds = 3;
    const walks: number[] = [];
    const listings: number[] = [];
    const results = new Map<Peer, Readiness[]>();
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < 3; i++) {
        walks.push(await bareWalk(root, true));
        listings.push(await bareWalk(root, false));
      }
      for (const peer of peers) {
        const known = results.get(peer) ?? [];
        // Whoever takes more than half a minute does so each time.
        if ((known[0]?.readyMs ?? 0) > 30_000) continue;
        results.set(peer, [...known, await measureReady(peer, root)]);
      }
    }
    const walk = median(walks);
    const numbers = (peer: Peer, get: (one: Readiness) => number | undefined): number =>
      median((results.get(peer) ?? []).map(get).filter((value) => value !== undefined));
    say(
      `## Ready, and resident memory: ${size} directories, ${size * filesPerDirectory} files\n\n` +
        table(
          ['', 'ready, ms', 'x bare walk', 'memory, MiB', 'idle CPU, ms/s'],
          [
            ['bare walk (list, and lstat every name)', cell(walk), '1.0', '', ''],
            [
              'only listing every directory',
              cell(median(listings)),
              cell(median(listings) / walk, 1),
              '',
              '',
            ],
            ...peers.map((peer) => {
              const readyMs = numbers(peer, (one) => one.readyMs);
              return [
                peer,
                cell(readyMs),
                cell(readyMs / walk, 1),
                cell(numbers(peer, (one) => one.memoryMib)),
                cell(
                  numbers(peer, (one) => one.idleCpuMs),
                  1,
                ),
              ];
            }),
          ],
        ),
    );
    rmSync(root, { recursive: true });
  }
  const latencies: string[][] = [];
  for (const peer of peers) {
    const { fresh, warm } = await measureLatency(peer);
    const missing = 2 * latencySamples - fresh.length - warm.length;
    const quantiles = [fresh, warm].flatMap((values) => [quantile(values, 0.5), quantile(values, 0.99)]);
    latencies.push([peer, ...quantiles.map((value) => cell(value, 2)), String(missing)]);
  }
  say(
    `## From the write to the event: ${latencySamples} new files, 10 ms apart, and again after ${latencyWarmth} more\n\n${table(['', 'p50, ms', 'p99, ms', 'then: p50, ms', 'p99, ms', 'never told'], latencies)}`,
  );
  const foreign: string[][] = [];
  for (const peer of ['fam-fanotify', 'fam-inotify'] as const) {
    for (const rate of foreignRates) {
      const one = await measureForeign(peer, rate);
      foreign.push([
        peer,
        cell(one?.writesPerSecond),
        cell(one?.cpuMs),
        cell(quantile(one?.latencies ?? [], 0.5), 2),
        cell(quantile(one?.latencies ?? [], 0.99), 2),
      ]);
    }
  }
  say(
    `## While others write elsewhere on the same file system, to 4,000 open files\n\n${table(
      ['', 'their writes a second', 'CPU, ms/s', 'own events: p50, ms', 'p99, ms'],
      foreign,
    )}`,
  );
  const losses: string[][] = [];
  for (const peer of peers) {
    losses.push([peer, cell(await measureBurst(peer)), cell(await measureRaces(peer))]);
  }
  say(
    `## Names that a watcher is wrong about in the end\n\n` +
      `Burst: ${burstFiles} files created in ${burstDirectories} directories, every other one deleted. Races: ${races} times \`mkdir -p a/b/c/d; touch a/b/c/d/file\`.\n\n` +
      table(['', `of ${burstFiles} in the burst`, `of ${races} in races`], losses),
  );
  return parts.join('\n\n');
}

execFileSync('sh', [fileURLToPath(new URL('../../watch/install-peers.sh', import.meta.url)), peersFolder], {
  stdio: ['ignore', 2, 2],
});
mkdirSync(famFolder);
for (const part of ['dist', 'package.json'])
  cpSync(join(project, part), join(famFolder, part), { recursive: true });
symlinkSync(join(project, 'node_modules'), join(famFolder, 'node_modules'));
try {
  const report = await run();
  if (!isQuick) {
    const page = fileURLToPath(new URL('../../../docs/watch/benchmarks.md', import.meta.url));
    const [notes = ''] = readFileSync(page, 'utf8').split(/^<!-- measured -->$/m);
    writeFileSync(page, `${notes}<!-- measured -->\n\n${report}\n`);
  }
} finally {
  for (const entry of readdirSync(scratch)) rmSync(join(scratch, entry), { recursive: true });
  rmSync(scratch, { recursive: true });
  rmSync(famFolder, { recursive: true });
}
