// A reader's process: `reader-main REPLICA VERSIONS`. Reads the verified files of a replica over and over, as a web
// server does, and reports what no reader may ever see (I2, I3).

import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, readSync } from 'node:fs';
import type { FromReader, ToReader } from './reader.ts';
import {
  alwaysFolder,
  judgePage,
  judgeStriped,
  pageIds,
  stripedIds,
  swapIds,
  type Verdict,
} from './verified.ts';

const [replica = '', versions = ''] = process.argv.slice(2);
const versionsFd = openSync(versions, 'r');
const releasePage = 'current/page';
const names = [
  ...pageIds.map((at) => `page-${at}`),
  ...swapIds.map((_, at) => `swap-${at}/page`),
  releasePage,
  ...stripedIds.map((id) => `striped-${id}`),
];

let watching = false;
let reads = 0;
/**
 * Newest version seen, by name and id; forgotten when the replica is put back. Not across names: two names that trade places are two
 * changes, and a reader may come in between.
 */
const seen = new Map<string, number>();

function say(message: FromReader): void {
  process.send?.(message);
}

/** What the source has published of an id, by now. */
function published(id: number): number {
  const bytes = Buffer.alloc(4);
  readSync(versionsFd, bytes, 0, 4, id * 4);
  return bytes.readUInt32LE(0);
}

function read(name: string): Verdict {
  const fd = openSync(`${replica}/${alwaysFolder}/${name}`, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    const content = readFileSync(fd);
    const { mode, mtimeMs } = stat;
    const verdict = name.startsWith('striped')
      ? judgeStriped(content)
      : judgePage(content, mode, Math.floor(mtimeMs / 1000));
    if (verdict.wrong === undefined) return verdict;
    const { ino, size, nlink, ctimeMs } = stat;
    const found = `inode ${ino}, ${size} bytes, ${nlink} links, mtime ${mtimeMs}, ctime ${ctimeMs}`;
    return { ...verdict, wrong: `${verdict.wrong} of ${verdict.id} (${found})` };
  } finally {
    closeSync(fd);
  }
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function look(name: string): string | undefined {
  let verdict: Verdict;
  try {
    verdict = read(name);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    // The link itself is always there. What it leads to may come a moment after it: I2 speaks of names, not of paths through links,
    // and small changes overtake large ones.
    return name === releasePage && isLink(`${replica}/${alwaysFolder}/current`) ? undefined : code;
  }
  reads += 1;
  const { id, version, wrong } = verdict;
  if (wrong !== undefined) return wrong;
  if (version > published(id)) return `version ${version} of ${id}, which the source never had`;
  const key = `${name}:${id}`;
  const before = seen.get(key) ?? 0;
  if (version < before) return `version ${version} of ${id} after ${before}`;
  seen.set(key, version);
  return undefined;
}

async function watch(): Promise<void> {
  while (watching) {
    for (const name of names) {
      const what = look(name);
      if (what !== undefined && watching) say({ type: 'violation', name, what, at: Date.now() });
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

process.on('message', (message: ToReader) => {
  if (message.type === 'watch') {
    seen.clear();
    if (watching) return;
    watching = true;
    void watch();
  } else {
    watching = false;
    say({ type: 'resting', reads });
  }
});
process.on('disconnect', () => process.exit(0));
