// Threads start from built JavaScript: Node 20 cannot run TypeScript, and tests import the sources.

import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Defined, as `true`, only inside the one-file agent (scripts/build-agent.mjs). */
declare const famIsBundle: true | undefined;

/** Where a thread of the one-file agent finds the name of its module. */
const threadKey = Symbol.for('fam.thread');

/**
 * What to start a thread from. Inside the one-file agent that is the agent itself, whose entry (cli/agent-bundle.ts)
 * runs the module named by `bundledThread`.
 * @param module the thread's module below src/, without its ending
 */
export function workerFile(module: string): string | URL {
  if (typeof famIsBundle !== 'undefined') return startOfThread(basename(module));
  // From src/runtime or, bundled (scripts/bundle.mjs), from any folder directly below dist/.
  const dist = import.meta.url.endsWith('.ts') ? '../../dist' : '..';
  const file = fileURLToPath(new URL(`${dist}/${module}.js`, import.meta.url));
  if (!existsSync(file)) throw new Error(`${file} is missing: run npm run build`);
  return file;
}

/** The name of the module that this thread of the one-file agent is to run, without its ending. */
export function bundledThread(): string | undefined {
  const name: unknown = Reflect.get(globalThis, threadKey);
  return typeof name === 'string' ? name : undefined;
}

/** A few words of code that leave the name where the agent's entry finds it: `workerData` belongs to the module. */
function startOfThread(name: string): URL {
  const code = [
    `globalThis[Symbol.for('fam.thread')] = ${JSON.stringify(name)};`,
    `await import(${JSON.stringify(import.meta.url)});`,
  ].join('\n');
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`);
}
