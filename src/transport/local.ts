// A replica on this machine: the agent is a child process with pipes.

import { fileURLToPath } from 'node:url';
import { FamError } from '../core/errors.ts';
import { bytesOfText } from '../core/name.ts';
import { type ChildEnd, codeOfExit, connectChild, tailOf } from './child.ts';
import { encodePath } from './encoded-path.ts';
import type { Connection, Transport } from './transport.ts';

export interface LocalTransportOptions {
  /** Words before `agent`; default: this Node.js and this package's `bin/fam`. */
  readonly fam?: readonly [string, ...string[]];
  /** The agent's log, line by line. */
  readonly onLogLine?: (line: string) => void;
}

/** From src/transport and dist/transport alike. */
function ownFam(): readonly [string, ...string[]] {
  return [process.execPath, fileURLToPath(new URL('../../bin/fam', import.meta.url))];
}

/** The agent runs in a session of its own: Ctrl-C reaches the mirror only, which then ends it in order. */
export class LocalTransport implements Transport {
  readonly label: string;
  readonly #options: LocalTransportOptions;

  /** @param path the replica's root, as text. */
  constructor(path: string, options: LocalTransportOptions = {}) {
    this.label = path;
    this.#options = options;
  }

  connect(signal: AbortSignal): Promise<Connection> {
    const [command, ...args] = this.#options.fam ?? ownFam();
    return connectChild(
      {
        label: this.label,
        command,
        args: [...args, 'agent', '--encoded', encodePath(bytesOfText(this.label))],
        ownSession: true,
        classify: (end) => classifyAgentEnd(this.label, end),
        answer: async (word) => {
          throw new FamError('PROTOCOL', `${this.label}: the agent speaks another protocol (${word})`);
        },
        onLogLine: this.#options.onLogLine,
      },
      signal,
    );
  }
}

/** What the agent's own end means: its exit codes are ours. */
export function classifyAgentEnd(label: string, end: ChildEnd): FamError | undefined {
  const { startError } = end;
  if (startError !== undefined) {
    return new FamError('AGENT_FAILED', `${label}: the agent cannot be started: ${startError.message}`, {
      cause: startError,
    });
  }
  if (end.code === 0) return undefined;
  const code = codeOfExit(end.code);
  if (code !== undefined)
    return new FamError(code, `${label}: ${lastLine(end) ?? `the agent ended with ${code}`}`);
  const how = end.signal === undefined ? `ended with exit code ${end.code}` : `was killed by ${end.signal}`;
  return new FamError('AGENT_FAILED', `${label}: the agent ${how}${tailOf(end)}`, { retryable: true });
}

/** A stack may follow what the agent said of its end. */
function lastLine(end: ChildEnd): string | undefined {
  const lines = end.stderr.split('\n');
  const line = (lines.findLast((one) => one.startsWith('fam: ')) ?? lines.at(-1))?.trim();
  return line === undefined || line === '' ? undefined : line.replace(/^fam: /, '');
}
