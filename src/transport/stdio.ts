// The agent's end of a link: its own stdin and stdout.

import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { FamError } from '../core/errors.ts';
import { FrameOutput } from '../wire/frame-output.ts';
import { magic } from '../wire/framing.ts';

/** A source that takes nothing more is not waited for longer than this. */
const closeGraceMs = 10_000;

/**
 * Descriptors 0 and 1. Nothing else may read or write them: `process.stdin` and `process.stdout` (console.log) must not be
 * touched. They are not used here because a pipe behind `process.stdout` is written synchronously: a source that does not
 * read would stop the whole agent.
 */
export class StdioLink {
  /** Nobody reads it yet: a thread may, on its own. Its end is the end of the link. */
  readonly inputFd = 0;
  /** Settles when nothing that is sent arrives any more. Never rejects. */
  readonly broken: Promise<void>;
  readonly #output: FrameOutput;

  /**
   * Writes the magic.
   * @throws FamError USAGE when they are not pipes or sockets (somebody typed the command)
   */
  constructor() {
    const stream = outputStream();
    this.broken = new Promise((resolve) => {
      stream.on('error', () => resolve());
    });
    stream.write(magic);
    this.#output = new FrameOutput(stream);
  }

  /** False: the source is not keeping up. */
  send(frame: Uint8Array): boolean {
    return this.#output.send(frame);
  }

  drained(): Promise<void> {
    return this.#output.drained();
  }

  /** Resolves when what was sent is out, or cannot get out. The source sees the end of the link when this process has ended. */
  close(): Promise<void> {
    return this.#output.flush(closeGraceMs);
  }
}

function outputStream(): Socket {
  try {
    const input = fstatSync(0);
    if (!input.isFIFO() && !input.isSocket()) throw new Error('stdin is neither a pipe nor a socket');
    return new Socket({ fd: 1, readable: false, writable: true });
  } catch (cause) {
    throw new FamError('USAGE', 'fam agent talks to fam mirror over pipes: it is not started by hand', {
      cause,
    });
  }
}
