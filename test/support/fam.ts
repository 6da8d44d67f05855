import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { Child, type Exit } from './child.ts';
import { tempFolder } from './temp-folder.ts';
import { waitFor } from './wait-for.ts';

export const famCommand = fileURLToPath(new URL('../../bin/fam', import.meta.url));

/** What a log line says of a replica's life. */
type LogEvent = 'connected' | 'first-sync' | 'in-sync' | 'lost' | 'problem' | 'stopped';

/** One line of `--log-format json`. */
export interface LogLine {
  readonly msg: string;
  readonly event?: LogEvent;
  readonly replica?: string;
  readonly [field: string]: unknown;
}

/** Runs fam to its end. */
export async function runFam(
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<Exit & { stdout: string; stderr: string }> {
  const child = new Child(process.execPath, [famCommand, ...args], env);
  const exit = await child.exited;
  return { ...exit, stdout: child.stdout, stderr: child.stderr };
}

export interface MirrorSetup {
  readonly source: string;
  readonly dests: readonly string[];
  /** The remote shell for `-e`, where a destination is remote. */
  readonly rsh?: string;
  /** Defaults to a temporary folder. */
  readonly state?: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** As this user and group, with no privilege; the test itself is root. */
  readonly uid?: number;
}

/** A running `fam mirror`. */
export class Mirror extends Child {
  readonly state: string;
  readonly #replicas: number;

  constructor({
    source,
    dests,
    rsh,
    state = join(tempFolder('state'), 'state'),
    args = [],
    env,
    uid,
  }: MirrorSetup) {
    const shell = rsh === undefined ? [] : ['-e', rsh];
    const command = ['mirror', source, ...dests, '--state', state, '--log-format', 'json', ...shell, ...args];
    const program = [process.execPath, famCommand, ...command];
    if (uid !== undefined) program.unshift('setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups');
    const [first = '', ...rest] = program;
    super(first, rest, env);
    this.state = state;
    this.#replicas = dests.length;
  }

  /** The log so far. Lines that are not JSON (a crash) are left to `stderr`. */
  get log(): LogLine[] {
    const lines = this.stderr.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return lines.map((line): LogLine => JSON.parse(line));
  }

  events(event: LogEvent): LogLine[] {
    return this.log.filter((line) => line.event === event);
  }

  /** Waits until the log holds `count` lines of an event, by default one for each replica. */
  async logged(event: LogEvent, { count = this.#replicas, deadlineMs = 30_000 } = {}): Promise<LogLine[]> {
    return waitFor(
      () => {
        const lines = this.events(event);
        if (lines.length >= count) return lines;
        if (this.exit) throw new Error(`fam ended (${this.exit.code}) before:\n${this.stderr}`);
        return undefined;
      },
      { deadlineMs, describe: () => `${count} x "${event}" in the log:\n${this.stderr}` },
    );
  }

  /** Waits for the first "in sync" of each replica. */
  async inSync(deadlineMs = 40_000): Promise<void> {
    const replicasInSync = () => new Set(this.events('in-sync').map((line) => line.replica)).size;
    await waitFor(
      () => {
        if (this.exit) throw new Error(`fam ended (${this.exit.code}):\n${this.stderr}`);
        return replicasInSync() >= this.#replicas;
      },
      { deadlineMs, describe: () => `all ${this.#replicas} replicas in sync, log:\n${this.stderr}` },
    );
  }

  /** The barrier: returns when everything that had happened before the call is on all replicas. */
  async barrier(timeoutS = 30): Promise<void> {
    const { code, stderr } = await runFam(['wait', '--state', this.state, '--timeout', String(timeoutS)]);
    if (code !== 0)
      throw new Error(`fam wait ended with ${code}: ${stderr}\nlog of the mirror:\n${this.stderr}`);
  }

  /** Ends it as a service manager does, and expects that it ends well. */
  async end(): Promise<void> {
    const exit = await this.stop('SIGTERM');
    expect(exit, this.stderr).toEqual({ code: 0, signal: null });
    // A defect that ends a connection is mended by the next one: it must not go unnoticed.
    expect(this.stderr).not.toContain('internal error');
    // Nothing but its log: no warning of Node.js either.
    expect(this.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))).toEqual([]);
  }
}
