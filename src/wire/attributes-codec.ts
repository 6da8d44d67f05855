// Attributes and contents as they travel inside batch, listing and contents messages.

import { type Attributes, Kind, type Xattr } from '../core/attributes.ts';
import type { Content, SameContent } from '../core/change.ts';
import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';
import { contentDigestBytes } from './messages.ts';

// Attributes
//   u8      kind (bits 0..2), flags: 0x08 mode, uid and gid are those of the attributes before in this frame,
//           0x10 xattrs follow, 0x20 xattrs were not read (neither: read, and there are none)
//   varint  mode, uid, gid            unless 0x08
//   signed  mtime, seconds            (zigzag varint)
//   u32     mtime, nanoseconds
//   varint  size                      files
//   string  target                    symlinks
//   varint  rdev major, minor         device nodes
//   varint  count, each: string name, bytes value     with 0x10
//
// A string is a varint length and that many bytes; so is `bytes`.
// A file of 1 KB costs 12 bytes when its owner is its neighbour's.

const sameOwner = 0x08;
const withXattrs = 0x10;
const xattrsNotRead = 0x20;

// Content
//   u8      0 none, 1 inline, 2 staged; in a batch also 3 same, 4 same as the stream's base
//   bytes   the content               inline
//   32      SHA-256 of the content    same (3)

/** PATH_MAX (limits.h): no symlink target is longer. */
const maxTargetBytes = 4096;
/** XATTR_SIZE_MAX and XATTR_NAME_MAX (linux/limits.h). */
const maxXattrValueBytes = 65_536;
const maxXattrNameBytes = 255;
/** uid_t and dev_t's parts are 32 bits (statx(2)). */
const maxU32 = 0xffff_ffff;

interface Owner {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

const nobodyYet: Owner = { mode: -1, uid: -1, gid: -1 };

/** Room that attributes and content may need, never less than they do. */
export function sizeOfState(attributes: Attributes, content: Content | SameContent): number {
  let size = 48 + sizeOfVariable(attributes);
  if (content.from === 'inline') size += 8 + content.bytes.length;
  else if (content.from === 'same') size += contentDigestBytes;
  return size;
}

/** The part of it that is of any size: a symlink's target, and extended attributes. */
export function sizeOfVariable({ target, xattrs = [] }: Attributes): number {
  let size = target.length;
  for (const { name, value } of xattrs) size += 16 + name.length + value.length;
  return size;
}

/** Writes attributes one after the other into one frame; each knows the one before. */
export class AttributesWriter {
  readonly #to: ByteWriter;
  #before: Owner = nobodyYet;

  constructor(to: ByteWriter) {
    this.#to = to;
  }

  write(attributes: Attributes): void {
    const to = this.#to;
    const { kind, mode, uid, gid, xattrs } = attributes;
    const before = this.#before;
    let head: number = kind;
    if (mode === before.mode && uid === before.uid && gid === before.gid) head |= sameOwner;
    if (xattrs === undefined) head |= xattrsNotRead;
    else if (xattrs.length > 0) head |= withXattrs;
    to.u8(head);
    if ((head & sameOwner) === 0) {
      to.varint(mode);
      to.varint(uid);
      to.varint(gid);
      this.#before = attributes;
    }
    to.signed(attributes.mtimeS);
    to.u32(attributes.mtimeNs);
    if (kind === Kind.file) to.varint(attributes.size);
    else if (kind === Kind.symlink) to.string(attributes.target);
    else if (kind === Kind.charDevice || kind === Kind.blockDevice) {
      to.varint(attributes.rdevMajor);
      to.varint(attributes.rdevMinor);
    }
    if (xattrs !== undefined && xattrs.length > 0) {
      to.varint(xattrs.length);
      for (const { name, value } of xattrs) {
        to.string(name);
        to.bytes(value);
      }
    }
  }
}

/** The other side of AttributesWriter: one for each frame. */
export class AttributesReader {
  readonly #from: ByteReader;
  #before: Owner = nobodyYet;

