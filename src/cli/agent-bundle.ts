// The entry of the one-file agent (scripts/build-agent.mjs): the process that a transport starts on a host without fam, and
// the threads of that process, which are started from the same file.

import { inspect, parseArgs } from 'node:util';
import { isMainThread } from 'node:worker_threads';
import { exitCodes, FamError } from '../core/errors.ts';
import { bundledThread } from '../runtime/start-thread.ts';

void (isMainThread ? serve() : runThread(bundledThread()));

/** The command line is that of bootstrap.ts, `agent --encoded ROOT`, or by hand on a standby without fam: `promote [--force|--undo] ROOT`. */
async function serve(): Promise<void> {
  try {
    if (process.argv[2] === 'promote') await promoteByHand(process.argv.slice(3));
    else {
      const { agentCommand } = await import('./agent.ts');
      await agentCommand(process.argv.at(-1), { encoded: true });
    }
  } catch (error) {
    const isKnown = error instanceof FamError;
    process.stderr.write(`fam: ${isKnown ? error.message : inspect(error)}\n`);
    process.exitCode = isKnown ? error.exitCode : exitCodes.AGENT_FAILED;
  }
}

async function promoteByHand(args: string[]): Promise<void> {
  const { promoteCommand } = await import('./promote.ts');
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { force: { type: 'boolean', default: false }, undo: { type: 'boolean', default: false } },
  });
  const [root] = positionals;
  if (root === undefined)
    throw new FamError('USAGE', 'promote takes the replica: promote [--force|--undo] ROOT');
  await promoteCommand(root, values);
}

/** Every module that the agent starts a thread from. */
async function runThread(name: string | undefined): Promise<void> {
  if (name === 'applier-thread') await import('../replica/applier-thread.ts');
  else if (name === 'sync-thread') await import('../replica/sync-thread.ts');
  else throw new Error(`the agent has no thread ${name}`);
}
