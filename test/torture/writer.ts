// A writer as the campaign holds it: a child process, confined to the world.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Operation } from './operation.ts';

export type ToWriter =
  | { readonly type: 'operations'; readonly operations: readonly Operation[] }
  | { readonly type: 'begin' }
  | { readonly type: 'publish' }
  | { readonly type: 'stop' };

export type FromWriter =
  | { readonly type: 'ready' }
  /** `errors`: how often each error was met. */
  | { readonly type: 'done'; readonly performed: number; readonly errors: Readonly<Record<string, number>> };

export interface WriterSetup {
  /** The folder that it is confined to: holds `tree` and `staging`. */
  readonly world: string;
  readonly uid: number;
  readonly mode: 'operations' | 'publisher';
  readonly seed: number;
  /** The file in which the publisher tells its newest versions. */
  readonly versions: string;
  /** See `perform`. */
  readonly outerNames: boolean;
}

export class Writer {
  readonly #process: ChildProcess;
  readonly #answers: FromWriter[] = [];
  #wake: () => void = () => {};

  private constructor(process: ChildProcess) {
    this.#process = process;
    process.on('message', (message: FromWriter) => {
      this.#answers.push(message);
      this.#wake();
    });
    process.on('exit', () => this.#wake());
  }

  static async start(setup: WriterSetup): Promise<Writer> {
    const { world, uid, mode, seed, versions, outerNames } = setup;
    const args = [world, String(uid), mode, String(seed), versions, String(outerNames)];
    const main = fileURLToPath(new URL('writer-main.js', import.meta.url));
    const writer = new Writer(fork(main, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }));
    await writer.#answer();
    return writer;
  }

  /** Performs a list; what failed, by error. */
  async perform(operations: readonly Operation[]): Promise<Readonly<Record<string, number>>> {
    this.#say({ type: 'operations', operations });
    const answer = await this.#answer();
    return answer.type === 'done' ? answer.errors : {};
  }

  /** Publisher: makes the first versions. */
  async begin(): Promise<void> {
    this.#say({ type: 'begin' });
    await this.#answer();
  }
  publish(): void {
    this.#say({ type: 'publish' });
  }
  /** Publisher: ends after the step that it is at; returns how many there were. */
  async stopPublishing(): Promise<number> {
    this.#say({ type: 'stop' });
    const answer = await this.#answer();
    return answer.type === 'done' ? answer.performed : 0;
  }

  /** Until `goOn`, wherever it is. */
  freeze(): void {
    this.#process.kill('SIGSTOP');
  }
  goOn(): void {
    this.#process.kill('SIGCONT');
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exit;
  }

  #say(message: ToWriter): void {
    this.#process.send(message);
  }

  async #answer(): Promise<FromWriter> {
    for (;;) {
      const answer = this.#answers.shift();
      if (answer !== undefined) return answer;
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) {
        throw new Error(`a writer ended with ${this.#process.exitCode ?? this.#process.signalCode}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
