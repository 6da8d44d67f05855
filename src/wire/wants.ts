// wants (5), agent -> source: the answer to one listing.

import type { InodeId } from '../core/attributes.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { FrameType } from './frame-type.ts';
import type { Wants } from './messages.ts';

// u8      5
// varint  directory; 0: no listing is answered, the replica met ids that it does not know
// varint  count, each: varint id of a file whose content is wanted
// varint  count, each: varint id of a directory that was missing

export function encodeWants(wants: Wants): Uint8Array {
  const to = new ByteWriter(32 + 8 * (wants.contents.length + wants.missing.length));
  to.u8(FrameType.wants);
  to.varint(wants.directory);
  to.varint(wants.contents.length);
  for (const id of wants.contents) to.varint(id);
  to.varint(wants.missing.length);
  for (const id of wants.missing) to.varint(id);
  return to.finish();
}

export function decodeWants(frame: Uint8Array): Wants {
  const from = new ByteReader('wants', frame);
  const directory = from.varint();
  const contents: InodeId[] = [];
  for (let left = from.varint(); left > 0; left--) contents.push(from.id());
  const missing: InodeId[] = [];
  for (let left = from.varint(); left > 0; left--) missing.push(from.id());
  from.end();
  return { type: 'wants', directory, contents, missing };
}
