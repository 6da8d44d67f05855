// An agent as a child process: its pipes are the connection, its stderr and exit tell why that ended. The pipes are made here and
// not by Node, since another thread goes on with them.

import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { type ErrorCode, exitCodes, FamError } from '../core/errors.ts';
import { check, close, duplicate, resizeSocket, SysError, socketpair } from '../kernel/sys.ts';
import { MarkerFinder } from '../wire/framing.ts';
import type { HowEnded } from '../wire/link.ts';
import type { Connection } from './transport.ts';

/** What is known about a child that has gone. */
export interface ChildEnd {
  /** Exit code, or undefined when a signal ended it or it could not be started. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  /** ENOENT and the like, when it could not be started. */
  readonly startError: NodeJS.ErrnoException | undefined;
  /** The last lines of its stderr, without an empty end. */
  readonly stderr: string;
  /** What it printed on stdout before the magic. */
  readonly noise: string;
}

export interface ChildOptions {
  /** For messages. */
  readonly label: string;
  readonly command: string;
  readonly args: readonly string[];
  /** A session of its own: no signals from our terminal, and no prompts on it. */
  readonly ownSession: boolean;
  /** Why it ended before or after it spoke, or undefined when nothing is wrong with that end. */
  readonly classify: (end: ChildEnd) => FamError | undefined;
  /** A marker other than the magic came: the answer to write, or an error to give up with. */
  readonly answer: (word: string) => Promise<readonly Uint8Array[]>;
  /** Each line of stderr after the link is up: the agent's log. */
  readonly onLogLine?: ((line: string) => void) | undefined;
}

/** Nobody waits longer than this for the first byte of an agent; a person may have to type a password before it. */
const startTimeoutMs = 120_000;
/** After a polite end: how long until SIGTERM, and from there to SIGKILL. */
const exitGraceMs = 10_000;
const killGraceMs = 2_000;
/** A background master that ssh left behind can hold stderr open: do not wait for its end longer than this. */
const stderrGraceMs = 200;
const stderrTailBytes = 8192;
/** Of that, for people. */
const shownLines = 6;
const shownColumns = 500;
/**
 * What is for the agent waits in the kernel: whoever makes it is busy with the next message for tens of milliseconds at a time, and
 * sends nothing meanwhile. More than a batch.
 */
const waitingBytes = 1024 * 1024;

/**
 * Starts the child and resolves when the agent's magic has arrived.
 * @throws FamError as `classify` has it, PROTOCOL, or the signal's reason. The child is gone, or going, by then.
 */
export async function connectChild(options: ChildOptions, signal: AbortSignal): Promise<Connection> {
  signal.throwIfAborted();
  const agent = new AgentChild(options);
  try {
    return await agent.handshake(signal);
  } catch (error) {
    agent.stop('SIGTERM');
    throw error;
  }
}

