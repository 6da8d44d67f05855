// A reader as the campaign holds it.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export type ToReader = { readonly type: 'watch' | 'rest' };

export interface Violation {
  readonly type: 'violation';
  /** Below `always`. */
  readonly name: string;
  readonly what: string;
  /** Date.now() */
  readonly at: number;
}

export type FromReader = Violation | { readonly type: 'resting'; readonly reads: number };

/** More of one reader tell nothing new. */
const maxKept = 20;

export class Reader {
  readonly violations: Violation[] = [];
  readonly #process: ChildProcess;
  #resting: (reads: number) => void = () => {};

  constructor(replica: string, versions: string) {
    const main = fileURLToPath(new URL('reader-main.js', import.meta.url));
    this.#process = fork(main, [replica, versions], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#process.on('message', (message: FromReader) => {
      if (message.type === 'resting') this.#resting(message.reads);
      else if (this.violations.length < maxKept) this.violations.push(message);
    });
  }

  watch(): void {
    this.#process.send({ type: 'watch' } satisfies ToReader);
  }

  /** Returns when it reads nothing any more: how many files it has read so far. */
  async rest(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#resting = resolve;
      this.#process.once('exit', (code) => reject(new Error(`a reader ended with ${code}`)));
      this.#process.send({ type: 'rest' } satisfies ToReader);
    });
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exit;
  }
}