  constructor(from: ByteReader) {
    this.#from = from;
  }

  read(): Attributes {
    const from: ByteReader = this.#from;
    const head = from.u8();
    const kind = asKind(head & 0x07);
    if (kind === undefined) from.fail(`holds an inode of unknown kind ${head & 0x07}`);
    if (head > 0x3f || (head & (withXattrs | xattrsNotRead)) === (withXattrs | xattrsNotRead)) {
      from.fail('holds attributes with unknown flags');
    }
    if ((head & sameOwner) === 0) {
      this.#before = {
        mode: from.upTo(0o7777, 'mode'),
        uid: from.upTo(maxU32, 'uid'),
        gid: from.upTo(maxU32, 'gid'),
      };
    } else if (this.#before === nobodyYet) from.fail('refers to an owner before the first');
    const { mode, uid, gid } = this.#before;
    const mtimeS = from.signed();
    const mtimeNs = from.u32();
    if (mtimeNs > 999_999_999) from.fail(`holds ${mtimeNs} nanoseconds`);
    let size = 0;
    let target = '';
    let rdevMajor = 0;
    let rdevMinor = 0;
    if (kind === Kind.file) size = from.varint();
    else if (kind === Kind.symlink) {
      target = from.string(maxTargetBytes, 'symlink target');
      if (target.includes('\0')) from.fail('holds a symlink target with a NUL');
    } else if (kind === Kind.charDevice || kind === Kind.blockDevice) {
      rdevMajor = from.upTo(maxU32, 'device number');
      rdevMinor = from.upTo(maxU32, 'device number');
    }
    let xattrs: Xattr[] | undefined;
    if ((head & xattrsNotRead) === 0) {
      xattrs = [];
      if ((head & withXattrs) !== 0) this.#readXattrs(xattrs);
    }
    return { kind, mode, uid, gid, size, mtimeS, mtimeNs, rdevMajor, rdevMinor, target, xattrs };
  }

  #readXattrs(into: Xattr[]): void {
    const from: ByteReader = this.#from;
    const count = from.varint();
    if (count === 0) from.fail('announces xattrs and holds none');
    for (let i = 0; i < count; i++) {
      const name = from.string(maxXattrNameBytes, 'xattr name');
      if (name === '' || name.includes('\0')) from.fail('holds an xattr name that none can have');
      into.push({ name, value: from.bytes(maxXattrValueBytes, 'xattr value') });
    }
  }
}

function asKind(number: number): Kind | undefined {
  switch (number) {
    case Kind.file:
    case Kind.directory:
    case Kind.symlink:
    case Kind.fifo:
    case Kind.charDevice:
    case Kind.blockDevice:
      return number;
    default:
      return undefined;
  }
}

const none: Content = { from: 'none' };
const staged: Content = { from: 'staged' };

export function writeContent(to: ByteWriter, content: Content | SameContent): void {
  switch (content.from) {
    case 'none':
      to.u8(0);
      break;
    case 'inline':
      to.u8(1);
      to.bytes(content.bytes);
      break;
    case 'staged':
      to.u8(2);
      break;
    case 'same':
      to.u8(content.digest === undefined ? 4 : 3);
      if (content.digest !== undefined) to.raw(content.digest);
      break;
  }
}

/** The bytes are a view of the frame. */
export function readContent(from: ByteReader): Content {
  return contentOf(from, from.u8());
}

/** The same where the replica may be told to compare what it has. */
export function readContentOrSame(from: ByteReader): Content | SameContent {
  const how = from.u8();
  if (how === 4) return { from: 'same', digest: undefined };
  return how === 3 ? { from: 'same', digest: from.raw(contentDigestBytes) } : contentOf(from, how);
}

function contentOf(from: ByteReader, how: number): Content {
  if (how === 0) return none;
  if (how === 1) return { from: 'inline', bytes: from.bytes(Number.MAX_SAFE_INTEGER, 'content') };
  if (how === 2) return staged;
  return from.fail(`holds content of unknown origin ${how}`);
}
