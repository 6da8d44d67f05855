// What blocks of a content hold, block by block from its beginning. Memory: 16 bytes for each mebibyte that is known.

import { FamError } from '../core/errors.ts';
import { KeyedDigest } from '../runtime/keyed-digest.ts';
import { blockBytes, digestBytes } from '../wire/messages.ts';
import type { Contents, OpenContent } from './contents.ts';

const leastRoomBytes = 1024;
/** Nobody compares more: the digests of so much are 16 MiB. */
const maxBytes = 1024 ** 4;
/** Anybody can make a file longer than this of almost nothing: such a one needs some data to be worth its digests (I10). */
const mayBeHolesBytes = 16 * 1024 ** 3;
const leastDataShare = 1 / 256;

/** Whether what differs in a content of this size is looked for by digests. Where it is not, all of its data is sent, and no hole. */
export function isComparable(size: number, allocatedBytes = size): boolean {
  return size <= maxBytes && (size <= mayBeHolesBytes || allocatedBytes >= size * leastDataShare);
}

export class Fingerprint {
  readonly key: Uint8Array;
  readonly size: number;
  /** Of the known blocks, and room for more. */
  #digests = Buffer.alloc(0);
  #known = 0;
  #zeros: Buffer | undefined;

  constructor(key: Uint8Array, size: number) {
    this.key = key;
    this.size = size;
  }

  get blocks(): number {
    return Math.ceil(this.size / blockBytes);
  }

  /** Blocks from the beginning that are known. */
  get known(): number {
    return this.#known;
  }

  get isComplete(): boolean {
    return this.#known === this.blocks;
  }

  /** Of all blocks that are known. */
  get digests(): Uint8Array {
    return this.#digests.subarray(0, this.#known * digestBytes);
  }

  /** Of a block that is known. */
  at(block: number): Buffer {
    return this.#digests.subarray(block * digestBytes, (block + 1) * digestBytes);
  }

  /** Adds the digests of the blocks from `block` on, which is the first one that is not known. */
  add(block: number, digests: Uint8Array): void {
    const end = block * digestBytes + digests.length;
    if (block !== this.#known || end > this.blocks * digestBytes || digests.length % digestBytes !== 0) {
      throw new FamError(
        'INTERNAL',
        `digests of block ${block} came for a fingerprint that knows ${this.#known}`,
      );
    }
    if (end > this.#digests.length) this.#grow(end);
    this.#digests.set(digests, this.#known * digestBytes);
    this.#known += digests.length / digestBytes;
  }

  #grow(needed: number): void {
    const room = Math.max(needed, 2 * this.#digests.length, leastRoomBytes);
    const larger = Buffer.alloc(Math.min(room, this.blocks * digestBytes));
    larger.set(this.digests);
    this.#digests = larger;
  }

  /** The digest of a whole block of zeros. */
  get zeros(): Buffer {
    if (this.#zeros !== undefined) return this.#zeros;
    const digest = new KeyedDigest(this.key);
    for (let at = 0; at < blockBytes; at += zeros.length) digest.update(zeros);
    this.#zeros = digest.digest();
    return this.#zeros;
  }

  /** A name for the whole content, all of which is known. */
  version(): Buffer {
    const digest = new KeyedDigest(this.key);
    digest.update(this.digests);
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(this.size));
    digest.update(size);
    return digest.digest();
  }
}

/** Small enough to stay in a processor's second cache between read and digest. */
const room = Buffer.allocUnsafeSlow(256 * 1024);
const zeros = Buffer.alloc(room.length);

/**
 * Reads the next block once and adds it to each fingerprint that lacks it.
 * @returns false when the file has become shorter
 */
export function scanBlock(contents: Contents, content: OpenContent, prints: readonly Fingerprint[]): boolean {
  const block = Math.min(...prints.map((print) => print.known));
  const start = block * blockBytes;
  const lacking = prints.filter((print) => print.known === block);
  const end = start + blockBytes;
  if (end <= content.attributes.size && contents.dataFrom(content, start) >= end) {
    for (const print of lacking) print.add(block, print.zeros);
    return true;
  }
  const digests = lacking.map((print) => new KeyedDigest(print.key));
  if (!readBlock(contents, content, block, digests)) return false;
  lacking.forEach((print, index) => {
    const digest = digests[index];
    if (digest !== undefined) print.add(block, digest.digest());
  });
  return true;
}

/** The file mostly holds what the fingerprint knows of it, as far as four of the known blocks tell: the first, the last, and two in between. */
export function isMostlyAsScanned(contents: Contents, content: OpenContent, print: Fingerprint): boolean {
  const last = print.known - 1;
  if (last < 0) return false;
  const blocks = new Set([last, Math.floor((2 * last) / 3), Math.floor(last / 3), 0]);
  const equal = [...blocks].filter((block) => {
    const digest = new KeyedDigest(print.key);
    return readBlock(contents, content, block, [digest]) && digest.digest().equals(print.at(block));
  });
  return equal.length > blocks.size / 2;
}

/** @returns false when the file has become shorter */
function readBlock(
  contents: Contents,
  content: OpenContent,
  block: number,
  digests: readonly KeyedDigest[],
): boolean {
  const start = block * blockBytes;
  const end = Math.min(start + blockBytes, content.attributes.size);
  for (let at = start; at < end; ) {
    const got = contents.read(content, room, at, Math.min(room.length, end - at));
    if (got <= 0) return false;
    for (const digest of digests) digest.update(room.subarray(0, got));
    at += got;
  }
  return true;
}
