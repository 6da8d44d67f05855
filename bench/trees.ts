import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { below, seeded } from './stats.ts';

/** What a source holds at the start of a trial. */
export type Tree =
  | { readonly kind: 'small'; readonly files: number }
  | { readonly kind: 'file'; readonly bytes: number }
  | { readonly kind: 'folder'; readonly files: number; readonly fileBytes: number };

const filesPerFolder = 100;
const firstMtime = 1_600_000_000;

export function treeName(tree: Tree): string {
  switch (tree.kind) {
    case 'small':
      return `${tree.files.toLocaleString('en')} files`;
    case 'file':
      return `one file of ${sizeName(tree.bytes)}`;
    case 'folder':
      return `a folder of ${tree.files.toLocaleString('en')} files`;
  }
}

export function sizeName(bytes: number): string {
  return bytes >= 2 ** 30 ? `${bytes / 2 ** 30} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** Builds the tree at `root`; what stood there is removed. A tree that was left there by an earlier trial is kept if `reuse`. */
export function buildTree(root: string, tree: Tree, reuse: boolean): void {
  const stamp = `${root}.built`;
  const wanted = JSON.stringify(tree);
  if (reuse && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  removeTree(root);
  rmSync(stamp, { force: true });
  mkdirSync(root, { recursive: true });
  switch (tree.kind) {
    case 'small':
      buildSmallFiles(root, tree.files, 1);
      break;
    case 'file':
      writeRandomFile(`${root}/big.bin`, tree.bytes);
      utimesSync(`${root}/big.bin`, firstMtime, firstMtime);
      break;
    case 'folder':
      buildSmallFiles(`${root}/keep`, 1000, 3);
      buildFolder(`${root}/before`, tree.files, tree.fileBytes);
      break;
  }
  if (reuse) writeFileSync(stamp, wanted);
}

/**
 * 20,000 files and fewer: 1 B to 8 KiB, as pages are. More: 700 B each, so that a tree fits into memory; from a
 * million on: empty, for the same reason (those trees measure walks, memory and idleness, not content).
 */
function buildSmallFiles(root: string, files: number, seed: number): void {
  const random = seeded(seed);
  // The same bytes in every build: a replica that was left by an earlier trial has to be equal, not only look so.
  const pool = Buffer.from(Uint32Array.from({ length: 1 << 18 }, () => below(random, 2 ** 32)).buffer);
  let folder = '';
  for (let index = 0; index < files; index++) {
    if (index % filesPerFolder === 0) {
      const number = index / filesPerFolder;
      folder = `${root}/d${String(Math.floor(number / 20)).padStart(3, '0')}/s${String(number).padStart(4, '0')}`;
      mkdirSync(folder, { recursive: true });
    }
    const path = `${folder}/f${String(index % filesPerFolder).padStart(4, '0')}.dat`;
    const bytes = files >= 1_000_000 ? 0 : files > 20_000 ? 700 : 1 + below(random, 8192);
    const start = below(random, pool.length - bytes);
    writeFileSync(path, pool.subarray(start, start + bytes));
    utimesSync(path, firstMtime + index, firstMtime + index + 0.25);
    if (index % 10 === 0) chmodSync(path, 0o755);
  }
}

function buildFolder(root: string, files: number, fileBytes: number): void {
  const content = Buffer.allocUnsafe(fileBytes);
  for (let index = 0; index < files; index++) {
    const path = `${root}/k${String(Math.floor(index / filesPerFolder)).padStart(2, '0')}/f${String(index % filesPerFolder).padStart(3, '0')}`;
    if (index % filesPerFolder === 0) mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, randomFillSync(content));
  }
}

export function writeRandomFile(path: string, bytes: number): void {
  const block = Buffer.allocUnsafe(4 << 20);
  const fd = openSync(path, 'w');
  try {
    for (let left = bytes; left > 0; left -= block.length) {
      randomFillSync(block);
      writeSync(fd, block, 0, Math.min(left, block.length));
    }
  } finally {
    closeSync(fd);
  }
}

export function copyTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  command('cp', ['-a', `${from}/.`, `${to}/`]);
}

/** Makes `to` equal to `from` where most of it is already there: cheaper than a new copy of a million files. */
export function repairTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  command('rsync', ['-a', '--delete', `${from}/`, `${to}/`]);
}

/** `rm` removes a large tree twice as fast as fs.rmSync. */
export function removeTree(root: string): void {
  command('rm', ['-rf', root]);
}

function command(name: string, args: readonly string[]): void {
  const done = spawnSync(name, args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${name} ${args.join(' ')}: ${done.stderr || String(done.error)}`);
}
