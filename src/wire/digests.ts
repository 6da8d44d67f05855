// digests-wanted (20), source -> agent, and digests (21), its answers: what blocks of a base hold.

import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { FrameType } from './frame-type.ts';
import { type Digests, type DigestsWanted, digestBytes, digestKeyBytes } from './messages.ts';

/** Smaller blocks would make more digests than they save bytes; larger ones do not fit a reader's buffer. */
const minBlockBytes = 4096;
const maxBlockBytes = 16 * 1024 * 1024;

// u8      20
// varint  id, offset, length (at least 1), block size
// 16      key

export function encodeDigestsWanted({ id, offset, length, blockBytes, key }: DigestsWanted): Uint8Array {
  const to = new ByteWriter(64);
  to.u8(FrameType['digests-wanted']);
  to.varint(id);
  to.varint(offset);
  to.varint(length);
  to.varint(blockBytes);
  to.raw(key);
  return to.finish();
}

export function decodeDigestsWanted(frame: Uint8Array): DigestsWanted {
  const from = new ByteReader('digests-wanted', frame);
  const id = from.id();
  const offset = from.varint();
  const length = from.varint();
  const blockBytes = readBlockBytes(from);
  if (length === 0 || offset % blockBytes !== 0) from.fail('asks for no whole block');
  if (offset + length > Number.MAX_SAFE_INTEGER) from.fail('asks for what no file has');
  // Digests are made long after the frame has gone.
  const key = Uint8Array.from(from.raw(digestKeyBytes));
  from.end();
  return { type: 'digests-wanted', id, offset, length, blockBytes, key };
}

// u8      21
// varint  id, offset, block size
// then    the digests, 16 bytes each, up to the end of the frame

export function encodeDigests({ id, offset, blockBytes, digests }: Digests): Uint8Array {
  const to = new ByteWriter(32 + digests.length);
  to.u8(FrameType.digests);
  to.varint(id);
  to.varint(offset);
  to.varint(blockBytes);
  to.raw(digests);
  return to.finish();
}

export function decodeDigests(frame: Uint8Array): Digests {
  const from = new ByteReader('digests', frame);
  const id = from.id();
  const offset = from.varint();
  const blockBytes = readBlockBytes(from);
  if (offset % blockBytes !== 0) from.fail('begins inside a block');
  if (from.remaining % digestBytes !== 0) from.fail('holds half a digest');
  const digests = from.raw(from.remaining);
  return { type: 'digests', id, offset, blockBytes, digests };
}

function readBlockBytes(from: ByteReader): number {
  const size = from.varint();
  if (size < minBlockBytes || size > maxBlockBytes) from.fail(`holds a block size of ${size}`);
  return size;
}
