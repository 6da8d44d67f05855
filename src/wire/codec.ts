// wire/: the messages of docs/protocol.md as bytes, and frames over a byte stream. Each binary message
// has its own file with its layout; this one is the door. Imports core/ only (besides msgpackr and zod).

import { FamError } from '../core/errors.ts';
import { decodeAck, encodeAck } from './ack.ts';
import { decodeBase, decodeBaseWanted, encodeBase, encodeBaseWanted } from './base.ts';
import { decodeBatch, encodeBatch } from './batch.ts';
import { decodeContents, encodeContents } from './contents.ts';
import {
  decodeAgain,
  decodeExtras,
  decodeFailed,
  decodeFailing,
  decodeHello,
  decodeKept,
  decodeProblems,
  decodeReconciled,
  decodeWelcome,
  encodeControl,
} from './control.ts';
import { decodeDigests, decodeDigestsWanted, encodeDigests, encodeDigestsWanted } from './digests.ts';
import { FrameType } from './frame-type.ts';
import { decodeListing, encodeListing } from './listing.ts';
import { maxFrameBytes, type ToAgent, type ToSource } from './messages.ts';
import { decodeStream, encodeStream } from './stream.ts';
import { decodeVersion, encodeVersion } from './version.ts';
import { decodeWants, encodeWants } from './wants.ts';

/**
 * The frame of a message: type byte and body, what `Link.send` takes.
 * @throws FamError INTERNAL when a value cannot be sent, or the frame would exceed maxFrameBytes.
 */
export function encode(message: ToAgent | ToSource): Uint8Array {
  const frame = encodeUnchecked(message);
  if (frame.length > maxFrameBytes) {
    throw new FamError('INTERNAL', `a ${message.type} message of ${frame.length} bytes exceeds a frame`);
  }
  return frame;
}

function encodeUnchecked(message: ToAgent | ToSource): Uint8Array {
  switch (message.type) {
    case 'batch':
      return encodeBatch(message);
    case 'listing':
      return encodeListing(message);
    case 'wants':
      return encodeWants(message);
    case 'contents':
      return encodeContents(message);
    case 'stream':
      return encodeStream(message);
    case 'version':
      return encodeVersion(message);
    case 'base-wanted':
      return encodeBaseWanted(message);
    case 'base':
      return encodeBase(message);
    case 'digests-wanted':
      return encodeDigestsWanted(message);
    case 'digests':
      return encodeDigests(message);
    case 'ack':
      return encodeAck(message);
    case 'hello':
    case 'welcome':
    case 'reconciled':
    case 'problems':
    case 'failed':
    case 'extras':
    case 'kept':
    case 'again':
    case 'failing':
      return encodeControl(FrameType[message.type], message);
    case 'alive':
    case 'bye':
    case 'checkpoint':
      return Uint8Array.of(FrameType[message.type]);
  }
}

/**
 * What a source sent. Contents and xattr values are views of the frame, which must not change.
 * @throws FamError PROTOCOL, whatever the bytes are.
 */
export function decodeToAgent(frame: Uint8Array): ToAgent {
  switch (checked(frame)) {
    case FrameType.welcome:
      return decodeWelcome(frame);
    case FrameType.batch:
      return decodeBatch(frame);
    case FrameType.listing:
      return decodeListing(frame);
    case FrameType.contents:
      return decodeContents(frame);
    case FrameType.reconciled:
      return decodeReconciled(frame);
    case FrameType.stream:
      return decodeStream(frame);
    case FrameType.version:
      return decodeVersion(frame);
    case FrameType['base-wanted']:
      return decodeBaseWanted(frame);
    case FrameType['digests-wanted']:
      return decodeDigestsWanted(frame);
    case FrameType.bye:
      return bare('bye', frame);
    case FrameType.checkpoint:
      return bare('checkpoint', frame);
    default:
      return unknown('agent', frame);
  }
}

/**
 * What an agent sent.
 * @throws FamError PROTOCOL, whatever the bytes are.
 */
export function decodeToSource(frame: Uint8Array): ToSource {
  switch (checked(frame)) {
    case FrameType.hello:
      return decodeHello(frame);
    case FrameType.wants:
      return decodeWants(frame);
    case FrameType.ack:
      return decodeAck(frame);
    case FrameType.base:
      return decodeBase(frame);
    case FrameType.digests:
      return decodeDigests(frame);
    case FrameType.problems:
      return decodeProblems(frame);
    case FrameType.failed:
      return decodeFailed(frame);
    case FrameType.extras:
      return decodeExtras(frame);
    case FrameType.kept:
      return decodeKept(frame);
    case FrameType.again:
      return decodeAgain(frame);
    case FrameType.failing:
      return decodeFailing(frame);
    case FrameType.alive:
      return bare('alive', frame);
    default:
      return unknown('source', frame);
  }
}

function checked(frame: Uint8Array): number | undefined {
  if (frame.length > maxFrameBytes) {
    throw new FamError('PROTOCOL', `a frame of ${frame.length} bytes exceeds the limit of ${maxFrameBytes}`);
  }
  return frame[0];
}

function bare<T extends string>(type: T, frame: Uint8Array): { readonly type: T } {
  if (frame.length !== 1) {
    throw new FamError('PROTOCOL', `${type} message has ${frame.length - 1} bytes too many (at byte 1)`);
  }
  return { type };
}

function unknown(receiver: string, frame: Uint8Array): never {
  const type = frame.length === 0 ? 'none' : String(frame[0]);
  throw new FamError(
    'PROTOCOL',
    `no message for the ${receiver} has type ${type} (frame of ${frame.length} bytes)`,
  );
}
