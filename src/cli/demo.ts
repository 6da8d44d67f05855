// `fam demo`, what `npm start` runs without arguments: a source, two local replicas, a few changes of each kind, each
// timed until both replicas show it, and a full comparison at the end.

import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Mirror } from '../mirror/mirror.ts';
import { prepare } from '../mirror/prepare.ts';
import { openLog } from '../runtime/log.ts';
import { fillDemoTree } from './demo-tree.ts';
import { MirrorProgress } from './mirror-progress.ts';

/** Until a change must have arrived; the demo fails beyond. */
const arrivalMs = 30_000;
const largeBytes = 64 * 1024 * 1024;

export async function demoCommand(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fam-demo-'));
  const source = join(folder, 'source');
  const replicas = [join(folder, 'replica1'), join(folder, 'replica2')];
  mkdirSync(source);
  const files = fillDemoTree(source);
  console.log(`source   ${source} (${files} real files)`);
  for (const replica of replicas) console.log(`replica  ${replica}`);
  let changed: () => void = () => {};
  const log = openLog('text');
  const prepared = prepare({
    source,
    destinations: replicas,
    stateDir: join(folder, 'state'),
    rsh: undefined,
    onAgentLine: (replica, line) => log.warn({ event: 'agent-log', replica }, line),
  });
  const mirror = await Mirror.start(
    {
      init: false,
      monitor: undefined,
      durability: 'batch',
      trustSource: false,
      log,
      onChange: () => changed(),
    },
    prepared,
  );
  const interrupted = new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  let equal = false;
  try {
    const progress = new MirrorProgress(mirror, undefined);
    await new Promise<void>((resolve, reject) => {
      changed = () => {
        progress.update();
        if (mirror.inSync) resolve();
      };
      mirror.failed.catch(reject);
    });
    progress.finish();
    for (const change of changes(source)) await time(change, replicas);
    await mirror.wait(arrivalMs, new AbortController().signal);
    const differing = replicas.flatMap((replica) => differences(source, replica, ''));
    equal = differing.length === 0;
    console.log(
      equal ? `compared: both replicas equal the source` : `different:\n${differing.slice(0, 20).join('\n')}`,
    );
    if (process.stdout.isTTY) {
      console.log(`mirroring on: change something in ${source}; Ctrl-C ends the demo and removes its folder`);
      await interrupted;
    }
  } finally {
    await mirror.close();
    rmSync(folder, { recursive: true, force: true });
  }
  process.exit(equal ? 0 : 1);
}

interface DemoChange {
  readonly what: string;
  act(): void;
  /** True when this replica shows it. */
  shown(replica: string): boolean;
}

function changes(source: string): DemoChange[] {
  const page = '<h1>hello</h1>\n';
  const large = Buffer.alloc(largeBytes, 'fam ');
  const folder = readdirSync(source)[0] ?? '';
  const count = readdirSync(join(source, folder)).length;
  return [
    {
      what: 'create a page',
      act: () => writeFileSync(join(source, 'index.html'), page),
      shown: (replica) => content(join(replica, 'index.html')) === page,
    },
    {
      what: 'edit it',
      act: () => appendFileSync(join(source, 'index.html'), page),
      shown: (replica) => content(join(replica, 'index.html')) === page + page,
    },
    {
      what: 'make a symlink',
      act: () => symlinkSync('index.html', join(source, 'home')),
      shown: (replica) => existsSync(join(replica, 'home')),
    },
    {
      what: `rename a folder of ${files(join(source, folder))} files`,
      act: () => renameSync(join(source, folder), join(source, 'renamed')),
      shown: (replica) => !existsSync(join(replica, folder)) && entries(join(replica, 'renamed')) === count,
    },
    {
      what: `write a large file (${largeBytes / 1024 / 1024} MiB)`,
      act: () => writeFileSync(join(source, 'large'), large),
      shown: (replica) => size(join(replica, 'large')) === largeBytes,
    },
    {
      what: 'delete the large file',
      act: () => rmSync(join(source, 'large')),
      shown: (replica) => !existsSync(join(replica, 'large')),
    },
    {
      what: 'delete a folder',
      act: () => rmSync(join(source, 'renamed'), { recursive: true }),
      shown: (replica) => !existsSync(join(replica, 'renamed')),
    },
  ];
}

async function time(change: DemoChange, replicas: readonly string[]): Promise<void> {
  change.act();
  const from = performance.now();
  while (!replicas.every((replica) => change.shown(replica))) {
    if (performance.now() - from > arrivalMs) {
      console.log(`${change.what}: not there after ${arrivalMs / 1000} s`);
      return;
    }
    await new Promise(setImmediate);
  }
  console.log(`${(performance.now() - from).toFixed(1).padStart(8)} ms  ${change.what}`);
}

function files(folder: string): number {
  let count = 0;
  // Not by `recursive`: from Node.js 22 on that follows links to folders.
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) count += files(join(folder, entry.name));
    else if (entry.isFile()) count += 1;
  }
  return count;
}

function content(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

function entries(folder: string): number {
  return existsSync(folder) ? readdirSync(folder).length : 0;
}

function size(path: string): number {
  return existsSync(path) ? lstatSync(path).size : -1;
}

/** Names, types, modes, sizes, times, targets and contents that differ. */
function differences(source: string, replica: string, path: string): string[] {
  const a = lstatSync(join(source, path), { bigint: true });
  const b = lstatSync(join(replica, path), { bigint: true, throwIfNoEntry: false });
  if (b === undefined) return [`${replica}/${path}: missing`];
  if (a.mode !== b.mode || a.mtimeNs !== b.mtimeNs || a.uid !== b.uid)
    return [`${replica}/${path}: attributes`];
  if (a.isSymbolicLink()) {
    return readlinkSync(join(source, path)) === readlinkSync(join(replica, path))
      ? []
      : [`${replica}/${path}: target`];
  }
  if (a.isFile()) {
    const same = readFileSync(join(source, path)).equals(readFileSync(join(replica, path)));
    return same ? [] : [`${replica}/${path}: content`];
  }
  if (!a.isDirectory()) return [];
  const here = new Set(readdirSync(join(source, path)));
  const extra = readdirSync(join(replica, path)).filter((name) => !here.has(name) && name !== '.fam');
  return [
    ...extra.map((name) => `${replica}/${join(path, name)}: extra`),
    ...[...here].flatMap((name) => differences(source, replica, join(path, name))),
  ];
}
