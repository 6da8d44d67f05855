// The product under test: `fam mirror`, its agents and its control commands, found and ended by process id.

import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { encodePath } from '../../src/transport/encoded-path.ts';
import { type RunningProcess, runningProcesses } from '../support/processes.ts';
import { waitFor } from '../support/wait-for.ts';

/** test/torture/dist/ is where this runs from. */
const famCommand = fileURLToPath(new URL('../../../bin/fam', import.meta.url));

export interface FamSetup {
  readonly source: string;
  readonly destinations: readonly string[];
  /** The replicas' roots on this machine. */
  readonly roots: readonly string[];
  readonly state: string;
  readonly uid: number;
  readonly rsh: string | undefined;
  readonly monitor: string | undefined;
}

export class FamProcess {
  readonly #setup: FamSetup;
  #process: ChildProcess | undefined;
  /** Everything that all of its lives have logged. */
  log = '';
  /** Ends that nobody asked for. */
  readonly surprises: string[] = [];
  #isOver = false;
  #asked = false;
  #expectedCodes: readonly number[] = [];

  constructor(setup: FamSetup) {
    this.#setup = setup;
  }

  get pid(): number | undefined {
    return this.isRunning ? this.#process?.pid : undefined;
  }
  get isRunning(): boolean {
    return (
      this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null
    );
  }

  start(env: Readonly<Record<string, string>> = {}): void {
    if (this.isRunning || this.#isOver) return;
    const { source, destinations, state, uid, rsh, monitor } = this.#setup;
    const args = [
      'mirror',
      source,
      ...destinations,
      '--state',
      state,
      '--init',
      '--trust-source',
      '--log-format',
      'json',
    ];
    if (rsh !== undefined) args.push('-e', rsh);
    const withoutRename = monitor === 'fanotify-without-rename';
    if (monitor !== undefined) args.push('--monitor', withoutRename ? 'fanotify' : monitor);
    this.#asked = false;
    this.log += `--- start ${Date.now()} ${JSON.stringify(env)}\n`;
    const child = spawn(process.execPath, [famCommand, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...(withoutRename ? { FAM_FANOTIFY_RENAME: 'off' } : {}), ...env },
      cwd: '/',
      uid,
      gid: uid,
    });
    this.#process = child;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
    child.once('exit', (code, signal) => {
      this.log += `--- exit ${Date.now()} ${code} ${signal}\n`;
      // libfaketime leaves these behind when its process is killed.
      for (const name of ['faketime_shm_', 'sem.faketime_sem_'])
        rmSync(`/dev/shm/${name}${child.pid}`, { force: true });
      if (!this.#asked && this.#process === child && !this.#expectedCodes.includes(code ?? -1))
        this.surprises.push(`fam mirror ended with ${code ?? signal}`);
    });
  }

  /** Until it is told otherwise: it is a supervisor's affair to start it again. */
  mayEndWith(codes: readonly number[]): void {
    this.#expectedCodes = codes;
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#process;
    if (child === undefined || !this.isRunning) return;
    this.#asked = true;
    const exit = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    child.kill('SIGCONT');
    const timer = setTimeout(() => {
      this.surprises.push(`fam mirror did not end within 30 s of ${signal}`);
      child.kill('SIGKILL');
    }, 30_000);
    await exit;
    clearTimeout(timer);
  }

  /** Ends it for good: a history that is abandoned goes on for a moment, and may want to start it again. */
  async close(): Promise<void> {
    this.#isOver = true;
    await this.end('SIGKILL');
  }

  /** Agents of one replica (by its number), whoever started them; our readers are not. */
  agents(replica?: number): RunningProcess[] {
    const roots = this.#setup.roots.filter((_, n) => replica === undefined || n === replica);
    const words = roots.flatMap((root) => [root, encodePath(Buffer.from(root).toString('latin1'))]);
    return runningProcesses().filter(
      ({ program, args }) =>
        program === 'node' &&
        !args.some((arg) => arg.endsWith('reader-main.js')) &&
        !args.includes('mirror') &&
        args.some((arg) => words.some((word) => arg.includes(word))),
    );
  }

  /** The ssh clients of this mirror. */
  sshClients(): RunningProcess[] {
    const all = runningProcesses();
    const below = new Set<number>([this.pid ?? -1]);
    // Children have higher numbers than their parents almost always; twice through finds them all.
    for (let i = 0; i < 3; i++) for (const { pid, parent } of all) if (below.has(parent)) below.add(pid);
    return all.filter(({ program, pid }) => program === 'ssh' && below.has(pid));
  }

  async agentsGone(): Promise<void> {
    await waitFor(() => this.agents().length === 0, {
      deadlineMs: 30_000,
      describe: 'agents to end after their source',
    });
  }

  /** Runs a control command to its end. */
  control(...args: string[]): Promise<{ code: number | null; output: string }> {
    return this.command(...args, '--state', this.#setup.state);
  }

  /** Runs any command of fam's to its end. */
  async command(...args: string[]): Promise<{ code: number | null; output: string }> {
    const child = spawn(process.execPath, [famCommand, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: '/',
      uid: this.#setup.uid,
      gid: this.#setup.uid,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, output };
  }
}
