// batch (3), source -> agent: a stretch of the journal.

import type { InodeId } from '../core/attributes.ts';
import type { Change } from '../core/change.ts';
import {
  AttributesReader,
  AttributesWriter,
  readContentOrSame,
  sizeOfState,
  writeContent,
} from './attributes-codec.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { FrameType } from './frame-type.ts';
import type { BatchMessage } from './messages.ts';

// u8      3
// u8      flags: 1 complete
// varint  from, to
// varint  count of dead ids, each: varint id
// varint  count of changes, each:
//   u8    0 inode     varint id, Attributes, varint contentSeq, Content
//   u8    1 entry     flags in the same byte: 0x10 the id of the inode or entry change before,
//                     0x20 the parent of the entry or removed change before, 0x40 one link
//                     varint parent unless 0x20, string name, varint id unless 0x10, varint links unless 0x40
//   u8    2 removed   flag 0x20 as above
//                     varint parent unless 0x20, string name
//   u8    3 pending   varint id

const tagInode = 0;
const tagEntry = 1;
const tagRemoved = 2;
const tagPending = 3;
const sameId = 0x10;
const sameParent = 0x20;
const oneLink = 0x40;

export function encodeBatch(batch: BatchMessage): Uint8Array {
  const to = new ByteWriter(sizeOfBatch(batch));
  const attributes = new AttributesWriter(to);
  to.u8(FrameType.batch);
  to.u8(batch.complete ? 1 : 0);
  to.varint(batch.from);
  to.varint(batch.to);
  to.varint(batch.dead.length);
  for (const id of batch.dead) to.varint(id);
  to.varint(batch.changes.length);
  let lastId: InodeId = 0;
  let lastParent: InodeId = 0;
  for (const change of batch.changes) {
    switch (change.type) {
      case 'inode':
        to.u8(tagInode);
        to.varint(change.id);
        attributes.write(change.attributes);
        to.varint(change.contentSeq);
        writeContent(to, change.content);
        lastId = change.id;
        break;
      case 'entry': {
        let tag = tagEntry;
        if (change.id === lastId) tag |= sameId;
        if (change.parent === lastParent) tag |= sameParent;
        if (change.links === 1) tag |= oneLink;
        to.u8(tag);
        if ((tag & sameParent) === 0) to.varint(change.parent);
        to.string(change.name);
        if ((tag & sameId) === 0) to.varint(change.id);
        if ((tag & oneLink) === 0) to.varint(change.links);
        lastId = change.id;
        lastParent = change.parent;
        break;
      }
      case 'removed': {
        const known = change.parent === lastParent;
        to.u8(known ? tagRemoved | sameParent : tagRemoved);
        if (!known) to.varint(change.parent);
        to.string(change.name);
        lastParent = change.parent;
        break;
      }
      case 'pending':
        to.u8(tagPending);
        to.varint(change.id);
        break;
    }
  }
  return to.finish();
}

export function decodeBatch(frame: Uint8Array): BatchMessage {
  const from = new ByteReader('batch', frame);
  const attributes = new AttributesReader(from);
  const flags = from.u8();
  if (flags > 1) from.fail(`has unknown flags ${flags}`);
  const start = from.varint();
  const end = from.varint();
  if (end < start) from.fail(`goes backwards, from ${start} to ${end}`);
  const dead: InodeId[] = [];
  for (let left = from.varint(); left > 0; left--) dead.push(from.id());
  const changes: Change[] = [];
  let lastId: InodeId = 0;
  let lastParent: InodeId = 0;
  for (let left = from.varint(); left > 0; left--) {
    const tag = from.u8();
    const what = tag & 0x0f;
    if (what === tagInode && tag === tagInode) {
      lastId = from.id();
      changes.push({
        type: 'inode',
        id: lastId,
        attributes: attributes.read(),
        contentSeq: from.varint(),
        content: readContentOrSame(from),
      });
    } else if (what === tagEntry && tag < 0x80) {
      if ((tag & sameParent) === 0) lastParent = from.id();
      const name = from.name();
      if ((tag & sameId) === 0) lastId = from.id();
      const links = (tag & oneLink) === 0 ? from.varint() : 1;
      if (lastId === 0 || lastParent === 0) from.fail('refers to an id before the first');
      changes.push({ type: 'entry', parent: lastParent, name, id: lastId, links });
    } else if (tag === tagRemoved || tag === (tagRemoved | sameParent)) {
      if (tag === tagRemoved) lastParent = from.id();
      if (lastParent === 0) from.fail('refers to an id before the first');
      changes.push({ type: 'removed', parent: lastParent, name: from.name() });
    } else if (tag === tagPending) changes.push({ type: 'pending', id: from.id() });
    else from.fail(`holds a change of unknown type ${tag}`);
  }
  from.end();
  return { type: 'batch', from: start, to: end, complete: flags === 1, dead, changes };
}

function sizeOfBatch(batch: BatchMessage): number {
  let size = 48 + 8 * batch.dead.length;
  for (const change of batch.changes) {
    if (change.type === 'inode') size += 24 + sizeOfState(change.attributes, change.content);
    else if (change.type === 'pending') size += 16;
    else size += 32 + change.name.length;
  }
  return size;
}
