// What local users of a replica may rely on, whatever happens at the source: a folder that they have moved out of the replica stays as it is, to
// the byte (I7), and what they have put into the replica is in its trash when it has had to give way (I6).

import { createHash } from 'node:crypto';
import { type BigIntStats, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type BytePath, joinBytes, pathBuffer, walk } from '../oracle/walk.ts';

interface Outside {
  readonly path: string;
  readonly was: ReadonlyMap<BytePath, string>;
}

export interface Given {
  /** Where it was last. */
  readonly path: BytePath;
  readonly digest: string;
}

export class Keepsakes {
  readonly #outside: Outside[] = [];
  /** By the folder in which a replica's trash is. */
  readonly #given = new Map<string, Given[]>();

  /** A folder that is a user's own from now on. */
  keepOutside(path: string): void {
    this.#outside.push({ path, was: describeTree(path) });
  }

  /** Files on a replica that fam has not put there. */
  expectInTrash(trash: string, given: readonly Given[]): void {
    this.#given.set(trash, [...(this.#given.get(trash) ?? []), ...given]);
  }

  /** Local users do away with this file or folder themselves, and with what they have put there before. */
  giveUp(path: BytePath): void {
    const gone = digestsBelow(path);
    for (const [trash, given] of this.#given)
      this.#given.set(
        trash,
        given.filter(({ digest }) => !gone.has(digest)),
      );
  }

  /** Somebody else has emptied it. */
  forgetTrash(trash: string): void {
    this.#given.delete(trash);
  }

  /** When replicas equal their source: nothing that is a user's own is in one of them any more. */
  violations(): string[] {
    const changed = this.#outside.flatMap(({ path, was }) => changes(path, was));
    const lost = [...this.#given].flatMap(([trash, given]) => {
      if (given.length === 0) return [];
      const kept = digestsBelow(trash);
      return given
        .filter(({ digest }) => !kept.has(digest))
        .map(({ path }) => `${JSON.stringify(path)} was put there by a local user, and is not in ${trash}`);
    });
    return [...changed, ...lost];
  }
}

export function digestOf(path: BytePath): string {
  return createHash('sha256')
    .update(readFileSync(pathBuffer(path)))
    .digest('hex');
}

/** Of the contents of all files, by their paths in the folder. */
export function digestsByPath(folder: string): Map<BytePath, string> {
  const digests = new Map<BytePath, string>();
  for (const [path, stat] of walk(folder, new Set()))
    if (stat.isFile()) digests.set(path, digestOf(joinBytes(folder, path)));
  return digests;
}

function digestsBelow(folder: string): Set<string> {
  return new Set(digestsByPath(folder).values());
}

/** Everything that shows whether somebody has touched it. */
function describeTree(folder: string): Map<BytePath, string> {
  const described = new Map<BytePath, string>();
  for (const [path, stat] of walk(folder, new Set()))
    described.set(path, describeOne(joinBytes(folder, path), stat));
  return described;
}

function describeOne(path: BytePath, stat: BigIntStats): string {
  const { ino, mode, uid, gid, size, nlink, mtimeNs, ctimeNs } = stat;
  const content = stat.isFile()
    ? digestOf(path)
    : stat.isSymbolicLink()
      ? readlinkSync(pathBuffer(path), 'latin1')
      : '';
  return [ino, mode.toString(8), uid, gid, size, nlink, mtimeNs, ctimeNs, content].join(' ');
}

function changes(folder: string, was: ReadonlyMap<BytePath, string>): string[] {
  const now = describeTree(folder);
  return [...new Set([...was.keys(), ...now.keys()])]
    .filter((path) => was.get(path) !== now.get(path))
    .map(
      (path) =>
        `outside of the replica, ${JSON.stringify(join(folder, path))}: ${was.get(path) ?? 'nothing'} -> ${now.get(path) ?? 'nothing'}`,
    );
}
