// listing (4), source -> agent: the entries of one directory, in name order (first contact).

import type { Name } from '../core/name.ts';
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
import type { ListedEntry, Listing } from './messages.ts';

// u8      4
// u8      flags: 1 first, 2 last, 4 removed
// varint  directory
// varint  count of entries, each:
//   string  name
//   varint  id, links, contentSeq
//   Attributes, Content
// varint  count of removed names, if flagged; each a string

export function encodeListing(listing: Listing): Uint8Array {
  let size = 32;
  for (const { name, attributes, content } of listing.entries) {
    size += 32 + name.length + sizeOfState(attributes, content);
  }
  const { removed = [] } = listing;
  for (const name of removed) size += 8 + name.length;
  const to = new ByteWriter(size);
  const attributes = new AttributesWriter(to);
  to.u8(FrameType.listing);
  to.u8((listing.first ? 1 : 0) | (listing.last ? 2 : 0) | (removed.length > 0 ? 4 : 0));
  to.varint(listing.directory);
  to.varint(listing.entries.length);
  for (const entry of listing.entries) {
    to.string(entry.name);
    to.varint(entry.id);
    to.varint(entry.links);
    to.varint(entry.contentSeq);
    attributes.write(entry.attributes);
    writeContent(to, entry.content);
  }
  if (removed.length > 0) {
    to.varint(removed.length);
    for (const name of removed) to.string(name);
  }
  return to.finish();
}

export function decodeListing(frame: Uint8Array): Listing {
  const from = new ByteReader('listing', frame);
  const attributes = new AttributesReader(from);
  const flags = from.u8();
  if (flags > 7) from.fail(`has unknown flags ${flags}`);
  const directory = from.id();
  const entries: ListedEntry[] = [];
  for (let left = from.varint(); left > 0; left--) {
    entries.push({
      name: from.name(),
      id: from.id(),
      links: from.varint(),
      contentSeq: from.varint(),
      attributes: attributes.read(),
      content: readContent(from),
    });
  }
  const removed: Name[] = [];
  if ((flags & 4) !== 0) for (let left = from.varint(); left > 0; left--) removed.push(from.name());
  from.end();
  return {
    type: 'listing',
    directory,
    first: (flags & 1) !== 0,
    last: (flags & 2) !== 0,
    entries,
    ...(removed.length === 0 ? {} : { removed }),
  };
}
