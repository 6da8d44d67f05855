// What a replica cannot be blamed for: its file system holds less than the source's. Only where a scenario makes it so.

import { closeSync, ftruncateSync, lstatSync, openSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Difference } from '../oracle/compare-trees.ts';
import { joinBytes, pathBuffer } from '../oracle/walk.ts';

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

/** @param source the root that `path` is below */
export function isExcused({ path, what }: Difference, source: string, room: Room): boolean {
  const stat = lstatSync(pathBuffer(joinBytes(source, path)), { throwIfNoEntry: false });
  if (stat?.isFile() === true && stat.size > room.maxFileBytes) return true;
  if (stat?.isSymbolicLink() === true && stat.size > room.maxTargetBytes) return true;
  // `xattrs [name=0x..., ...] != [...]`: two digits for a byte.
  const wanted = /^xattrs \[(.*)\] != \[/s.exec(what)?.[1];
  return wanted !== undefined && wanted.length / 2 > room.maxAttributeBytes;
}
