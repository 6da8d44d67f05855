// version (22), source -> agent: a name for the content that a stream adds up to.

import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { FrameType } from './frame-type.ts';
import { digestBytes, type Version } from './messages.ts';

// u8      22
// varint  id, contentSeq
// 16      version

export function encodeVersion({ id, contentSeq, version }: Version): Uint8Array {
  const to = new ByteWriter(40);
  to.u8(FrameType.version);
  to.varint(id);
  to.varint(contentSeq);
  to.raw(version);
  return to.finish();
}

export function decodeVersion(frame: Uint8Array): Version {
  const from = new ByteReader('version', frame);
  const id = from.id();
  const contentSeq = from.varint();
  const version = from.raw(digestBytes);
  from.end();
  return { type: 'version', id, contentSeq, version };
}
