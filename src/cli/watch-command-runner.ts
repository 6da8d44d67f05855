// Runs `--exec 'CMD'` for changes: one at a time; what changes meanwhile waits for the next run.

import { type ChildProcess, spawn } from 'node:child_process';
import type { WatchEvent } from '../watch/event.ts';

/** Changes that come within this time of the first one are one batch. */
const gatherMs = 50;
/** How long a command that is to be restarted may take to end before it is killed. */
const endGraceMs = 5000;

export interface RunnerOptions {
  readonly command: string;
  /** The command runs all the time; a change ends it and starts it again. */
  readonly restart: boolean;
  /** It ended with another code than 0 by itself. */
  readonly onFailure?: (code: number) => void;
}

/**
 * A command that mentions FAM_PATH runs once for each changed name, which `$FAM_PATH` holds. Any other runs once for all
 * that has changed, with the names on its standard input, each ended by a newline.
 */
export class CommandRunner {
  readonly #command: string;
  readonly #restart: boolean;
  readonly #isPerName: boolean;
  readonly #onFailure: (code: number) => void;
  /** Changed names as byte strings, each with its last event. */
  #waiting = new Map<string, WatchEvent>();
  #running: Promise<number> | undefined;
  /** Runs for what waits, one after the other. */
  #draining: Promise<void> | undefined;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  /** Its end is our doing. */
  #isEnding = false;
  #lastExit = 0;

  constructor({ command, restart, onFailure }: RunnerOptions) {
    this.#command = command;
    this.#restart = restart;
    this.#onFailure = onFailure ?? (() => {});
    this.#isPerName = !restart && command.includes('FAM_PATH');
    if (restart) this.#running = this.#run([]);
  }

  changed(event: WatchEvent): void {
    const key = bytesOf(event).toString('latin1');
    // The last one comes last.
    this.#waiting.delete(key);
    this.#waiting.set(key, event);
    if (this.#restart || this.#draining === undefined) {
      this.#timer ??= setTimeout(() => this.#start(), this.#isPerName ? 0 : gatherMs);
    }
  }

  #start(): void {
    this.#timer = undefined;
    if (this.#isStopped) return;
    if (this.#restart) void this.#startAgain();
    else void this.#drained();
  }

  async #startAgain(): Promise<void> {
    const events = this.#take(Infinity);
    await this.#endChild();
    if (!this.#isStopped) this.#running = this.#run(events);
  }

  #drained(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.size > 0 && !this.#isStopped) {
      this.#running = this.#run(this.#take(this.#isPerName ? 1 : Infinity));
      await this.#running;
      this.#running = undefined;
    }
    this.#draining = undefined;
  }

  #take(max: number): WatchEvent[] {
    const taken: WatchEvent[] = [];
    for (const [key, event] of this.#waiting) {
      if (taken.length >= max) break;
      this.#waiting.delete(key);
      taken.push(event);
    }
    return taken;
  }

  #run(events: readonly WatchEvent[]): Promise<number> {
    const last = events.at(-1);
    const child = spawn('/bin/sh', shellArguments(this.#command, last), {
      // A group of its own, so that all of it can be ended.
      detached: true,
      stdio: [this.#restart ? 'ignore' : 'pipe', 'inherit', 'inherit'],
      env: { ...process.env, ...(last === undefined ? {} : { FAM_EVENT: last.type, FAM_PATH: last.path }) },
    });
    this.#child = child;
    // The command need not read what it is given.
    child.stdin?.on('error', () => {});
    for (const event of events) child.stdin?.write(Buffer.concat([bytesOf(event), Buffer.from('\n')]));
    child.stdin?.end();
    return new Promise((resolve) => {
      child.once('error', () => resolve(127));
      child.once('close', (code, signal) => resolve(signal === null ? (code ?? 0) : 128));
    }).then((code) => {
      if (this.#child === child) this.#child = undefined;
      this.#lastExit = Number(code);
      if (this.#lastExit !== 0 && !this.#isEnding) this.#onFailure(this.#lastExit);
      return this.#lastExit;
    });
  }

  async #endChild(): Promise<void> {
    const { pid } = this.#child ?? {};
    if (pid === undefined) return;
    this.#isEnding = true;
    signalGroup(pid, 'SIGTERM');
    const timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), endGraceMs);
    await this.#running;
    this.#isEnding = false;
    clearTimeout(timer);
  }

  /** Waits until nothing waits or runs; the exit code of the last command. */
  async idle(): Promise<number> {
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    await this.#running;
    await this.#drained();
    return this.#lastExit;
  }

  /** Ends what runs. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#endChild();
  }
}

function bytesOf(event: WatchEvent): Buffer {
  return Buffer.from(event.pathBytes ?? Buffer.from(event.path, 'utf8'));
}

/** Node.js passes text to a process's environment; bytes that are not UTF-8 have to be put there by the shell itself. */
function shellArguments(command: string, event: WatchEvent | undefined): string[] {
  if (event?.pathBytes === undefined) return ['-c', command];
  const octal = [...event.pathBytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  // The x keeps the substitution from cutting newlines off the end.
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the braces are the shell's
  const setPath = 'FAM_PATH=$(printf "$1x"); FAM_PATH=${FAM_PATH%x}; export FAM_PATH; eval "$2"';
  return ['-c', setPath, 'sh', octal, command];
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has just ended.
  }
}
