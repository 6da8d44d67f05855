// contents (6), source -> agent: files that the agent wanted.

import {
  AttributesReader,
  AttributesWriter,
  readContent,
  sizeOfState,
  writeContent,
} from './attributes-codec.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { FrameType } from './frame-type.ts';
import type { Contents, WantedContent } from './messages.ts';

// u8      6
// varint  count of files, each:
//   varint  id, contentSeq
//   Attributes, Content

export function encodeContents(contents: Contents): Uint8Array {
  let size = 16;
  for (const file of contents.files) size += 24 + sizeOfState(file.attributes, file.content);
  const to = new ByteWriter(size);
  const attributes = new AttributesWriter(to);
  to.u8(FrameType.contents);
  to.varint(contents.files.length);
  for (const file of contents.files) {
    to.varint(file.id);
    to.varint(file.contentSeq);
    attributes.write(file.attributes);
    writeContent(to, file.content);
  }
  return to.finish();
}

export function decodeContents(frame: Uint8Array): Contents {
  const from = new ByteReader('contents', frame);
  const attributes = new AttributesReader(from);
  const files: WantedContent[] = [];
  for (let left = from.varint(); left > 0; left--) {
    files.push({
      id: from.id(),
      contentSeq: from.varint(),
      attributes: attributes.read(),
      content: readContent(from),
    });
  }
  from.end();
  return { type: 'contents', files };
}
