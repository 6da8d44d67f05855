// Files that verify themselves: a reader can tell from one of them alone whether it was ever so at the source.
//
// page:    "FAMV" | u32 id | u32 version | u32 body length | body | sha256 of all before. Replaced by rename only; mode
//          and mtime follow from the version, so old content with new metadata shows, too.
// striped: blocks of 4 KiB, "FAMS" | u32 id | u32 version | ..., written in place and in order: at any moment the source holds a
//          run of blocks of one version and then a run of the version before. A torn read has another pattern. The block between the
//          two may be half of each: a writer that loses its processor while the kernel copies a page (its times are set by then, no
//          event is told yet) leaves it so for whoever reads at the source, where the file system does not lock readers out (ext4).

import { createHash } from 'node:crypto';
import { contentOf } from './content.ts';

/** Everything below `/tree/always` exists at all times. */
export const alwaysFolder = 'always';
export const pageIds = [0, 1, 2, 3, 4, 5, 6, 7] as const;
export const stripedIds = [8, 9, 10] as const;
export const swapIds = [11, 12] as const;
export const releaseId = 13;
export const idCount = 14;

const pageMagic = 0x46414d56;
const stripedMagic = 0x46414d53;
const headBytes = 16;
const digestBytes = 32;
const blockBytes = 4096;
const stripedBlocks = 16;

export const pageMode = (version: number): number => 0o400 | (version & 0o77);
export const pageMtimeS = (version: number): number => 1_000_000_000 + version;

export function pageOf(id: number, version: number): Buffer {
  // Every fifth is larger than what travels inside a batch. No two ids share size and mtime: first contact goes by these.
  const isLarge = version % 5 === 0;
  const bodyBytes = isLarge ? 140_000 + ((version * 7919 + id) % 200_000) : (version * 104_729 + id) % 9000;
  const page = Buffer.concat([
    Buffer.alloc(headBytes),
    contentOf(id * 100_003 + version, bodyBytes),
    Buffer.alloc(digestBytes),
  ]);
  page.writeUInt32BE(pageMagic, 0);
  page.writeUInt32BE(id, 4);
  page.writeUInt32BE(version, 8);
  page.writeUInt32BE(bodyBytes, 12);
  createHash('sha256')
    .update(page.subarray(0, -digestBytes))
    .digest()
    .copy(page, page.length - digestBytes);
  return page;
}

export interface Verdict {
  readonly id: number;
  readonly version: number;
  /** What is wrong, or undefined. */
  readonly wrong: string | undefined;
}

export function judgePage(content: Buffer, mode: number, mtimeS: number): Verdict {
  if (content.length < headBytes + digestBytes || content.readUInt32BE(0) !== pageMagic) {
    return { id: -1, version: -1, wrong: `no page: ${content.length} bytes` };
  }
  const [id, version] = [content.readUInt32BE(4), content.readUInt32BE(8)];
  const digest = createHash('sha256').update(content.subarray(0, -digestBytes)).digest();
  let wrong: string | undefined;
  if (!digest.equals(content.subarray(-digestBytes)))
    wrong = `torn: ${content.length} bytes of version ${version}`;
  else if ((mode & 0o7777) !== pageMode(version))
    wrong = `mode ${(mode & 0o7777).toString(8)} with version ${version}`;
  else if (mtimeS !== pageMtimeS(version)) wrong = `mtime ${mtimeS} with version ${version}`;
  return { id, version, wrong };
}

export function stripedBlock(id: number, version: number): Buffer {
  const block = contentOf(id * 1009 + version, blockBytes);
  block.writeUInt32BE(stripedMagic, 0);
  block.writeUInt32BE(id, 4);
  block.writeUInt32BE(version, 8);
  return block;
}

export function stripedPositions(): number[] {
  return Array.from({ length: stripedBlocks }, (_, n) => n * blockBytes);
}

export function judgeStriped(content: Buffer): Verdict {
  if (content.length !== stripedBlocks * blockBytes)
    return { id: -1, version: -1, wrong: `${content.length} bytes` };
  const id = content.readUInt32BE(4);
  const versions = stripedPositions().map((at) => content.readUInt32BE(at + 8));
  const newest = versions[0] ?? 0;
  const falls = versions.filter((version, n) => version !== (versions[n - 1] ?? version));
  let wrong: string | undefined;
  if (falls.length > 1 || (falls[0] ?? newest - 1) !== newest - 1)
    wrong = `torn: versions ${versions.join(' ')}`;
  for (const [n, at] of stripedPositions().entries()) {
    const block = content.subarray(at, at + blockBytes);
    const isBetween = versions[n] === newest && versions[n + 1] !== newest;
    if (!isBlock(block, id, versions[n] ?? 0, isBetween)) wrong ??= `torn inside block ${n}`;
  }
  return { id, version: newest, wrong };
}

/** @param mayBeHalf whether it may end as the version before does */
function isBlock(block: Buffer, id: number, version: number, mayBeHalf: boolean): boolean {
  const expected = stripedBlock(id, version);
  if (block.equals(expected)) return true;
  if (!mayBeHalf) return false;
  const half = block.findIndex((byte, at) => byte !== expected[at]);
  return block.subarray(half).equals(stripedBlock(id, version - 1).subarray(half));
}
