// Where log lines go: a descriptor, synchronously, so that a line is out before whatever comes next, also when that is the end of the
// process. A log that cannot be written never ends what is logged.

import { writeSync } from 'node:fs';
import { codeOf } from '../core/errors.ts';

/** How long a reader that is behind is left alone before it is tried again. */
const retryMs = 10;

const clock = new Int32Array(new SharedArrayBuffer(4));

export class LogOutput {
  readonly #fd: number;
  /** Only the beginning of the last line was written. */
  #isTorn = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Writes a line, with its newline. What a full disk or a reader that has gone does not take is lost; a reader that is
   * behind (stderr may be a non-blocking pipe) is waited for.
   */
  write(line: string): void {
    let bytes: Uint8Array = Buffer.from(this.#isTorn ? `\n${line}` : line);
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(writeSync(this.#fd, bytes));
        this.#isTorn = true;
      } catch (error) {
        if (codeOf(error) !== 'EAGAIN') return;
        Atomics.wait(clock, 0, 0, retryMs);
      }
    }
    this.#isTorn = false;
  }
}
