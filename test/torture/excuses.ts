// What a replica cannot be blamed for: its file system holds less than the source's. Only where a scenario makes it so.

import { closeSync, ftruncateSync, lstatSync, openSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Difference } from '../oracle/compare-trees.ts';
import { type BytePath, joinBytes, pathBuffer, walk } from '../oracle/walk.ts';

/** What a file system has room for. */
export interface Room {
  readonly maxFileBytes: number;
  /** Of a symlink's target: ext4 keeps it in one block, with a byte for its end. */
  readonly maxTargetBytes: number;
  /** Of all extended attributes of one file. */
  readonly maxAttributeBytes: number;
}

/** Heads and names of a dozen attributes in the block in which ext4 keeps them. */
const attributeOverheadBytes = 600;

export function roomOf(mount: string): Room {
  const probe = join(mount, 'probe');
  const fd = openSync(probe, 'w');
  try {
    let [fits, tooLong] = [0, Number.MAX_SAFE_INTEGER];
    while (tooLong - fits > 1) {
      const size = fits + Math.floor((tooLong - fits) / 2);
      if (canBe(fd, size)) fits = size;
      else tooLong = size;
    }
    const blockBytes = statfsSync(mount).bsize;
    return {
      maxFileBytes: fits,
      maxTargetBytes: blockBytes - 1,
      maxAttributeBytes: blockBytes - attributeOverheadBytes,
    };
  } finally {
    closeSync(fd);
    rmSync(probe);
  }
}

function canBe(fd: number, size: number): boolean {
  try {
    ftruncateSync(fd, size);
    return true;
  } catch {
    return false;
  }
}

/**
 * @param source the root that `path` is below
 * @param replica the root of the replica that differs there
 */
export function isExcused({ path, what }: Difference, source: string, room: Room, replica: string): boolean {
  if (isTooLong(joinBytes(source, path), room)) return true;
  if (what.startsWith('hard-link group') && isLeftUnder(joinBytes(replica, path), source, room, replica))
    return true;
  // `xattrs [name=0x..., ...] != [...]`: two digits for a byte.
  const wanted = /^xattrs \[(.*)\] != \[/s.exec(what)?.[1];
  return wanted !== undefined && wanted.length / 2 > room.maxAttributeBytes;
}

function isTooLong(path: BytePath, room: Room): boolean {
  const stat = lstatSync(pathBuffer(path), { throwIfNoEntry: false });
  if (stat?.isFile() === true) return stat.size > room.maxFileBytes;
  return stat?.isSymbolicLink() === true && stat.size > room.maxTargetBytes;
}

/** It also still has a name that it had before: what is to have that name is too long. */
function isLeftUnder(path: BytePath, source: string, room: Room, replica: string): boolean {
  const { ino } = lstatSync(pathBuffer(path), { bigint: true });
  return [...walk(replica, new Set())].some(
    ([name, stat]) => stat.ino === ino && isTooLong(joinBytes(source, name), room),
  );
}