class AgentChild {
  readonly #options: ChildOptions;
  readonly #child: ChildProcess;
  /** Our ends of its stdin and stdout, until there is a connection. */
  readonly #outputFd: number;
  readonly #inputFd: number;
  readonly #output: Socket;
  readonly #input: Socket;
  readonly #finder = new MarkerFinder();
  readonly #exited: Promise<void>;
  #exit: { code: number | undefined; signal: NodeJS.Signals | undefined } | undefined;
  #startError: NodeJS.ErrnoException | undefined;
  #stderr = '';
  #logLine: string | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    const [outputFd, stdin] = pair();
    resizeSocket(outputFd, waitingBytes);
    const [inputFd, stdout] = pair();
    this.#outputFd = outputFd;
    this.#inputFd = inputFd;
    this.#output = new Socket({ fd: outputFd, readable: false, writable: true });
    this.#input = new Socket({ fd: inputFd, readable: true, writable: false });
    try {
      this.#child = spawn(options.command, options.args, {
        stdio: [stdin, stdout, 'pipe'],
        detached: options.ownSession,
      });
    } finally {
      close(stdin);
      close(stdout);
    }
    const child = this.#child;
    child.stderr?.setEncoding('utf8');
    child.stderr?.on('data', (text: string) => this.#takeStderr(text));
    child.stderr?.on('error', () => {});
    // Before there is a connection, what a broken stdin means is told by the exit.
    this.#output.on('error', () => {});
    this.#exited = new Promise((resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) => {
        // Also raised by a failed kill; only a child without a pid did not start.
        if (child.pid !== undefined) return;
        this.#startError = error;
        resolve();
      });
      child.once('exit', (code, signal) => {
        this.#exit = { code: code ?? undefined, signal: signal ?? undefined };
        child.once('close', () => resolve());
        setTimeout(resolve, stderrGraceMs);
      });
    });
  }

  /** Waits for the magic, answering other markers. */
  async handshake(signal: AbortSignal): Promise<Connection> {
    const timeout = AbortSignal.timeout(startTimeoutMs);
    for (;;) {
      const chunk = await this.#nextChunk(this.#input, AbortSignal.any([signal, timeout]));
      signal.throwIfAborted();
      if (timeout.aborted) {
        throw this.#withTail('HOST_UNREACHABLE', `no agent answered within ${startTimeoutMs / 1000} s`, true);
      }
      if (chunk === undefined) throw await this.#whyGone();
      let found = this.#push(chunk);
      while (found !== undefined) {
        if (found.word === 'v1') return this.#connection(found.rest);
        for (const bytes of await this.#options.answer(found.word)) this.#output.write(bytes);
        found = this.#push(found.rest);
      }
    }
  }

  #connection(rest: Uint8Array): Connection {
    // RACE: nothing is read between the look at what has been read and the end of this stream: reads are told in turns of the event
    // loop.
    const more: unknown = this.#input.read();
    const received = more instanceof Uint8Array ? Buffer.concat([rest, more]) : rest;
    const inputFd = check(duplicate(this.#inputFd), 'dup');
    const outputFd = check(duplicate(this.#outputFd), 'dup');
    this.#input.destroy();
    this.#output.destroy();
    this.#logLine = '';
    return {
      inputFd,
      outputFd,
      received,
      ended: (how) => this.#whyEnded(how),
      abandon: async () => {
        close(inputFd);
        close(outputFd);
        await this.#whyEnded('cut');
      },
    };
  }

  async #whyEnded(how: HowEnded): Promise<FamError | undefined> {
    if (how === 'cut') this.stop('SIGTERM');
    // Told to go it may have work to finish; gone by itself it has none.
    const grace = setTimeout(() => this.stop('SIGTERM'), how === 'asked' ? exitGraceMs : killGraceMs);
    await this.#exited;
    clearTimeout(grace);
    return how === 'lost' ? this.#options.classify(this.#end()) : undefined;
  }

  /** Ends the child, by its pid, and makes sure. */
  stop(signal: NodeJS.Signals): void {
    const child = this.#child;
    if (this.#exit !== undefined || child.pid === undefined) return;
    child.kill(signal);
    const sure = setTimeout(() => {
      if (this.#exit === undefined) child.kill('SIGKILL');
    }, killGraceMs);
    sure.unref();
    this.#output.destroy();
    void this.#exited.then(() => {
      clearTimeout(sure);
      this.#input.destroy();
      child.stderr?.destroy();
    });
  }

  #push(chunk: Uint8Array) {
    try {
      return this.#finder.push(chunk);
    } catch (cause) {
      if (!(cause instanceof FamError)) throw cause;
      throw this.#withTail(cause.code, cause.message, false);
    }
  }

  /** The next bytes of the stream; undefined when it has ended or the signal says stop. */
  #nextChunk(stream: Readable, stop: AbortSignal): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const take = (chunk?: unknown) => {
        stream.pause();
        stream.off('data', take);
        stream.off('end', take);
        stream.off('close', take);
        stream.off('error', end);
        stop.removeEventListener('abort', end);
        resolve(chunk instanceof Uint8Array ? chunk : undefined);
      };
      const end = () => take();
      if (stop.aborted || stream.readableEnded || stream.destroyed) {
        resolve(undefined);
        return;
      }
      stop.addEventListener('abort', end);
      stream.on('error', end);
      stream.on('end', take);
      stream.on('close', take);
      stream.on('data', take);
      stream.resume();
    });
  }

  async #whyGone(): Promise<Error> {
    const late = setTimeout(() => this.stop('SIGTERM'), killGraceMs);
    await this.#exited;
    clearTimeout(late);
    const why = this.#options.classify(this.#end());
    return why ?? this.#withTail('AGENT_FAILED', 'the agent ended before it had said anything', true);
  }

  #end(): ChildEnd {
    return {
      code: this.#exit?.code,
      signal: this.#exit?.signal,
      startError: this.#startError,
      stderr: this.#stderr.trim(),
      noise: this.#finder.noise.trim(),
    };
  }

  #withTail(code: ErrorCode, message: string, retryable: boolean): FamError {
    return new FamError(code, `${this.#options.label}: ${message}${tailOf(this.#end())}`, { retryable });
  }

  #takeStderr(text: string): void {
    this.#stderr = (this.#stderr + text).slice(-stderrTailBytes);
    const onLogLine = this.#options.onLogLine;
    if (onLogLine === undefined || this.#logLine === undefined) return;
    const lines = (this.#logLine + text).split('\n');
    this.#logLine = (lines.pop() ?? '').slice(0, stderrTailBytes);
    for (const line of lines) onLogLine(line);
  }
}

/** Our end and the child's of a socket pair. */
function pair(): readonly [number, number] {
  const made = socketpair();
  if (typeof made === 'number') throw new SysError(made, 'socketpair');
  return made;
}

/** What the other side printed, for the end of a message. */
export function tailOf(end: ChildEnd): string {
  const said = [end.stderr, end.noise].find((text) => text !== '') ?? '';
  const lines = said.split('\n').slice(-shownLines);
  const shown = lines.map((line) => `    ${line.trimEnd().slice(0, shownColumns)}`);
  return said === '' ? '' : `; it printed:\n${shown.join('\n')}`;
}

/** An agent that ends with one of our exit codes means that error, and has said on stderr what it is about. */
export function codeOfExit(code: number | undefined): ErrorCode | undefined {
  if (code === undefined || code < 10) return undefined;
  for (const [name, value] of Object.entries(exitCodes)) {
    if (value === code && isErrorCode(name)) return name;
  }
  return undefined;
}

function isErrorCode(name: string): name is ErrorCode {
  return Object.hasOwn(exitCodes, name);
}
