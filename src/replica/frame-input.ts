// The source's frames, for a thread that waits in poll and reads when its descriptor is ready.

import { EAGAIN, read } from '../kernel/sys.ts';
import { FrameDecoder } from '../wire/framing.ts';

/** What is read at once at most: about as much as a source sends before it looks for an answer. */
const readBytes = 256 * 1024;
/** A piece of memory with less room than this is left to the frames in it. */
const leastRoomBytes = 64 * 1024;

/** The descriptor stays the caller's; nobody else may read it. */
export class FrameInput {
  readonly fd: number;
  readonly #decoder = new FrameDecoder();
  // Frames are views of it, and some are kept: what has been read into is never read into again.
  #memory = Buffer.allocUnsafeSlow(readBytes);
  #filled = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Takes what has come, without waiting if it is ready, and calls `onFrame` for each frame that is complete.
   * @returns false when nothing more comes: the other side has closed, or the connection broke
   * @throws FamError PROTOCOL
   */
  take(onFrame: (frame: Uint8Array) => void): boolean {
    if (readBytes - this.#filled < leastRoomBytes) {
      this.#memory = Buffer.allocUnsafeSlow(readBytes);
      this.#filled = 0;
    }
    const length = read(this.fd, this.#memory, this.#filled);
    if (length === -EAGAIN) return true;
    if (length <= 0) return false;
    const chunk = this.#memory.subarray(this.#filled, this.#filled + length);
    this.#filled += length;
    this.#decoder.push(chunk, onFrame);
    return true;
  }
}
