// `fam watch PATH...`

import { once } from 'node:events';
import { lstatSync } from 'node:fs';
import * as z from 'zod/mini';
import { FamError } from '../core/errors.ts';
import { openLog } from '../runtime/log.ts';
import { type WatchEvent, type WatchEventType, watchEventTypes } from '../watch/event.ts';
import { watch } from '../watch/watch.ts';
import { argumentBytes } from './argument-bytes.ts';
import { longTimeout } from './long-timeout.ts';
import { CommandRunner } from './watch-command-runner.ts';
import { displayText, jsonLine, textLine } from './watch-lines.ts';

/** How long, once it is to end, the reader of stdout has for what was printed. */
const readerGraceMs = 1000;

const watchOptions = z.object({
  json: z._default(z.boolean(), false),
  events: z.optional(z.string()),
  filter: z._default(z.array(z.string()), []),
  initial: z._default(z.boolean(), false),
  recursive: z._default(z.boolean(), true),
  follow: z._default(z.boolean(), false),
  executions: z._default(z.boolean(), false),
  exec: z.optional(z.string()),
  restart: z._default(z.boolean(), false),
  once: z._default(z.boolean(), false),
  timeout: z.optional(z.coerce.number().check(z.positive())),
  settle: z.optional(z.coerce.number().check(z.nonnegative())),
  monitor: z.optional(z.enum(['fanotify', 'inotify'])),
  logFormat: z.optional(z.enum(['text', 'json'])),
});
type Options = z.infer<typeof watchOptions>;

/**
 * Prints events, or runs a command for them, until SIGINT or SIGTERM (exit 0); with `--once` until the first event (exit 0, or
 * the command's exit code). @throws FamError: TIMEOUT, USAGE, and those of `watch`
 */
export async function watchCommand(paths: string[], given: object): Promise<void> {
  const options = readOptions(given);
  const log = openLog(options.logFormat);
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  // `fam watch | head -1`: nobody reads on.
  process.stdout.on('error', onSignal);
  let isReady = false;
  const requested = argumentBytes(paths);
  const watcher = watch(requested, {
    recursive: options.recursive,
    filter: options.filter,
    events: eventTypes(options.events),
    initial: options.initial,
    executions: options.executions,
    followSymlinks: options.follow,
    ...(options.settle === undefined ? {} : { settleMs: options.settle }),
    ...(options.monitor === undefined ? {} : { monitor: options.monitor }),
    signal: stop.signal,
    onProblem: (path, code) =>
      log.warn({ event: 'problem', path, code }, `${displayText(path)} is not watched: ${code}`),
    onNotice: ({ code, path, message }) => {
      if (code === 'unreported') log.warn({ event: code, path }, message);
      // Until it watches these are among the reasons.
      else if (isReady) log.info({ event: code, path }, message);
    },
  });
  watcher.ready.then(
    () => {
      isReady = true;
      log.info(
        { event: 'watching' },
        `watching ${paths.join(', ')} (${[...new Set(watcher.reasons)].join('; ')})`,
      );
      // That may be meant, or mistyped.
      const absent = paths.filter((path, n) => isAbsent(requested[n] ?? path));
      for (const path of absent)
        log.warn({ event: 'absent', path }, `${displayText(path)} is not there: waiting for it`);
    },
    () => {},
  );
  const runner =
    options.exec === undefined
      ? undefined
      : new CommandRunner({
          command: options.exec,
          restart: options.restart,
          onFailure: (code) =>
            log.warn({ event: 'command-failed', code }, `${options.exec}: ended with code ${code}`),
        });
  let isTimeUp = false;
  const onTimeUp = (): void => {
    isTimeUp = true;
    stop.abort();
  };
  const cancelTimeout =
    options.timeout === undefined ? () => {} : longTimeout(onTimeUp, options.timeout * 1000);
  try {
    for await (const event of watcher) {
      if (runner !== undefined) {
        if (isForCommand(event, options)) runner.changed(event);
        else continue;
      } else await print(options.json ? jsonLine(event) : textLine(event, new Date()), stop.signal);
      if (options.once && event.type !== 'exists' && event.type !== 'endExist') {
        isTimeUp = false;
        if (runner !== undefined) process.exitCode = await runner.idle();
        break;
      }
    }
  } finally {
    cancelTimeout();
    await runner?.stop();
    // Node.js would wait for as long as the reader of what was printed stands still.
    if (stop.signal.aborted) setTimeout(() => process.exit(), readerGraceMs).unref();
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
  if (isTimeUp) throw new FamError('TIMEOUT', `no event within ${options.timeout} s`, { retryable: true });
}

function isAbsent(path: string | Uint8Array): boolean {
  try {
    return lstatSync(Buffer.from(path), { throwIfNoEntry: false }) === undefined;
  } catch {
    // Who may not look there cannot tell.
    return false;
  }
}

function readOptions(given: object): Options {
  const parsed = watchOptions.safeParse(given);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new FamError('USAGE', `--${issue?.path.join('.') ?? 'options'}: ${issue?.message ?? 'not valid'}`);
  }
  const options = parsed.data;
  if (options.timeout !== undefined && !options.once) throw new FamError('USAGE', '--timeout needs --once');
  if (options.restart && options.exec === undefined) throw new FamError('USAGE', '--restart needs --exec');
  return options;
}

function eventTypes(list: string | undefined): WatchEventType[] {
  if (list === undefined) return [];
  return list.split(',').map((word) => {
    const type = watchEventTypes.find((known) => known === word.trim());
    if (type === undefined) {
      throw new FamError(
        'USAGE',
        `--events: unknown event "${word}"; there are: ${watchEventTypes.join(', ')}`,
      );
    }
    return type;
  });
}

/** Unless told otherwise, a command is not run for a file before its content is complete, nor for what was there. */
function isForCommand(event: WatchEvent, options: Options): boolean {
  if (event.type === 'endExist') return false;
  if (options.events !== undefined) return true;
  if (event.type === 'exists') return options.initial;
  return !(event.type === 'created' && event.kind === 'file');
}

/** Resolves when the reader keeps up, or nobody is interested any more. */
async function print(line: string, signal: AbortSignal): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain', { signal }).catch(() => {});
}
