// What lies beside the database: who holds it (`lock`), and whether it can be trusted (`boot`).

import { randomUUID } from 'node:crypto';
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { FamError } from '../core/errors.ts';
import { LOCK_EX, LOCK_NB } from '../kernel/constants.ts';
import { flock } from '../kernel/sys.ts';

/** Version of every layout in record-codec.ts, and of the tables. Another one on disk: the store is begun anew. */
export const storeFormat = 1;

const bootFile = z.object({
  format: z.int(),
  /** /proc/sys/kernel/random/boot_id of the boot in which the database was last opened. */
  bootId: z.string(),
  /** True: closed in order and synced, so that any boot may go on with it. */
  clean: z.boolean(),
  /** Whose tree this is, and how often its past was in doubt; outlives the database. */
  sourceId: z.uuid(),
  epoch: z.int().check(z.positive()),
  /** The source's root as it was last admitted; undefined: it has not been, or an older fam did not note it. */
  root: z.optional(z.object({ dev: z.number(), inoHigh: z.number(), inoLow: z.number(), birth: z.number() })),
});
export type BootMark = z.infer<typeof bootFile>;

/** Why a store is empty: never was one, the machine lost power while it was open, or an older layout. */
export type Fresh = 'new' | 'power-loss' | 'format' | false;

export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

/** What the `boot` file says, or undefined when there is none, or none that can be read. */
export function readBootMark(directory: string): BootMark | undefined {
  let text: string;
  try {
    text = readFileSync(join(directory, 'boot'), 'utf8');
  } catch {
    return undefined;
  }
  try {
    return bootFile.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Replaces the `boot` file so that it survives a power loss. */
export function writeBootMark(directory: string, mark: BootMark): void {
  replaceDurably(directory, 'boot', `${JSON.stringify(mark)}\n`);
}

/** Replaces a file so that a power loss leaves the old one or the new one: written beside, synced, renamed, folder synced. */
export function replaceDurably(directory: string, name: string, text: string): void {
  const path = join(directory, name);
  const fd = openSync(`${path}.new`, 'w', 0o600);
  try {
    writeSync(fd, text);
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
  syncPath(directory);
}

/** Waits until a file, or a folder's entries, are on disk. */
export function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Decides, before the database is opened, whether it can be gone on with, and removes it if not. Leaves an unclean mark
 * on disk, so that a power loss from now on is noticed.
 */
export function admitDatabase(
  directory: string,
  sourceId: string | undefined,
): { readonly mark: BootMark; readonly fresh: Fresh } {
  const old = readBootMark(directory);
  const boot = bootId();
  let fresh: Fresh = false;
  if (old === undefined) fresh = 'new';
  else if (old.format !== storeFormat) fresh = 'format';
  else if (!old.clean && old.bootId !== boot) fresh = 'power-loss';
  if (fresh !== false) rmSync(join(directory, 'db'), { recursive: true, force: true });
  const mark: BootMark = {
    format: storeFormat,
    bootId: boot,
    clean: false,
    sourceId: sourceId ?? old?.sourceId ?? randomUUID(),
    epoch: nextEpoch(old, fresh),
    ...(old?.root === undefined ? {} : { root: old.root }),
  };
  writeBootMark(directory, mark);
  return { mark, fresh };
}

/**
 * A lost folder leaves nothing to count on from: milliseconds since 1970 are above every epoch that was begun so, and raised by one
 * now and then. Seconds would not do: a source that lost its state within the second of its beginning was taken for what it had been.
 */
function nextEpoch(old: BootMark | undefined, fresh: Fresh): number {
  if (old === undefined) return Date.now();
  return old.epoch + (fresh === false ? 0 : 1);
}

/** Holds the directory for one process. The kernel lets go of it when the process ends, however it ends. */
export class StoreLock {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @throws FamError STATE_IN_USE when another process (or another store of this one) holds it. */
  static take(directory: string): StoreLock {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, 'lock');
    const fd = openSync(path, 'a+', 0o600);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
      closeSync(fd);
      const holder = readFileSync(path, 'latin1').trim();
      throw new FamError(
        'STATE_IN_USE',
        `${directory} is in use by process ${holder === '' ? 'unknown' : holder}: stop that one, or choose another state folder (--state)`,
        { retryable: true },
      );
    }
    try {
      writePid(path);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new StoreLock(fd);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}

function writePid(path: string): void {
  const fd = openSync(path, 'w');
  try {
    writeSync(fd, `${process.pid}\n`);
  } finally {
    closeSync(fd);
  }
}
