// The entry of the one-file agent (scripts/build-agent.mjs): the process that a transport starts on a host without fam, and
// the threads of that process, which are started from the same file.

import { inspect } from 'node:util';
import { isMainThread } from 'node:worker_threads';
import { exitCodes, FamError } from '../core/errors.ts';
import { bundledThread } from '../runtime/start-thread.ts';

void (isMainThread ? serve() : runThread(bundledThread()));

/** The command line is that of bootstrap.ts: `agent --encoded ROOT`. */
async function serve(): Promise<void> {
  const { agentCommand } = await import('./agent.ts');
  try {
    await agentCommand(process.argv.at(-1), { encoded: true });
  } catch (error) {
    const isKnown = error instanceof FamError;
    process.stderr.write(`fam: ${isKnown ? error.message : inspect(error)}\n`);
    process.exitCode = isKnown ? error.exitCode : exitCodes.AGENT_FAILED;
  }
}

/** Every module that the agent starts a thread from. */
async function runThread(name: string | undefined): Promise<void> {
  if (name === 'applier-thread') await import('../replica/applier-thread.ts');
  else if (name === 'sync-thread') await import('../replica/sync-thread.ts');
  else throw new Error(`the agent has no thread ${name}`);
}
