// One watcher in a process of its own: subject.js PEER ROOT PEERS-FOLDER FAM-FOLDER. Tells its parent when it is ready, and keeps what
// it has been told: for each path whether it is there, and when it was first heard of.

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

/** What the parent asks for, and what it is answered with. */
export type Question = { readonly ask: 'heard' } | { readonly ask: 'memory' } | { readonly ask: 'count' };
export interface Ready {
  readonly ready: number;
}
export interface Heard {
  /** Nanoseconds of the monotonic clock, by file name. */
  readonly heard: Readonly<Record<string, string>>;
}

type Tell = (path: string, isThere: boolean) => void;
type Rename = (from: string, to: string) => void;
/** Begins to watch; resolves when ready, with the process whose memory counts. */
type Start = (root: string, tell: Tell, rename: Rename) => Promise<number>;

const [peer = '', root = '', peersFolder = '', famFolder = ''] = process.argv.slice(2);
const requirePeer = createRequire(join(peersFolder, 'package.json'));

const there = new Set<string>();
const firstHeard = new Map<string, bigint>();

function tell(path: string, isThere: boolean): void {
  if (isThere) {
    there.add(path);
    if (!firstHeard.has(path)) firstHeard.set(path, process.hrtime.bigint());
  } else if (!there.delete(path)) return;
}

function rename(from: string, to: string): void {
  for (const path of [...there]) {
    if (path !== from && !path.startsWith(`${from}/`)) continue;
    there.delete(path);
    there.add(`${to}${path.slice(from.length)}`);
  }
}

async function startFam(monitor: 'fanotify' | 'inotify', path: string): Promise<number> {
  const { watch } = await import(join(famFolder, 'dist/index.js'));
  begin();
  const watcher = watch(path, { monitor });
  watcher.listen((event: { type: string; path: string; from?: string }) => {
    if (event.type === 'created' || event.type === 'changed') tell(event.path, true);
    else if (event.type === 'deleted') tell(event.path, false);
    else if (event.type === 'moved' && event.from !== undefined) rename(event.from, event.path);
  });
  await watcher.ready;
  return process.pid;
}

function linesOf(child: ChildProcess, stream: 'stdout' | 'stderr', each: (line: string) => void): void {
  const input = child[stream];
  if (input !== null) createInterface({ input }).on('line', each);
}

function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

const starts: Readonly<Record<string, Start>> = {
  'fam-fanotify': (path) => startFam('fanotify', path),
  'fam-inotify': (path) => startFam('inotify', path),

  async parcel(path) {
    const { subscribe } = requirePeer('@parcel/watcher');
    begin();
    const heard = (error: Error | null, events: { type: string; path: string }[]): void => {
      if (error !== null) process.stderr.write(`parcel: ${error.message}\n`);
      for (const event of events ?? []) tell(event.path, event.type !== 'delete');
    };
    // Left to itself it would use a watchman that is installed, which is measured on its own.
    await subscribe(path, heard, { backend: 'inotify' });
    return process.pid;
  },

  async chokidar(path) {
    const { watch } = await import(pathToFileURL(requirePeer.resolve('chokidar')).href);
    begin();
    const watcher = watch(path, { ignoreInitial: true });
    watcher.on('all', (event: string, changed: string) => tell(changed, !event.startsWith('unlink')));
    await new Promise<void>((resolve) => watcher.once('ready', resolve));
    return process.pid;
  },

  async inotifywait(path) {
    begin();
    const events = 'create,close_write,moved_to,moved_from,delete';
    const args = ['-m', '-r', '-e', events, '--format', '%e %w%f', path];
    const child = spawn('inotifywait', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    process.on('exit', () => child.kill());
    linesOf(child, 'stdout', (line) => {
      const space = line.indexOf(' ');
      const event = line.slice(0, space);
      tell(line.slice(space + 1), !event.includes('DELETE') && !event.includes('MOVED_FROM'));
    });
    await new Promise<void>((resolve) => {
      linesOf(child, 'stderr', (line) => {
        if (line.includes('Watches established')) resolve();
      });
    });
    return child.pid ?? process.pid;
  },

  async watchman(path) {
    begin();
    const state = join(peersFolder, `watchman-${process.pid}`);
    const sock = `${state}.sock`;
    const files = ['--statefile', `${state}.state`, '--logfile', `${state}.log`, '--pidfile', `${state}.pid`];
    const server = ['-U', sock, ...files];
    const child = spawn('watchman', [...server, '-f'], { stdio: 'ignore' });
    process.on('exit', () => child.kill('SIGKILL'));
    const client = ['-U', sock, '--no-pretty'];
    const run = (args: string[]): Promise<number | null> =>
      new Promise((resolve) =>
        spawn('watchman', [...client, ...args], { stdio: 'ignore' }).once('close', resolve),
      );
    while (!(await accepts(sock))) await new Promise((resolve) => setTimeout(resolve, 2));
    await run(['watch', path]);
    const subscription = spawn('watchman', [...client, '-j', '-p'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const query = [
      'subscribe',
      path,
      'bench',
      { fields: ['name', 'exists'], defer_vcs: false, empty_on_fresh_instance: true },
    ];
    await new Promise<void>((resolve) => {
      linesOf(subscription, 'stdout', (line) => {
        const answer = JSON.parse(line);
        if (answer.subscribe !== undefined || answer.is_fresh_instance === true) resolve();
        for (const file of answer.files ?? []) tell(`${path}/${file.name}`, file.exists);
      });
      subscription.stdin?.write(`${JSON.stringify(query)}\n`);
    });
    return child.pid ?? process.pid;
  },
};

// So that the programs it has started end with it.
process.on('SIGTERM', () => process.exit(0));

let began = 0;
function begin(): void {
  began = performance.now();
}

function residentKib(pid: number): number {
  const line = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(line?.[1] ?? 0);
}

const start = starts[peer];
if (start === undefined) throw new Error(`no such peer: ${peer}`);
const pid = await start(root, tell, rename);
process.send?.({ ready: performance.now() - began });
process.on('message', ({ ask }: Question) => {
  if (ask === 'memory') process.send?.({ memoryKib: residentKib(pid), pid });
  else if (ask === 'count') process.send?.({ there: [...there] });
  else process.send?.({ heard: Object.fromEntries([...firstHeard].map(([path, at]) => [path, String(at)])) });
});
