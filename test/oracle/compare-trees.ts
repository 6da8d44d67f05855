// The oracle: compares two trees in everything that a faithful mirror keeps (invariant I1). It shares no code with
// src/: plain node:fs and getfattr, so that a mistake of fam's own readers cannot hide here.

import { type BigIntStats, readlinkSync } from 'node:fs';
import { sameContent } from './same-content.ts';
import { type BytePath, joinBytes, pathBuffer, walk } from './walk.ts';
import { readXattrs } from './xattrs.ts';

export interface CompareOptions {
  /** Names directly under the roots that are left out, on both sides. */
  readonly ignore?: readonly string[];
  /** False: owners are not compared (a replica that is not root cannot keep them). */
  readonly owner?: boolean;
  /** False: extended attributes are not compared. */
  readonly xattrs?: boolean;
  /** False: a file with holes may become a file without. */
  readonly sparse?: boolean;
}

export interface Difference {
  /** Relative to the roots, as bytes; '' is the root. */
  readonly path: BytePath;
  readonly what: string;
}

const typeBits = 0o170000n;
const permissionBits = 0o7777n;
/** A replica of a file with holes may take this much more than the source: file systems allocate differently. */
const sparseSlackBytes = 1n << 20n;

/** For each name of a file, all names in the tree that share its inode, sorted. */
function linkGroups(tree: ReadonlyMap<BytePath, BigIntStats>): Map<BytePath, BytePath[]> {
  const namesOf = new Map<string, BytePath[]>();
  const groups = new Map<BytePath, BytePath[]>();
  for (const path of [...tree.keys()].sort()) {
    const stat = tree.get(path);
    if (!stat || stat.isDirectory() || stat.nlink < 2n) continue;
    const key = `${stat.dev}:${stat.ino}`;
    const names = namesOf.get(key) ?? [];
    names.push(path);
    namesOf.set(key, names);
    groups.set(path, names);
  }
  return groups;
}

/** Names outside the compared tree may be the source's own affair; at the destination they would be a leak. */
function linkDifference(
  [a, groupA = []]: readonly [BigIntStats, BytePath[] | undefined],
  [b, groupB = []]: readonly [BigIntStats, BytePath[] | undefined],
): string | undefined {
  const [linkedA, linkedB] = [groupA, groupB].map((names) => (names.length > 1 ? names.join('\0') : ''));
  if (linkedA !== linkedB) return `hard-link group of ${groupA.length || 1} != ${groupB.length || 1} names`;
  const namesInTree = BigInt(Math.max(1, groupA.length));
  if (!a.isDirectory() && a.nlink === namesInTree && b.nlink !== namesInTree) {
    return `${b.nlink - namesInTree} more hard links outside the tree`;
  }
  return undefined;
}

function* statDifferences(a: BigIntStats, b: BigIntStats, options: CompareOptions): Generator<string> {
  if (!a.isSymbolicLink() && (a.mode & permissionBits) !== (b.mode & permissionBits)) {
    yield `mode ${(a.mode & permissionBits).toString(8)} != ${(b.mode & permissionBits).toString(8)}`;
  }
  if (options.owner !== false && (a.uid !== b.uid || a.gid !== b.gid)) {
    yield `owner ${a.uid}:${a.gid} != ${b.uid}:${b.gid}`;
  }
  if (a.mtimeNs !== b.mtimeNs) yield `mtime ${a.mtimeNs} != ${b.mtimeNs}`;
  if ((a.isCharacterDevice() || a.isBlockDevice()) && a.rdev !== b.rdev) {
    yield `device number ${a.rdev} != ${b.rdev}`;
  }
}

function* contentDifferences(
  [pathA, a]: readonly [BytePath, BigIntStats],
  [pathB, b]: readonly [BytePath, BigIntStats],
  options: CompareOptions,
): Generator<string> {
  if (a.isSymbolicLink()) {
    const [targetA, targetB] = [pathA, pathB].map((path) => readlinkSync(pathBuffer(path), 'latin1'));
    if (targetA !== targetB) yield `symlink target ${targetA} != ${targetB}`;
  }
  if (!a.isFile()) return;
  if (a.size !== b.size) yield `size ${a.size} != ${b.size}`;
  else if (!sameContent(pathA, pathB)) yield 'content';
  const [takenA, takenB] = [a.blocks * 512n, b.blocks * 512n];
  const hasHoles = takenA < a.size;
  if (options.sparse !== false && hasHoles && takenB > takenA + takenA / 10n + sparseSlackBytes) {
    yield `sparseness: ${takenA} bytes on disk became ${takenB}`;
  }
}

/** Every difference between the trees at `source` and `dest`, in name order; none when they are equal. */
export function compareTrees(source: BytePath, dest: BytePath, options: CompareOptions = {}): Difference[] {
  if (/.\/$/.test(source) || /.\/$/.test(dest))
    throw new TypeError('roots are given without a trailing slash');
  const ignore = new Set(options.ignore);
  const a = walk(source, ignore);
  // A socket belongs to the process that listens there: fam leaves them out, and one at the destination is a difference.
  for (const [path, stat] of a) if (stat.isSocket()) a.delete(path);
  const b = walk(dest, ignore);
  const [groupsA, groupsB] = [linkGroups(a), linkGroups(b)];
  const noXattrs = new Map<BytePath, string[]>();
  const [xattrsA, xattrsB] =
    options.xattrs === false ? [noXattrs, noXattrs] : [readXattrs(source), readXattrs(dest)];

  const differences: Difference[] = [];
  for (const path of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    const add = (what: string) => differences.push({ path, what });
    const [statA, statB] = [a.get(path), b.get(path)];
    if (!statB) add('missing');
    else if (!statA) add('extra');
    else if ((statA.mode & typeBits) !== (statB.mode & typeBits)) {
      add(`type ${(statA.mode & typeBits).toString(8)} != ${(statB.mode & typeBits).toString(8)}`);
    } else {
      const [inA, inB] = [joinBytes(source, path), joinBytes(dest, path)];
      for (const what of statDifferences(statA, statB, options)) add(what);
      for (const what of contentDifferences([inA, statA], [inB, statB], options)) add(what);
      const links = linkDifference([statA, groupsA.get(path)], [statB, groupsB.get(path)]);
      if (links !== undefined) add(links);
      const [attributesA, attributesB] = [xattrsA.get(path) ?? [], xattrsB.get(path) ?? []];
      if (attributesA.join('\n') !== attributesB.join('\n')) {
        add(`xattrs [${attributesA.join(', ')}] != [${attributesB.join(', ')}]`);
      }
    }
  }
  return differences;
}

/** How many differences a failure prints. */
const maxPrinted = 50;

function display(path: BytePath): string {
  return JSON.stringify(path === '' ? '.' : Buffer.from(path, 'latin1').toString());
}

/** Throws with the paths that differ unless the trees are equal. */
export function expectEqualTrees(source: BytePath, dest: BytePath, options: CompareOptions = {}): void {
  const differences = compareTrees(source, dest, options);
  if (differences.length === 0) return;
  const lines = differences.slice(0, maxPrinted).map(({ path, what }) => `  ${display(path)}: ${what}`);
  throw new Error(`${differences.length} differences between ${source} and ${dest}:\n${lines.join('\n')}`);
}
