// Reads a message that a stranger may have made: each read checks its bounds and its value, nothing is
// allocated from a length that has not been compared with what is there.

import { FamError } from '../core/errors.ts';
import { asName, type ByteString, type Name } from '../core/name.ts';

/** Below this a loop in JavaScript beats the call into Buffer's native latin1 reader (measured). */
const nativeStringBytes = 12;

/** Reads one frame, from the byte after its type. Every failure is a FamError PROTOCOL with message name and offset. */
export class ByteReader {
  readonly #message: string;
  readonly #buffer: Buffer;
  #at = 1;

  /** @param message the message's name, for errors. */
  constructor(message: string, frame: Uint8Array) {
    this.#message = message;
    this.#buffer = Buffer.isBuffer(frame)
      ? frame
      : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  }

  /** Bytes not yet read. */
  get remaining(): number {
    return this.#buffer.length - this.#at;
  }

  u8(): number {
    const value = this.#buffer[this.#at];
    if (value === undefined) this.fail('is cut short');
    this.#at++;
    return value;
  }

  u32(): number {
    if (this.remaining < 4) this.fail('is cut short');
    const value = this.#buffer.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  /** 0 .. 2^53 - 1, in its one shortest form. */
  varint(): number {
    const buffer = this.#buffer;
    let at = this.#at;
    let byte = buffer[at++];
    if (byte === undefined) this.fail('is cut short');
    if (byte < 0x80) {
      this.#at = at;
      return byte;
    }
    let value = byte & 0x7f;
    let scale = 128;
    for (;;) {
      byte = buffer[at++];
      if (byte === undefined) this.fail('is cut short');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
      if (scale > 2 ** 49) this.fail('holds a number that is too long');
    }
    if (byte === 0 || value > Number.MAX_SAFE_INTEGER) this.fail('holds a number out of range');
    this.#at = at;
    return value;
  }

  /** A varint that must be 1 or more: an inode id. */
  id(): number {
    const value = this.varint();
    if (value === 0) this.fail('holds an id of 0');
    return value;
  }

  /** A varint that must not exceed `max`. */
  upTo(max: number, what: string): number {
    const value = this.varint();
    if (value > max) this.fail(`holds a ${what} of ${value}, more than ${max}`);
    return value;
  }

  signed(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** `length` bytes: a view of the frame, not a copy. */
  raw(length: number): Uint8Array {
    if (length > this.remaining) this.fail(`promises ${length} bytes and has ${this.remaining}`);
    const bytes = this.#buffer.subarray(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  bytes(maxBytes: number, what: string): Uint8Array {
    return this.raw(this.upTo(maxBytes, `${what} length`));
  }

  string(maxBytes: number, what: string): ByteString {
    const length = this.upTo(maxBytes, `${what} length`);
    if (length > this.remaining) this.fail(`promises ${length} bytes and has ${this.remaining}`);
    const start = this.#at;
    const end = start + length;
    this.#at = end;
    const buffer = this.#buffer;
    if (length >= nativeStringBytes) return buffer.toString('latin1', start, end);
    let text = '';
    for (let i = start; i < end; i++) text += String.fromCharCode(buffer[i] ?? 0);
    return text;
  }

  name(): Name {
    const name = asName(this.string(255, 'name'));
    if (name === undefined) this.fail('holds a name that no file can have');
    return name;
  }

  /** To be called last: nothing may follow. */
  end(): void {
    if (this.remaining !== 0) this.fail(`has ${this.remaining} bytes too many`);
  }

  /** Throws, naming message and offset. */
  fail(what: string): never {
    throw new FamError(
      'PROTOCOL',
      `${this.#message} message ${what} (at byte ${this.#at} of ${this.#buffer.length})`,
    );
  }
}
