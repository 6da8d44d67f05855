// How records lie on disk. Format 1; a change of any layout here raises `storeFormat` in store-files.ts.
//
//   u48be   a key's number: 6 bytes, big-endian, so that byte order is number order
//   v       unsigned LEB128 of up to 53 bits        z  signed: zigzag, then v
//   u32     4 bytes, little-endian
//
//   inodes      key  u48be id
//               val  u8 kind | listed<<3 | hasRdev<<4 | hasTarget<<5 | doubtful<<6 | touched<<7
//                    v mode, v uid, v gid, v size, z mtimeS, u32 mtimeNs, z ctimeS - mtimeS, u32 ctimeNs
//                    v devMajor, v devMinor, v inoHigh, v inoLow, u32 birth
//                    v parent, u8 name length, name, v links, v bornSeq, z seq - bornSeq, z contentSeq - bornSeq
//                    [v rdevMajor, v rdevMinor] [v target length, target]
//   entries     key  u48be parent, name              val  v id, v seq
//   links       key  u48be id, u48be parent, name    val  u8 0
//   identities  key  u32be dev (major << 20 | minor, the kernel's own dev_t), u32be inoHigh, u32be inoLow
//               val  v id
//   journal     key  u48be seq
//               val  u8 1, v id  |  u8 2, v parent, name

import type { InodeId, Kind, Seq } from '../core/attributes.ts';
import { Kind as kinds } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import type { InodeRecord, JournalRecord } from './records.ts';

/** What lmdb-js takes from an encoder without copying: the bytes from `start` to `end` of the buffer. */
export type EncodedBytes = Buffer & { start: number; end: number };

const two32 = 0x1_0000_0000;
const listedBit = 1 << 3;
const rdevBit = 1 << 4;
const targetBit = 1 << 5;
/** Younger than format 1, which it leaves as it is: not set in older records, and nobody else has looked at it. */
const doubtfulBit = 1 << 6;
const touchedBit = 1 << 7;

// One scratch for every value: lmdb copies it before `putSync` returns. A symlink's target is the largest part.
const scratch: EncodedBytes = Object.assign(Buffer.allocUnsafeSlow(8192), { start: 0, end: 0 });
let at = 0;

