// The source's frames, for a thread that waits in poll and reads when its descriptor is ready.

import { EAGAIN, read } from '../kernel/sys.ts';
import { FrameDecoder } from '../wire/framing.ts';

/** What is read at once at most: about as much as a source sends before it looks for an answer. */
const readBytes = 256 * 1024;
/** What is read to see which frame follows a large one: what comes behind that is read to where it stays. */
const peekBytes = 8 * 1024;
/** A piece of memory with less room than this is left to the frames in it. */
const leastRoomBytes = 64 * 1024;

/** The descriptor stays the caller's; nobody else may read it. */
export class FrameInput {
  readonly fd: number;
  readonly #decoder = new FrameDecoder();
  // Frames are views of it, and some are kept: what has been read into is never read into again.
  #memory = Buffer.allocUnsafeSlow(readBytes);
  #filled = 0;
  /** The last frame was a large one, and they come in rows. */
  #isBulk = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Takes what has come, without waiting if it is ready, and calls `onFrame` for each frame that is complete.
   * @returns false when nothing more comes: the other side has closed, or the connection broke
   * @throws FamError PROTOCOL
   */
  take(onFrame: (frame: Uint8Array) => void): boolean {
    const room = this.#decoder.room();
    if (room !== undefined)
      return this.#took(read(this.fd, room, 0), (length) => {
        this.#isBulk = true;
        this.#decoder.filled(length, onFrame);
      });
    if (readBytes - this.#filled < leastRoomBytes) {
      this.#memory = Buffer.allocUnsafeSlow(readBytes);
      this.#filled = 0;
    }
    const end = this.#isBulk ? this.#filled + peekBytes : readBytes;
    this.#isBulk = false;
    const memory = this.#memory.subarray(this.#filled, end);
    return this.#took(read(this.fd, memory, 0), (length) => {
      this.#filled += length;
      this.#decoder.push(memory.subarray(0, length), onFrame);
    });
  }

  /** As `FrameDecoder.recycle`. */
  recycle(): void {
    this.#decoder.recycle();
  }

  #took(length: number, use: (length: number) => void): boolean {
    if (length > 0) use(length);
    return length > 0 || length === -EAGAIN;
  }
}
