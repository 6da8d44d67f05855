// Frames over a byte stream: u32 length (big-endian, of what follows), then the frame. The agent's
// side of the stream starts with a magic, so that what a login shell prints before it does no harm.

import { FamError } from '../core/errors.ts';
import { maxFrameBytes } from './messages.ts';

export const frameHeadBytes = 4;

/** More than any greeting; what comes later than this is no agent of ours. */
export const maxNoiseBytes = 64 * 1024;

/** The length prefix of a frame. */
export function frameHead(length: number): Uint8Array {
  return Uint8Array.of(length >>> 24, length >>> 16, length >>> 8, length);
}

/**
 * Cuts a byte stream into frames. Each byte is copied at most once, whatever the chunks: a frame that lies
 * inside one chunk is a view of it, any other is gathered in a buffer of its own that grows with what has arrived
 * (so that a length prefix alone allocates nothing).
 */
export class FrameDecoder {
  readonly #head = new Uint8Array(frameHeadBytes);
  #headFilled = 0;
  /** The frame being gathered: its length, where its bytes go, how many are there. */
  #length = 0;
  #body: Buffer | undefined;
  #filled = 0;
  /** What the last frame was gathered in, and what the next one may be. */
  #lent: Buffer | undefined;
  #spare: Buffer | undefined;

  /** True between frames: a stream that ends now was not cut inside one. */
  get atBoundary(): boolean {
    return this.#headFilled === 0 && this.#body === undefined;
  }

  /**
   * Takes the next bytes and calls `onFrame` for each frame that they complete.
   * @throws FamError PROTOCOL when a length prefix exceeds maxFrameBytes.
   */
  push(chunk: Uint8Array, onFrame: (frame: Uint8Array) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#body !== undefined) {
        at += this.#gather(chunk, at);
        if (this.#filled === this.#length) onFrame(this.#takeBody());
        continue;
      }
      if (this.#headFilled === 0 && chunk.length - at >= frameHeadBytes) {
        this.#length = checkedLength(chunk, at);
        at += frameHeadBytes;
      } else {
        this.#head[this.#headFilled++] = chunk[at++] ?? 0;
        if (this.#headFilled < frameHeadBytes) continue;
        this.#headFilled = 0;
        this.#length = checkedLength(this.#head, 0);
      }
      const end = at + this.#length;
      if (end <= chunk.length) {
        const frame = chunk.subarray(at, end);
        at = end;
        this.#lent = undefined;
        onFrame(frame);
      } else {
        this.#filled = 0;
        this.#body = this.#newBody();
      }
    }
  }

  /** Inside a frame that is being gathered: where the next bytes of the stream belong, for whoever reads them there; then `filled`. */
  room(): Uint8Array | undefined {
    if (this.#body === undefined) return undefined;
    const body = this.#withRoomFor(1);
    return body.subarray(this.#filled, Math.min(this.#length, body.length));
  }

  /** So many bytes, at least one, were read into `room`. */
  filled(length: number, onFrame: (frame: Uint8Array) => void): void {
    this.#filled += length;
    if (this.#filled === this.#length) onFrame(this.#takeBody());
  }

  /** The frame that was handed out last is not looked at any more: the next one may be gathered in its memory. */
  recycle(): void {
    this.#spare = this.#lent ?? this.#spare;
    this.#lent = undefined;
  }

  #gather(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#length - this.#filled, chunk.length - at);
    const body = this.#withRoomFor(taken);
    body.set(at === 0 && taken === chunk.length ? chunk : chunk.subarray(at, at + taken), this.#filled);
    this.#filled += taken;
    return taken;
  }

  #withRoomFor(bytes: number): Buffer {
    const body = this.#body ?? nothing;
    if (this.#filled + bytes <= body.length) return body;
    const larger = Buffer.allocUnsafeSlow(
      Math.min(this.#length, Math.max(4 * body.length, this.#filled + bytes)),
    );
    larger.set(body.subarray(0, this.#filled));
    this.#body = larger;
    return larger;
  }

  #newBody(): Buffer {
    const bytes = Math.min(this.#length, firstBodyBytes);
    const spare = this.#spare;
    if (spare === undefined || spare.length < bytes) return Buffer.allocUnsafeSlow(bytes);
    this.#spare = undefined;
    return spare;
  }

  #takeBody(): Buffer {
    const body = this.#body ?? nothing;
    this.#body = undefined;
    this.#lent = body;
    return body.length === this.#length ? body : body.subarray(0, this.#length);
  }
}

const nothing = Buffer.alloc(0);

/** First buffer of a gathered frame: a stream piece fits, a lie costs little. */
const firstBodyBytes = 512 * 1024;

function checkedLength(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  const length = high * 65_536 + (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
  if (length > maxFrameBytes) {
    throw new FamError(
      'PROTOCOL',
      `the peer announces a frame of ${length} bytes, more than ${maxFrameBytes}`,
    );
  }
  return length;
}

/** A marker in a byte stream: which one it was, and the bytes after it. */
export interface Found {
  readonly word: string;
  readonly rest: Uint8Array;
}

/** A marker is NUL, `FAM`, a word of two characters, CR LF. */
const markerBytes = 8;
const lead = '\0FAM';

/** A marker of the family that `magic` belongs to; the word is `v1` there. */
export function marker(word: string): Uint8Array {
  return Buffer.from(`${lead}${word}\r\n`, 'latin1');
}

/** What the agent writes before its first frame. The NUL keeps it out of any text that a shell prints. */
export const magic = marker('v1');

/** Finds the next marker in a byte stream and keeps what came before it. */
export class MarkerFinder {
  readonly #noise: Uint8Array[] = [];
  #noiseBytes = 0;
  /** The last bytes that may be the beginning of a marker. */
  #tail = '';

  /** What has come besides markers so far, for people. */
  get noise(): string {
    return Buffer.concat(this.#noise).toString('utf8');
  }

  /**
   * Takes the next bytes; undefined when they hold no whole marker.
   * @throws FamError PROTOCOL when none has come within maxNoiseBytes.
   */
  push(chunk: Uint8Array): Found | undefined {
    // No marker holds a second NUL, so the tail that may begin one starts at the last NUL.
    const bytes = Buffer.concat([Buffer.from(this.#tail, 'latin1'), chunk]);
    let from = 0;
    for (;;) {
      const at = bytes.indexOf(0, from);
      const whole = at >= 0 && at + markerBytes <= bytes.length;
      if (at < 0 || !whole) {
        const keep = at < 0 ? bytes.length : at;
        this.#tail = bytes.toString('latin1', keep);
        this.#keepNoise(bytes.subarray(0, keep));
        return undefined;
      }
      const text = bytes.toString('latin1', at, at + markerBytes);
      if (text.startsWith(lead) && text.endsWith('\r\n')) {
        this.#keepNoise(bytes.subarray(0, at));
        this.#tail = '';
        return { word: text.slice(lead.length, lead.length + 2), rest: bytes.subarray(at + markerBytes) };
      }
      from = at + 1;
    }
  }

  #keepNoise(bytes: Uint8Array): void {
    this.#noise.push(bytes);
    this.#noiseBytes += bytes.length;
    if (this.#noiseBytes > maxNoiseBytes) {
      throw new FamError('PROTOCOL', 'what answers there does not speak the protocol of fam');
    }
  }
}
