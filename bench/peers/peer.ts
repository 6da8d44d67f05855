import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Lab } from '../lab.ts';
import { pause } from '../pause.ts';

/** What a peer is to keep equal, and where it may keep its own records between stop() and start(). */
export interface Job {
  readonly source: string;
  readonly replicas: readonly string[];
  readonly state: string;
}

/** Something that a user would pick to do the job. start() and stop() alternate; a job's state outlives both. */
export interface Peer {
  readonly name: string;
  /** Copies once for each kick() and ends; does not watch. */
  readonly oneShot: boolean;
  version(): string;
  start(job: Job): Promise<void>;
  stop(): Promise<void>;
  /** One-shot peers: copy, and return when it is done. */
  kick(): Promise<void>;
  replicaDown(index: number): Promise<void>;
  replicaUp(index: number): Promise<void>;
  /** How often it ended by itself and was started again since start(). */
  restarts(): number;
}

/** A supervisor would start a service that ended again; so do we, after this long. */
const restartAfterMs = 1000;
const stopGraceMs = 15_000;

export interface SpawnOptions {
  readonly environment?: Record<string, string>;
  readonly supervised?: boolean;
}

/** Keeps the processes of a peer: each in a session of its own, output in the lab's logs. */
export abstract class ProcessPeer implements Peer {
  abstract readonly name: string;
  readonly oneShot: boolean = false;
  protected readonly lab: Lab;
  readonly #services: Service[] = [];

  constructor(lab: Lab) {
    this.lab = lab;
  }

  abstract version(): string;
  abstract start(job: Job): Promise<void>;

  kick(): Promise<void> {
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    const services = this.#services.splice(0);
    await Promise.all(services.map((service) => service.stop('SIGTERM')));
  }

  replicaDown(index: number): Promise<void> {
    return this.lab.serverDown(index);
  }

  replicaUp(index: number): Promise<void> {
    return this.lab.serverUp(index);
  }

  restarts(): number {
    return this.#services.reduce((sum, service) => sum + service.restarts, 0);
  }

  protected remote(index: number, folder: string): string {
    return `${this.lab.host(index)}:${folder}`;
  }

  protected spawn(tag: string, argv: readonly string[], options: SpawnOptions = {}): Service {
    const service = new Service(argv, `${this.lab.logs}/${this.name}.${tag}.log`, options);
    this.#services.push(service);
    return service;
  }

  protected forget(service: Service): void {
    const index = this.#services.indexOf(service);
    if (index >= 0) this.#services.splice(index, 1);
  }
}

/** One process that is started again when it ends, unless that was asked for. */
export class Service {
  restarts = 0;
  #child: ChildProcess;
  #stopping = false;
  #ended: Promise<number | null>;
  readonly #argv: readonly string[];
  readonly #log: string;
  readonly #options: SpawnOptions;

  constructor(argv: readonly string[], log: string, options: SpawnOptions) {
    this.#argv = argv;
    this.#log = log;
    this.#options = options;
    [this.#child, this.#ended] = this.#launch();
  }

  /** Exit code; null when a signal ended it. */
  get ended(): Promise<number | null> {
    return this.#ended;
  }

  /** The signal goes to the process itself, as a service manager's or a user's would; what it leaves behind is killed. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    this.#stopping = true;
    this.#child.kill(signal);
    await Promise.race([this.#ended, pause(stopGraceMs)]);
    this.#killSession();
    await this.#ended;
  }

  #launch(): [ChildProcess, Promise<number | null>] {
    const [command = '', ...args] = this.#argv;
    const log = openSync(this.#log, 'a');
    const environment = { ...process.env, ...this.#options.environment };
    const child = spawn(command, args, { stdio: ['ignore', log, log], detached: true, env: environment });
    closeSync(log);
    const ended = new Promise<number | null>((resolve) => {
      child.once('error', () => {
        resolve(127);
      });
      child.once('exit', (code) => {
        resolve(code);
      });
    });
    if (this.#options.supervised !== false) void ended.then(() => this.#revive());
    return [child, ended];
  }

  async #revive(): Promise<void> {
    if (this.#stopping) return;
    this.#killSession();
    await pause(restartAfterMs);
    if (this.#stopping) return;
    this.restarts++;
    [this.#child, this.#ended] = this.#launch();
  }

  #killSession(): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // The whole session has ended.
    }
  }
}

/** What a command prints, both streams; '' if it is not installed. */
export function output(
  command: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): string {
  const done = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...environment } });
  return `${done.stdout ?? ''}${done.stderr ?? ''}`.trim();
}

export function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').replace(/\s+/g, ' ').trim();
}
