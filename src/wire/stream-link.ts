// A link over a pair of byte streams: the pipes of an agent, a pipe in memory.

import type { Readable, Writable } from 'node:stream';
import { FamError } from '../core/errors.ts';
import { FrameOutput } from './frame-output.ts';
import { FrameDecoder } from './framing.ts';
import type { Link, LinkEnd } from './link.ts';

/** A peer that does not close its side within this time after we have closed ours is cut off. */
const closeGraceMs = 10_000;

/** A peer that takes nothing more may have said why before: this long we wait for the end of what it said. */
const lastWordsMs = 2_000;

export interface StreamLinkOptions {
  readonly input: Readable;
  readonly output: Writable;
  /** Bytes of `input` that were read before the link was made. */
  readonly received?: Uint8Array;
}

/** The streams belong to the link: it destroys them. Reading starts one turn of the event loop after construction. */
export class StreamLink implements Link {
  onFrame: (frame: Uint8Array) => void = () => {};
  readonly ended: Promise<LinkEnd>;

  readonly #input: Readable;
  readonly #output: FrameOutput;
  readonly #decoder = new FrameDecoder();
  #settle: (end: LinkEnd) => void = () => {};
  #received = 0;
  #paused = false;
  /** Closed by our side; `finished`: both directions are done with. */
  #closing = false;
  #finished = false;
  #outputError: Error | undefined;
  /** What has come before the first turn; undefined after it. */
  #early: Uint8Array[] | undefined;
  #grace: NodeJS.Timeout | undefined;

  constructor(options: StreamLinkOptions) {
    this.#input = options.input;
    this.#output = new FrameOutput(options.output);
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    options.output.on('error', (error) => this.#outputFailed(error));
    this.#input.on('error', (error) => this.#finish(error));
    this.#input.on('close', () => this.#inputEnded());
    this.#input.on('end', () => this.#inputEnded());
    this.#early = options.received === undefined ? [] : [options.received];
    // RACE: a child that exits now has its output resumed by Node: what nobody listens to is lost. So we listen from here on, and keep
    // what comes until whoever takes the link has had a turn to say where frames go.
    this.#input.on('data', (chunk: Uint8Array) => this.#take(chunk));
    this.#input.pause();
    setImmediate(() => this.#start());
  }

  get buffered(): number {
    return this.#output.buffered;
  }

  get sentBytes(): number {
    return this.#output.sentBytes;
  }

  get receivedBytes(): number {
    return this.#received;
  }

  send(frame: Uint8Array, written?: () => void): boolean {
    if (this.#closing || this.#finished) return false;
    return this.#output.send(frame, written);
  }

  drained(): Promise<void> {
    return this.#finished ? Promise.resolve() : this.#output.drained();
  }

  pause(): void {
    this.#paused = true;
    this.#input.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#input.resume();
  }

  close(graceful: boolean): void {
    if (this.#finished) return;
    const first = !this.#closing;
    this.#closing = true;
    if (!graceful) this.#finish(undefined, true);
    if (!graceful || !first) return;
    this.#output.end();
    this.#grace = setTimeout(() => this.#finish(undefined), closeGraceMs);
    this.#grace.unref();
  }

  #start(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const chunk of early) if (!this.#finished) this.#take(chunk);
    if (this.#finished) return;
    if (!this.#paused) this.#input.resume();
    // What ended before now says so only by its state.
    if (this.#input.destroyed || this.#input.readableEnded) this.#inputEnded();
  }

  #take(chunk: Uint8Array): void {
    if (this.#early !== undefined) {
      this.#early.push(chunk);
      return;
    }
    this.#received += chunk.length;
    try {
      this.#decoder.push(chunk, (frame) => {
        if (!this.#finished) this.onFrame(frame);
      });
    } catch (error) {
      this.#finish(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #inputEnded(): void {
    if (this.#finished || this.#early !== undefined) return;
    if (this.#decoder.atBoundary) this.#finish(this.#outputError);
    else
      this.#finish(
        new FamError('HOST_UNREACHABLE', 'the connection broke inside a frame', { retryable: true }),
      );
  }

  #outputFailed(error: Error): void {
    if (this.#finished || this.#outputError !== undefined) return;
    this.#outputError = error;
    clearTimeout(this.#grace);
    this.#grace = setTimeout(() => this.#finish(error), lastWordsMs);
  }

  #finish(error: Error | undefined, abrupt = error !== undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    clearTimeout(this.#grace);
    void this.#end(this.#closing ? undefined : error, abrupt);
  }

  async #end(seen: Error | undefined, abrupt: boolean): Promise<void> {
    this.#input.destroy();
    if (abrupt) this.#output.destroy();
    // A peer that has closed its side may still read: what we sent before goes out, and our end tells that we saw its own.
    else await this.#output.flush(lastWordsMs);
    this.#settle({ error: seen });
  }
}
