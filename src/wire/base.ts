// base-wanted (18), source -> agent, and base (19), its answer: what a stream can copy from.

import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { FrameType } from './frame-type.ts';
import { type Base, type BaseWanted, digestBytes } from './messages.ts';

// u8      18
// varint  id, base, attempt

export function encodeBaseWanted({ id, base, attempt }: BaseWanted): Uint8Array {
  const to = new ByteWriter(32);
  to.u8(FrameType['base-wanted']);
  to.varint(id);
  to.varint(base);
  to.varint(attempt);
  return to.finish();
}

export function decodeBaseWanted(frame: Uint8Array): BaseWanted {
  const from = new ByteReader('base-wanted', frame);
  const id = from.id();
  const base = from.id();
  const attempt = from.varint();
  from.end();
  return { type: 'base-wanted', id, base, attempt };
}

// u8      19
// varint  id, attempt, size
// bytes   version: digestBytes long, or empty

export function encodeBase({ id, attempt, size, version }: Base): Uint8Array {
  const to = new ByteWriter(40);
  to.u8(FrameType.base);
  to.varint(id);
  to.varint(attempt);
  to.varint(size);
  to.bytes(version);
  return to.finish();
}

export function decodeBase(frame: Uint8Array): Base {
  const from = new ByteReader('base', frame);
  const id = from.id();
  const attempt = from.varint();
  const size = from.varint();
  const version = from.bytes(digestBytes, 'version');
  if (version.length !== 0 && version.length !== digestBytes) from.fail('holds half a version');
  from.end();
  return { type: 'base', id, attempt, size, version };
}
