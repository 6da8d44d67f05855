// The entry of the one-file agent (scripts/build-agent.mjs): the process that a transport starts on a host without fam, and
// the threads of that process, which are started from the same file.

import { isMainThread } from 'node:worker_threads';
import { FamError } from '../core/errors.ts';
import { bundledThread } from '../runtime/worker-file.ts';

if (isMainThread) await serve();
else await runThread(bundledThread());

/** The command line is that of bootstrap.ts: `agent --encoded ROOT`. */
async function serve(): Promise<void> {
  const { agentCommand } = await import('./agent.ts');
  try {
    await agentCommand(process.argv.at(-1), { encoded: true });
  } catch (error) {
    if (!(error instanceof FamError)) throw error;
    process.stderr.write(`fam: ${error.message}\n`);
    process.exitCode = error.exitCode;
  }
}

/** Every module that the agent starts a thread from. */
async function runThread(name: string | undefined): Promise<void> {
  if (name === 'applier-thread') await import('../replica/applier-thread.ts');
  else if (name === 'sync-thread') await import('../replica/sync-thread.ts');
  else throw new Error(`the agent has no thread ${name}`);
}
