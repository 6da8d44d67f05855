import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type Stats } from 'node:fs';
import { breathe, pause } from './pause.ts';
import { round } from './stats.ts';

/** What peers and the bench itself leave in a tree; no part of the comparison. */
export const probeName = '.bench-probe';
const ignoredAtRoot = new Set(['.stfolder', '.stversions', '.stignore', probeName, '.fam']);

interface Entry {
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
  readonly mode: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly target: string;
}

export interface Manifest {
  readonly entries: Map<string, Entry>;
  /** The newest inode change below the root, by the kernel's clock. */
  readonly newestCtimeMs: number;
}

export interface Equality {
  readonly ok: boolean;
  /** From `since` to the last change of the last replica; undefined if they did not become equal in time. */
  readonly seconds?: number;
  /** Entries that differ, by kind of difference, when not ok. */
  readonly residue?: Record<string, number>;
  readonly examples?: string[];
}

export interface WaitOptions {
  readonly source: string;
  readonly replicas: readonly string[];
  /** Date.now() at the start of what is timed. */
  readonly since: number;
  readonly timeoutMs: number;
  /** How many files are compared byte for byte; undefined: all. */
  readonly contentSample?: number;
  /** Paths that are looked at first and always compared byte for byte. */
  readonly suspects?: readonly string[];
  readonly tickMs?: number;
  /** The source as it is, when it was scanned already. */
  readonly manifest?: Manifest;
}

export function scan(root: string): Manifest {
  const entries = new Map<string, Entry>();
  let newestCtimeMs = 0;
  const queue = [''];
  for (let folder = queue.pop(); folder !== undefined; folder = queue.pop()) {
    for (const name of listFolder(`${root}/${folder}`)) {
      if (folder === '' && ignoredAtRoot.has(name)) continue;
      const path = folder === '' ? name : `${folder}/${name}`;
      const stat = lstatOrNone(`${root}/${path}`);
      if (!stat) continue;
      entries.set(path, toEntry(stat, `${root}/${path}`));
      if (stat.ctimeMs > newestCtimeMs) newestCtimeMs = stat.ctimeMs;
      if (stat.isDirectory()) queue.push(path);
    }
  }
  const rootCtime = lstatOrNone(root)?.ctimeMs ?? 0;
  return { entries, newestCtimeMs: Math.max(newestCtimeMs, rootCtime) };
}

/**
 * Waits until every replica equals the source, which must be quiet. The time is the newest inode ctime in the last
 * replica, confirmed by a full comparison, so that polling does not blur it.
 */
export async function waitEqual(options: WaitOptions): Promise<Equality> {
  const end = Date.now() + options.timeoutMs;
  const manifest = options.manifest ?? scan(options.source);
  const suspects = (options.suspects ?? []).filter((path) => manifest.entries.has(path));
  const everything = suspects.length > 0 ? suspects : shuffled([...manifest.entries.keys()]);
  const pending = new Map(options.replicas.map((replica) => [replica, [...everything]]));
  let lastChange = 0;
  for (;;) {
    for (const [replica, open] of pending) {
      if (!popEqual(open, manifest, replica)) continue;
      const polledAt = Date.now();
      const found = scan(replica);
      const different = differences(manifest, found);
      if (different.length === 0) different.push(...contentDifferences(options, manifest, replica, suspects));
      if (different.length > 0) {
        pending.set(replica, different);
        continue;
      }
      const changedAt = found.newestCtimeMs;
      lastChange = Math.max(
        lastChange,
        changedAt > options.since && changedAt < polledAt ? changedAt : polledAt,
      );
      pending.delete(replica);
    }
    if (pending.size === 0) return { ok: true, seconds: round((lastChange - options.since) / 1000, 4) };
    if (Date.now() > end) return residue(options, manifest, [...pending.keys()]);
    await pause(options.tickMs ?? 100);
  }
}

function residue(options: WaitOptions, manifest: Manifest, late: readonly string[]): Equality {
  const counts: Record<string, number> = {};
  const examples: string[] = [];
  for (const replica of late.slice(0, 1)) {
    const found = scan(replica);
    const different = differences(manifest, found);
    for (const path of different) {
      const why = reason(manifest.entries.get(path), found.entries.get(path));
      counts[why] = (counts[why] ?? 0) + 1;
    }
    if (different.length === 0) {
      different.push(...contentDifferences(options, manifest, replica, []));
      counts['content'] = different.length;
    }
    examples.push(...different.slice(0, 5));
  }
  return { ok: false, residue: counts, examples };
}

