// Frames onto a byte stream, in order, as fast as the other side takes them.

import type { Writable } from 'node:stream';
import { frameHead, frameHeadBytes } from './framing.ts';

/** Above this many bytes not yet taken by the system `send` says stop; below the low mark `drained` resolves. */
const highWaterBytes = 1024 * 1024;
const lowWaterBytes = 256 * 1024;

/** Frames up to this size are copied behind their length: one buffer is cheaper to write than two. A page with what is said of it. */
const joinedFrameBytes = 16 * 1024;

/** One thread's. The stream belongs to it: `flush` or `destroy` ends it. Its errors are for whoever listens to the stream. */
export class FrameOutput {
  readonly #stream: Writable;
  #sent = 0;
  #corked = false;
  #waiting: (() => void)[] = [];
  readonly #wrote = () => this.#wake();

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  /** Bytes handed over and not yet taken by the operating system. */
  get buffered(): number {
    return this.#stream.writableLength;
  }

  /** Lengths included. */
  get sentBytes(): number {
    return this.#sent;
  }

  /**
   * Never blocks; false: the peer is not keeping up, wait for `drained`.
   * @param written as in `Link.send`
   */
  send(frame: Uint8Array, written?: () => void): boolean {
    this.#sent += frameHeadBytes + frame.length;
    this.#cork();
    const head = frameHead(frame.length);
    if (frame.length <= joinedFrameBytes) {
      const joined = Buffer.allocUnsafe(frameHeadBytes + frame.length);
      joined.set(head);
      joined.set(frame, frameHeadBytes);
      this.#stream.write(joined, this.#wrote);
      written?.();
    } else {
      this.#stream.write(head);
      this.#stream.write(frame, () => {
        this.#wake();
        written?.();
      });
    }
    return this.#stream.writableLength < highWaterBytes;
  }

  /** Resolves when little enough is buffered again, or the stream has ended. */
  drained(): Promise<void> {
    if (this.#stream.destroyed || this.#stream.writableLength <= lowWaterBytes) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** What was sent goes out, then the stream ends: resolves then, or when that fails, or when the time is over. */
  flush(limitMs: number): Promise<void> {
    const stream = this.#stream;
    this.end();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(late);
        this.destroy();
        resolve();
      };
      const late = setTimeout(done, limitMs);
      if (stream.destroyed || stream.writableFinished) done();
      else for (const event of ['finish', 'error', 'close']) stream.once(event, done);
    });
  }

  /** The peer sees the end behind what was sent. */
  end(): void {
    if (!this.#stream.writableEnded) this.#stream.end();
  }

  destroy(): void {
    this.#stream.destroy();
    this.#wake();
  }

  /** Everything sent in this turn leaves in one system call. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#stream.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#stream.uncork();
    });
  }

  #wake(): void {
    if (this.#waiting.length === 0) return;
    if (!this.#stream.destroyed && this.#stream.writableLength > lowWaterBytes) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
