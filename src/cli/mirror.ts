// `fam mirror SRC DEST...`

import { constants } from 'node:os';
import * as z from 'zod/mini';
import { FamError } from '../core/errors.ts';
import { prepare } from '../mirror/prepare.ts';
import { dieOfDefects } from '../runtime/last-words.ts';
import type { Log } from '../runtime/log.ts';
import { parseBandwidth } from '../source/bandwidth.ts';
import { refuseOtherThanText } from './argument-bytes.ts';
import { attributeRules } from './attribute-options.ts';

const mirrorOptions = z.object({
  rsh: z.optional(z.string()),
  state: z.optional(z.string()),
  init: z._default(z.boolean(), false),
  compare: z._default(z.boolean(), false),
  once: z._default(z.boolean(), false),
  trustSource: z._default(z.boolean(), false),
  monitor: z.optional(z.enum(['fanotify', 'inotify'])),
  durability: z.enum(['none', 'batch', 'file']),
  bandwidth: z.optional(z.string()),
  bandwidthTotal: z.optional(z.string()),
  compress: z._default(z.boolean(), false),
  ownerMap: z.optional(z.string()),
  groupMap: z.optional(z.string()),
  chmod: z.optional(z.string()),
  logFormat: z.optional(z.enum(['text', 'json'])),
});

function bytesASecond(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseBandwidth(text);
  if (bytes === undefined)
    throw new FamError('USAGE', `${option} takes bytes a second, like 500K, 10M or 1.5G, not ${text}`);
  return bytes;
}

/**
 * Mirrors until SIGINT or SIGTERM (exit 0), or until in sync with `--once`; then a signal before that is told by the exit code, as shells
 * do. @throws FamError
 */
export async function mirrorCommand(
  source: string,
  destinations: readonly string[],
  given: object,
): Promise<void> {
  dieOfDefects();
  const options = mirrorOptions.parse(given);
  refuseOtherThanText([source, ...destinations, options.state ?? '']);
  const chosen = {
    // fam_mirror's users know it as an environment variable.
    init: options.init || process.env['INIT_MIRROR'] === '1',
    compare: options.compare,
    monitor: options.monitor,
    durability: options.durability,
    trustSource: options.trustSource,
    bandwidth: bytesASecond('--bandwidth', options.bandwidth),
    bandwidthTotal: bytesASecond('--bandwidth-total', options.bandwidthTotal),
    attributeRules: attributeRules(options.ownerMap, options.groupMap, options.chmod),
  };
  const stop = stopSignals();
  let open: (log: Log) => void = () => {};
  const opened = new Promise<Log>((resolve) => {
    open = resolve;
  });
  const prepared = prepare({
    source,
    destinations,
    stateDir: options.state,
    rsh: options.rsh,
    compress: options.compress,
    onAgentLine: (replica, line) => {
      void opened.then((log) => log.warn({ event: 'agent-log', replica }, line));
    },
  });
  const { Mirror, MirrorProgress, openLog } = await theRest();
  const log = openLog(options.logFormat);
  open(log);
  let changed: () => void = () => {};
  const mirror = await Mirror.start({ ...chosen, log, onChange: () => changed() }, prepared);
  using progress = new MirrorProgress(mirror, options.logFormat);
  const inSync = new Promise<void>((resolve) => {
    changed = () => {
      progress.update();
      if (options.once && mirror.inSync) resolve();
    };
  });
  let exitCode = 0;
  const stopped = stop.first.then((signal) => {
    if (options.once) exitCode = 128 + constants.signals[signal];
  });
  try {
    await Promise.race([inSync, stopped, mirror.failed]);
  } catch (error) {
    await mirror.close(false);
    throw error instanceof FamError ? error : new FamError('INTERNAL', String(error), { cause: error });
  }
  progress.finish();
  log.info({ event: 'stopping' }, 'stopping');
  await Promise.race([mirror.close(), stop.second.then(() => mirror.abandon())]);
  log.info({ event: 'stopped' }, 'stopped');
  // The second signal ends what is still being flushed.
  process.exit(exitCode);
}

/** Not loaded before ssh is on its way. A function of its own: in one with `using` tsc leaves these names as they are. */
async function theRest() {
  const { Mirror } = await import('../mirror/mirror.ts');
  const { MirrorProgress } = await import('./mirror-progress.ts');
  const { openLog } = await import('../runtime/log.ts');
  return { Mirror, MirrorProgress, openLog };
}

type StopSignal = 'SIGINT' | 'SIGTERM';

/** The first SIGINT or SIGTERM asks for an orderly end, the second one for an end at once. */
function stopSignals(): { readonly first: Promise<StopSignal>; readonly second: Promise<void> } {
  let count = 0;
  let resolveFirst: (signal: StopSignal) => void = () => {};
  let resolveSecond: () => void = () => {};
  const first = new Promise<StopSignal>((resolve) => {
    resolveFirst = resolve;
  });
  const second = new Promise<void>((resolve) => {
    resolveSecond = resolve;
  });
  const onSignal = (signal: StopSignal): void => {
    count += 1;
    if (count === 1) resolveFirst(signal);
    else resolveSecond();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => onSignal(signal));
  return { first, second };
}