/** Drops what has become equal from the end of the list; true when nothing is left. */
function popEqual(open: string[], manifest: Manifest, replica: string): boolean {
  for (let path = open.at(-1); path !== undefined; path = open.at(-1)) {
    const full = `${replica}/${path}`;
    const stat = lstatOrNone(full);
    const wanted = manifest.entries.get(path);
    if (reason(wanted, stat && toEntry(stat, full)) !== '') return false;
    open.pop();
  }
  return true;
}

function differences(wanted: Manifest, found: Manifest): string[] {
  const result: string[] = [];
  for (const [path, entry] of wanted.entries) {
    if (reason(entry, found.entries.get(path)) !== '') result.push(path);
  }
  for (const path of found.entries.keys()) {
    if (!wanted.entries.has(path)) result.push(path);
  }
  return result;
}

/**
 * '' when equal in type, size, mode, link target and, for files, mtime to the second (not every peer keeps
 * nanoseconds, nor the times of directories and symlinks).
 */
function reason(wanted: Entry | undefined, found: Entry | undefined): string {
  if (!wanted) return found ? 'extra' : '';
  if (!found) return 'missing';
  if (wanted.type !== found.type) return 'type';
  if (wanted.type === 'symlink') return wanted.target === found.target ? '' : 'target';
  if (wanted.mode !== found.mode) return 'mode';
  if (wanted.type !== 'file') return '';
  if (wanted.size !== found.size) return 'size';
  return Math.floor(wanted.mtimeMs / 1000) === Math.floor(found.mtimeMs / 1000) ? '' : 'mtime';
}

function contentDifferences(
  options: WaitOptions,
  manifest: Manifest,
  replica: string,
  suspects: readonly string[],
): string[] {
  let files = [...manifest.entries]
    .filter(([, entry]) => entry.type === 'file' && entry.size > 0)
    .map(([path]) => path);
  if (options.contentSample !== undefined && files.length > options.contentSample) {
    files = [...shuffled(files).slice(0, options.contentSample), ...suspects];
  }
  return files.filter((path) => !sameContent(`${options.source}/${path}`, `${replica}/${path}`));
}

const half = 1 << 20;
const left = Buffer.allocUnsafe(half);
const right = Buffer.allocUnsafe(half);

export function sameContent(a: string, b: string): boolean {
  let first = -1;
  let second = -1;
  try {
    first = openSync(a, 'r');
    second = openSync(b, 'r');
    for (;;) {
      const count = readSync(first, left, 0, half, null);
      if (count !== readSync(second, right, 0, half, null)) return false;
      if (count === 0) return true;
      if (left.compare(right, 0, count, 0, count) !== 0) return false;
    }
  } catch {
    return false;
  } finally {
    if (first >= 0) closeSync(first);
    if (second >= 0) closeSync(second);
  }
}

function toEntry(stat: Stats, path: string): Entry {
  const type = stat.isFile()
    ? 'file'
    : stat.isDirectory()
      ? 'directory'
      : stat.isSymbolicLink()
        ? 'symlink'
        : 'other';
  return {
    type,
    mode: stat.mode & 0o7777,
    size: stat.size,
    mtimeMs: stat.mtimeMs,
    target: type === 'symlink' ? readTarget(path) : '',
  };
}

function readTarget(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function lstatOrNone(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function shuffled<T>(items: T[]): T[] {
  for (let index = items.length - 1; index > 0; index--) {
    const other = Math.floor(Math.random() * (index + 1));
    const moved = items[index];
    const taken = items[other];
    if (moved !== undefined && taken !== undefined) {
      items[index] = taken;
      items[other] = moved;
    }
  }
  return items;
}

/** Polls `condition` every 0.1 ms (every 2 ms once it has taken long) until it holds; the time it took in ms. */
export async function pollUntil(
  condition: () => boolean,
  timeoutMs: number,
  sleep: (ms: number) => void,
): Promise<number | undefined> {
  const start = performance.now();
  for (let slice = start; ; ) {
    if (condition()) return performance.now() - start;
    const age = performance.now() - start;
    if (age > timeoutMs) return undefined;
    sleep(age < 100 ? 0.1 : age < 1000 ? 0.5 : 2);
    if (performance.now() - slice > 50) {
      await breathe();
      slice = performance.now();
    }
  }
}
