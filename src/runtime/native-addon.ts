// Native addons inside the one-file agent: packed as text in a comment at its end, which costs next to nothing to skip,
// unpacked once into a folder of ours by content hash, and loaded from there. Outside the bundle nobody imports this file (scripts/build-agent.mjs does).

import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { threadId } from 'node:worker_threads';
import { brotliDecompressSync } from 'node:zlib';
import { cachePlaces, ensureOwnFolder, isOurs } from './own-folder.ts';

/** One build of an addon. */
export interface PackedAddon {
  /** Of the unpacked file, hex. */
  readonly sha256: string;
  /** Where the file lies in the agent, in brotli and base64: bytes from the agent's end to its beginning, and its length. */
  readonly fromEnd: number;
  readonly length: number;
}

const require = createRequire(import.meta.url);

/**
 * Loads the variant of `name` that fits this process.
 * @param variants by `<arch>-<glibc|musl>`
 */
export function loadAddon(name: string, variants: Readonly<Record<string, PackedAddon>>): unknown {
  const platform = `${process.arch}-${libc()}`;
  const addon = variants[platform];
  if (addon === undefined) {
    const known = Object.keys(variants).join(', ');
    throw new Error(
      `this agent has no ${name} for linux-${platform} (it has: ${known}): install fam-mirror on this host`,
    );
  }
  const failures: string[] = [];
  // Beside the agent; if that is a place where nobody may write or nothing be run (noexec), where else it could be.
  for (const folder of [dirname(fileURLToPath(import.meta.url)), ...cachePlaces()]) {
    try {
      ensureOwnFolder(folder);
      return require(unpack(folder, name, addon));
    } catch (error) {
      failures.push(`${folder}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(`no place to load ${name} from: ${failures.join('; ')}`);
}

function libc(): 'glibc' | 'musl' {
  return readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-') ? 'musl' : 'glibc';
}

function unpack(folder: string, name: string, addon: PackedAddon): string {
  const path = join(folder, `${name}-${addon.sha256.slice(0, 16)}.node`);
  if (isIntact(path, addon.sha256)) return path;
  const temp = `${path}.${process.pid}.${threadId}`;
  try {
    // RACE: `wx` never follows or opens what somebody put there; the rename replaces whatever has the final name.
    writeFileSync(temp, brotliDecompressSync(packedBytes(addon)), {
      flag: 'wx',
      mode: 0o700,
    });
    renameSync(temp, path);
  } catch (error) {
    try {
      unlinkSync(temp);
    } catch {
      // It was never made.
    }
    throw error;
  }
  if (!isIntact(path, addon.sha256)) throw new Error(`${path} does not hold what was written to it`);
  return path;
}

function packedBytes({ fromEnd, length }: PackedAddon): Buffer {
  const agent = readFileSync(fileURLToPath(import.meta.url), 'latin1');
  return Buffer.from(agent.slice(agent.length - fromEnd, agent.length - fromEnd + length), 'base64');
}

/** RACE: between this check and the load nobody but us can change the file: it and its folder are ours alone. */
function isIntact(path: string, sha256: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return false;
  }
  try {
    if (!isOurs(fstatSync(fd))) return false;
    return createHash('sha256').update(readFileSync(fd)).digest('hex') === sha256;
  } finally {
    closeSync(fd);
  }
}
