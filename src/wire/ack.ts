// ack (9), agent -> source: how far the replica is.

import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { FrameType } from './frame-type.ts';
import type { Ack } from './messages.ts';

// u8      9
// u8      flags: 1 reconciled
// varint  applied, durable, files, bytes, consumed

export function encodeAck(ack: Ack): Uint8Array {
  const to = new ByteWriter(48);
  to.u8(FrameType.ack);
  to.u8(ack.reconciled ? 1 : 0);
  to.varint(ack.applied);
  to.varint(ack.durable);
  to.varint(ack.files);
  to.varint(ack.bytes);
  to.varint(ack.consumed);
  return to.finish();
}

export function decodeAck(frame: Uint8Array): Ack {
  const from = new ByteReader('ack', frame);
  const flags = from.u8();
  if (flags > 1) from.fail(`has unknown flags ${flags}`);
  const ack: Ack = {
    type: 'ack',
    applied: from.varint(),
    durable: from.varint(),
    files: from.varint(),
    bytes: from.varint(),
    consumed: from.varint(),
    reconciled: flags === 1,
  };
  from.end();
  return ack;
}