function v(value: number): void {
  let rest = value;
  while (rest >= 0x8000_0000) {
    scratch[at++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  while (rest >= 128) {
    scratch[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  scratch[at++] = rest;
}

function z(value: number): void {
  v(value < 0 ? -value * 2 - 1 : value * 2);
}

function u32(value: number): void {
  scratch[at++] = value & 255;
  scratch[at++] = (value >>> 8) & 255;
  scratch[at++] = (value >>> 16) & 255;
  scratch[at++] = value >>> 24;
}

function writeBytes(target: Uint8Array, position: number, bytes: string): number {
  let p = position;
  for (let i = 0; i < bytes.length; i++) target[p++] = bytes.charCodeAt(i);
  return p;
}

function writeU48(target: Uint8Array, position: number, value: number): number {
  const high = Math.floor(value / two32);
  const low = value >>> 0;
  target[position] = (high >>> 8) & 255;
  target[position + 1] = high & 255;
  return writeU32(target, position + 2, low);
}

function writeU32(target: Uint8Array, position: number, value: number): number {
  target[position] = value >>> 24;
  target[position + 1] = (value >>> 16) & 255;
  target[position + 2] = (value >>> 8) & 255;
  target[position + 3] = value & 255;
  return position + 4;
}

function readU48(source: Uint8Array, position: number): number {
  return (
    byte(source, position) * 2 ** 40 + byte(source, position + 1) * two32 + readU32(source, position + 2)
  );
}

function readU32(source: Uint8Array, position: number): number {
  return (
    byte(source, position) * 0x100_0000 +
    ((byte(source, position + 1) << 16) | (byte(source, position + 2) << 8) | byte(source, position + 3))
  );
}

function byte(source: Uint8Array, position: number): number {
  return source[position] ?? 0;
}

// Decoding: one value at a time, from lmdb's own buffer (valid until the next get), hence no views of it are kept.
let from: Uint8Array = scratch;

function readV(): number {
  let b = byte(from, at++);
  if (b < 128) return b;
  let value = b & 127;
  let scale = 128;
  do {
    b = byte(from, at++);
    value += (b & 127) * scale;
    scale *= 128;
  } while (b >= 128);
  return value;
}

function readZ(): number {
  const value = readV();
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}

function readFixed32(): number {
  const p = at;
  at += 4;
  return (
    (byte(from, p) | (byte(from, p + 1) << 8) | (byte(from, p + 2) << 16)) + byte(from, p + 3) * 0x100_0000
  );
}

function readBytes(length: number): string {
  const start = at;
  at += length;
  return sliceBytes(from, start, at);
}

function sliceBytes(source: Uint8Array, start: number, end: number): string {
  if (end - start > 24) return Buffer.prototype.toString.call(source, 'latin1', start, end);
  let out = '';
  for (let i = start; i < end; i++) out += String.fromCharCode(byte(source, i));
  return out;
}

function done(): EncodedBytes {
  scratch.end = at;
  return scratch;
}

/** Once: this is asked for each record that is read. */
const allKinds: readonly Kind[] = Object.values(kinds);

function kindOf(code: number): Kind {
  for (const kind of allKinds) if (kind === code) return kind;
  throw new Error(`inode record of unknown kind ${code}`);
}

export const numberKey = {
  writeKey: (key: number, target: Uint8Array, position: number): number => writeU48(target, position, key),
  readKey: (source: Uint8Array, start: number): number => readU48(source, start),
};

export const inodeCodec = {
  encode(r: InodeRecord): EncodedBytes {
    at = 0;
    const hasRdev = r.rdevMajor !== 0 || r.rdevMinor !== 0;
    const hasTarget = r.target.length > 0;
    scratch[at++] =
      r.kind |
      (r.listed ? listedBit : 0) |
      (hasRdev ? rdevBit : 0) |
      (hasTarget ? targetBit : 0) |
      (r.doubtful ? doubtfulBit : 0) |
      (r.touched ? touchedBit : 0);
    v(r.mode);
    v(r.uid);
    v(r.gid);
    v(r.size);
    z(r.mtimeS);
    u32(r.mtimeNs);
    z(r.ctimeS - r.mtimeS);
    u32(r.ctimeNs);
    v(Math.floor(r.dev / two32));
    v(r.dev % two32);
    v(r.inoHigh);
    v(r.inoLow);
    u32(r.birth);
    v(r.parent);
    scratch[at++] = r.name.length;
    at = writeBytes(scratch, at, r.name);
    v(r.links);
    v(r.bornSeq);
    z(r.seq - r.bornSeq);
    z(r.contentSeq - r.bornSeq);
    if (hasRdev) {
      v(r.rdevMajor);
      v(r.rdevMinor);
    }
    if (hasTarget) {
      v(r.target.length);
      at = writeBytes(scratch, at, r.target);
    }
    return done();
  },

  /** The record with `id` 0: the store, which knows the key, sets it. */
  decode(source: Uint8Array): InodeRecord {
    from = source;
    at = 1;
    const flags = byte(source, 0);
    const mode = readV();
    const uid = readV();
    const gid = readV();
    const size = readV();
    const mtimeS = readZ();
    const mtimeNs = readFixed32();
    const ctimeS = readZ() + mtimeS;
    const ctimeNs = readFixed32();
    const devMajor = readV();
    const devMinor = readV();
    const inoHigh = readV();
    const inoLow = readV();
    const birth = readFixed32();
    const parent = readV();
    const name = readBytes(byte(source, at++)) as Name | '';
    const links = readV();
    const bornSeq = readV();
    const seq = readZ() + bornSeq;
    const contentSeq = readZ() + bornSeq;
    const hasRdev = (flags & rdevBit) !== 0;
    const rdevMajor = hasRdev ? readV() : 0;
    const rdevMinor = hasRdev ? readV() : 0;
    const target = (flags & targetBit) !== 0 ? readBytes(readV()) : '';
    return {
      id: 0,
      kind: kindOf(flags & 7),
      mode,
      uid,
      gid,
      size,
      mtimeS,
      mtimeNs,
      rdevMajor,
      rdevMinor,
      target,
      xattrs: undefined,
      dev: devMajor * two32 + devMinor,
      inoHigh,
      inoLow,
      birth,
      ctimeS,
      ctimeNs,
      parent,
      name,
      links,
      bornSeq,
      seq,
      contentSeq,
      doubtful: (flags & doubtfulBit) !== 0,
      touched: (flags & touchedBit) !== 0,
      listed: (flags & listedBit) !== 0,
    };
  },
};

export type EntryKey = [parent: InodeId, name: Name | ''];
export type EntryValue = { readonly id: InodeId; readonly seq: Seq };

export const entryKey = {
  writeKey: (key: EntryKey, target: Uint8Array, position: number): number =>
    writeBytes(target, writeU48(target, position, key[0]), key[1]),
  readKey: (source: Uint8Array, start: number, end: number): EntryKey => [
    readU48(source, start),
    sliceBytes(source, start + 6, end) as Name,
  ],
};

export const entryCodec = {
  encode(value: EntryValue): EncodedBytes {
    at = 0;
    v(value.id);
    v(value.seq);
    return done();
  },
  decode(source: Uint8Array): EntryValue {
    from = source;
    at = 0;
    return { id: readV(), seq: readV() };
  },
};

export type LinkKey = [id: InodeId, parent: InodeId, name: Name | ''];

export const linkKey = {
  writeKey: (key: LinkKey, target: Uint8Array, position: number): number =>
    writeBytes(target, writeU48(target, writeU48(target, position, key[0]), key[1]), key[2]),
  readKey: (source: Uint8Array, start: number, end: number): LinkKey => [
    readU48(source, start),
    readU48(source, start + 6),
    sliceBytes(source, start + 12, end) as Name,
  ],
};

export type IdentityKey = [dev: number, inoHigh: number, inoLow: number];

export const identityKey = {
  writeKey(key: IdentityKey, target: Uint8Array, position: number): number {
    const dev = ((Math.floor(key[0] / two32) << 20) | ((key[0] % two32) & 0xf_ffff)) >>> 0;
    return writeU32(target, writeU32(target, writeU32(target, position, dev), key[1]), key[2]);
  },
  readKey(source: Uint8Array, start: number): IdentityKey {
    const dev = readU32(source, start);
    return [(dev >>> 20) * two32 + (dev & 0xf_ffff), readU32(source, start + 4), readU32(source, start + 8)];
  },
};

export const numberCodec = {
  encode(value: number): EncodedBytes {
    at = 0;
    v(value);
    return done();
  },
  decode(source: Uint8Array): number {
    from = source;
    at = 0;
    return readV();
  },
};

export type JournalValue =
  | { readonly type: 'inode'; readonly id: InodeId }
  | { readonly type: 'entry'; readonly parent: InodeId; readonly name: Name };

export const journalCodec = {
  encode(value: JournalValue): EncodedBytes {
    at = 0;
    if (value.type === 'inode') {
      scratch[at++] = 1;
      v(value.id);
    } else {
      scratch[at++] = 2;
      v(value.parent);
      at = writeBytes(scratch, at, value.name);
    }
    return done();
  },
  decode(source: Uint8Array): JournalValue {
    from = source;
    at = 1;
    if (byte(source, 0) === 1) return { type: 'inode', id: readV() };
    return { type: 'entry', parent: readV(), name: sliceBytes(source, at, source.length) as Name };
  },
};

/** One journal record as readers get it. */
export function journalRecord(seq: Seq, value: JournalValue): JournalRecord {
  return value.type === 'inode'
    ? { seq, type: 'inode', id: value.id }
    : { seq, type: 'entry', parent: value.parent, name: value.name };
}
