// Threads start from built JavaScript: Node 20 cannot run TypeScript, and tests import the sources. What they start from is CommonJS,
// for a thread that loads no ES module starts a third sooner.

import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** Defined, as `true`, only inside the one-file agent (scripts/build-agent.mjs). */
declare const famIsBundle: true | undefined;

/**
 * Starts a thread from one of our modules. Inside the one-file agent that is the agent itself, whose entry (cli/agent-bundle.ts) runs
 * the module named by `bundledThread`.
 * @param module below src/, without its ending; listed in scripts/bundle.mjs
 * @param given `argv` is ours; what is opened in the thread is its own to close
 */
export function startThread(
  module: string,
  given: Omit<WorkerOptions, 'argv' | 'trackUnmanagedFds'> = {},
): Worker {
  // Most descriptors are opened and closed by system calls of our own, which Node.js does not see.
  const options: WorkerOptions = { ...given, trackUnmanagedFds: false };
  if (typeof famIsBundle !== 'undefined')
    return new Worker(fileURLToPath(import.meta.url), { ...options, argv: [basename(module)] });
  // From src/runtime or, bundled (scripts/bundle.mjs), from any folder directly below dist/.
  const dist = import.meta.url.endsWith('.ts') ? '../../dist' : '..';
  const file = fileURLToPath(new URL(`${dist}/${module}.cjs`, import.meta.url));
  if (!existsSync(file)) throw new Error(`${file} is missing: run npm run build`);
  return new Worker(file, options);
}

/** The name of the module that this thread of the one-file agent is to run, without its ending. */
export function bundledThread(): string | undefined {
  return process.argv[2];
}
