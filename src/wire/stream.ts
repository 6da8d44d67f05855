// stream (8), source -> agent: a piece of a large content.

import { FamError } from '../core/errors.ts';
import { ByteReader } from './byte-reader.ts';
import { FrameType } from './frame-type.ts';
import { maxFrameBytes, type StreamPiece } from './messages.ts';

// u8      8
// u8      flags: 1 last, 2 a hole, 4 a copy of the base at the same offset (their length follows instead of bytes)
// u64     id, contentSeq, offset, total     (big-endian, at most 2^53 - 1)
// then    the piece's bytes up to the end of the frame; or u64, the length of hole or copy
//
// The head has a fixed size so that whoever reads the file can leave room for it: content read into
// `room.subarray(streamHeadBytes)` becomes a frame without a copy.

/** Bytes before the content of a piece. */
export const streamHeadBytes = 34;

const flagLast = 1;
const flagHole = 2;
const flagCopy = 4;

/** What a piece says besides its bytes. */
export type StreamHead = Pick<StreamPiece, 'id' | 'contentSeq' | 'offset' | 'total' | 'last'>;

export function encodeStream(piece: StreamPiece): Uint8Array {
  if (piece.hole > 0 || piece.copy > 0) {
    const frame = Buffer.allocUnsafeSlow(streamHeadBytes + 8);
    writeHead(frame, piece, piece.hole > 0 ? flagHole : flagCopy);
    writeU64(frame, streamHeadBytes, piece.hole > 0 ? piece.hole : piece.copy);
    return frame;
  }
  if (piece.room !== undefined) return encodeStreamInPlace(piece.room, piece);
  const frame = Buffer.allocUnsafeSlow(streamHeadBytes + piece.bytes.length);
  frame.set(piece.bytes, streamHeadBytes);
  writeHead(frame, piece, 0);
  return frame;
}

/**
 * Makes a frame of `room`, which holds `streamHeadBytes` free bytes and then the content: the head is written
 * there, and `room` itself is the frame (at most maxFrameBytes; it must not change until it has been sent).
 */
function encodeStreamInPlace(room: Buffer, head: StreamHead): Uint8Array {
  if (room.length < streamHeadBytes || room.length > maxFrameBytes) {
    throw new FamError('INTERNAL', `a stream piece cannot be made of ${room.length} bytes`);
  }
  writeHead(room, head, 0);
  return room;
}

export function decodeStream(frame: Uint8Array): StreamPiece {
  const from = new ByteReader('stream', frame);
  const flags = from.u8();
  const kind = flags & ~flagLast;
  if (kind !== 0 && kind !== flagHole && kind !== flagCopy) from.fail(`has unknown flags ${flags}`);
  const id = readU64(from);
  if (id === 0) from.fail('holds an id of 0');
  const contentSeq = readU64(from);
  const offset = readU64(from);
  const total = readU64(from);
  const length = kind === 0 ? 0 : readU64(from);
  if (kind !== 0 && length === 0) from.fail('holds an empty hole or copy');
  const bytes = from.raw(kind === 0 ? from.remaining : 0);
  from.end();
  if (offset + length + bytes.length > total) from.fail(`goes past the end of its content of ${total} bytes`);
  const last = (flags & flagLast) !== 0;
  const hole = kind === flagHole ? length : 0;
  const copy = kind === flagCopy ? length : 0;
  return { type: 'stream', id, contentSeq, offset, total, last, hole, copy, bytes };
}

function writeHead(frame: Buffer, head: StreamHead, flags: number): void {
  frame[0] = FrameType.stream;
  frame[1] = flags | (head.last ? flagLast : 0);
  writeU64(frame, 2, head.id);
  writeU64(frame, 10, head.contentSeq);
  writeU64(frame, 18, head.offset);
  writeU64(frame, 26, head.total);
}

function writeU64(to: Buffer, at: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new FamError('INTERNAL', `${value} cannot be sent as a number`);
  }
  to.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  to.writeUInt32BE(value % 2 ** 32, at + 4);
}

function readU64(from: ByteReader): number {
  const value = from.u32() * 2 ** 32 + from.u32();
  if (value > Number.MAX_SAFE_INTEGER) from.fail('holds a number out of range');
  return value;
}
