// A growable buffer that messages are written into. `finish` hands the bytes over without a copy.

import { FamError } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';

/** Below this a loop in JavaScript beats the call into Buffer's native latin1 writer (measured). */
const nativeStringBytes = 24;

/** Writes one message. Not reusable after `finish`. */
export class ByteWriter {
  #buffer: Buffer;
  #at = 0;

  /** @param expectedBytes what the message will about need: right or more, and contents are copied once. */
  constructor(expectedBytes = 256) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(16, expectedBytes));
  }

  u8(value: number): void {
    if (this.#at === this.#buffer.length) this.#grow(1);
    this.#buffer[this.#at++] = value;
  }

  u32(value: number): void {
    if (this.#at + 4 > this.#buffer.length) this.#grow(4);
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
  }

  /** LEB128: seven bits a byte, low ones first. 0 <= value <= 2^53 - 1, else an INTERNAL error. */
  varint(value: number): void {
    if (this.#at + 8 > this.#buffer.length) this.#grow(8);
    const buffer = this.#buffer;
    let at = this.#at;
    let rest = value;
    if (!(rest >= 0 && rest <= Number.MAX_SAFE_INTEGER) || rest % 1 !== 0) {
      throw new FamError('INTERNAL', `${value} cannot be sent as a number`);
    }
    while (rest > 0x7fffffff) {
      buffer[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      buffer[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buffer[at++] = rest;
    this.#at = at;
  }

  /** Signed, |value| < 2^52: zigzag (0, -1, 1, -2, ...) as a varint. */
  signed(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** Raw bytes, no length. */
  raw(bytes: Uint8Array): void {
    if (this.#at + bytes.length > this.#buffer.length) this.#grow(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** A length as varint, then the bytes. */
  bytes(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  /** A length as varint, then one byte for each unit of the byte string. */
  string(text: ByteString): void {
    const { length } = text;
    this.varint(length);
    if (this.#at + length > this.#buffer.length) this.#grow(length);
    if (length >= nativeStringBytes) {
      this.#buffer.write(text, this.#at, length, 'latin1');
    } else {
      const buffer = this.#buffer;
      const at = this.#at;
      for (let i = 0; i < length; i++) buffer[at + i] = text.charCodeAt(i);
    }
    this.#at += length;
  }

  /** The bytes written. The writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#at);
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + needed));
    larger.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = larger;
  }
}
