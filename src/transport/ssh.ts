// A replica on another host: the system's ssh runs the agent there (its config, keys, jump hosts, known hosts).

import { execFile } from 'node:child_process';
import { basename } from 'node:path';
import { FamError } from '../core/errors.ts';
import { bytesOfText } from '../core/name.ts';
import { type AgentFile, ownAgentFile } from './agent-file.ts';
import { remoteCommand } from './bootstrap.ts';
import { connectChild } from './child.ts';
import { showDestination } from './destination.ts';
import { encodePath } from './encoded-path.ts';
import { shellWords } from './shell-words.ts';
import { hasAesInstructions, preferredCiphers } from './ssh-ciphers.ts';
import { classifySshEnd } from './ssh-failure.ts';
import type { Connection, Transport } from './transport.ts';

export interface SshTransportOptions {
  /** `--rsh`: the command and its options, as a shell splits them. Default `ssh`. */
  readonly rsh?: string;
  /** The agent to install where none is; default: this installation's. */
  readonly agent?: AgentFile;
  /** The agent's log, line by line. */
  readonly onLogLine?: (line: string) => void;
}

/**
 * What a program that watches a link wants and ssh leaves out by default: give up connecting, and notice a dead host. The name in
 * `ssh -G` and the value that it shows when the user has not chosen one.
 */
const wantedOptions = [
  { option: 'ConnectTimeout=10', key: 'connecttimeout', unset: 'none' },
  { option: 'ServerAliveInterval=15', key: 'serveraliveinterval', unset: '0' },
] as const;

/** Always safe and never wanted otherwise: no terminal, no agent forwarding, no X11 forwarding. */
const safeFlags = ['-T', '-a', '-x'];

/** `ssh -G` reads files; more than this and it does something else. */
const configTimeoutMs = 5_000;

/** ssh keeps our terminal, to ask for a password, but not Ctrl-C, which is for the mirror to handle: the agent ends in order. */
const ignoringInterrupts = 'trap "" INT QUIT; exec "$@"';

export class SshTransport implements Transport {
  readonly label: string;
  readonly #userHost: string;
  readonly #path: string;
  readonly #rsh: readonly string[];
  readonly #options: SshTransportOptions;
  /** Options that the user's configuration leaves open; asked once. */
  #defaults: Promise<string[]> | undefined;

  /** @throws FamError USAGE when `rsh` cannot be split. */
  constructor(userHost: string, path: string, options: SshTransportOptions = {}) {
    this.label = showDestination({ kind: 'ssh', userHost, path });
    this.#userHost = userHost;
    this.#path = path;
    this.#rsh = shellWords(options.rsh ?? 'ssh');
    this.#options = options;
  }

  async connect(signal: AbortSignal): Promise<Connection> {
    const agent = this.#options.agent ?? ownAgentFile();
    const command = await this.#command();
    const [program = 'ssh'] = this.#rsh;
    return connectChild(
      {
        label: this.label,
        command: 'sh',
        args: [
          '-c',
          ignoringInterrupts,
          'sh',
          ...command,
          remoteCommand(agent, encodePath(bytesOfText(this.#path))),
        ],
        ownSession: false,
        classify: (end) => classifySshEnd(this.label, this.#userHost, program, end),
        answer: async (word) => this.#answer(word, agent),
        onLogLine: this.#options.onLogLine,
      },
      signal,
    );
  }

  #answer(word: string, agent: AgentFile): readonly Uint8Array[] {
    if (word === 'up') {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(agent.code.length);
      return [length, agent.code];
    }
    throw new FamError('PROTOCOL', `${this.label}: the agent there speaks another protocol (${word})`);
  }

  /** Everything up to the remote command. */
  async #command(): Promise<string[]> {
    const [program = 'ssh', ...words] = this.#rsh;
    if (basename(program) !== 'ssh') return [program, ...words, this.#userHost];
    this.#defaults ??= openOptions(program, [...words, this.#userHost]);
    // For flags ssh obeys the last, for options the first: the user's own words win either way.
    return [program, ...safeFlags, ...words, ...(await this.#defaults), ...batchMode(), this.#userHost];
  }
}

/** Without a terminal nobody could type a password: better to fail at once, and say so, than to wait. */
function batchMode(): string[] {
  return process.stdin.isTTY ? [] : ['-o', 'BatchMode=yes'];
}

/** The options that we want and the configuration for this host leaves open. */
async function openOptions(program: string, args: readonly string[]): Promise<string[]> {
  const [config, ownDefaults] = await Promise.all([
    configOf(program, args),
    configOf(program, ['-F', 'none', ...args.slice(-1)]),
  ]);
  const lines = new Set(config.toLowerCase().split('\n'));
  const open = wantedOptions.filter(({ key, unset }) => config === '' || lines.has(`${key} ${unset}`));
  const ciphers = preferredCiphers(config, ownDefaults, hasAesInstructions());
  const options = [...open.map(({ option }) => option), ...(ciphers === undefined ? [] : [ciphers])];
  return options.flatMap((option) => ['-o', option]);
}

/** What ssh says of its configuration, one `key value` a line; empty where it cannot say. */
function configOf(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, ['-G', ...args], { timeout: configTimeoutMs, encoding: 'utf8' }, (_error, stdout) =>
      resolve(stdout),
    );
  });
}
