// `fam agent`: the replica's side of a mirror, started by the source's transport, never by hand.

import { realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod/mini';
import { FamError } from '../core/errors.ts';
import { textOfBytes } from '../core/name.ts';
import { runAgent } from '../replica/agent.ts';
import { dieOfDefects } from '../runtime/last-words.ts';
import { packageVersion } from '../runtime/version.ts';
import { decodePath } from '../transport/encoded-path.ts';
import { StdioLink } from '../transport/stdio.ts';

const agentOptions = z.object({
  encoded: z.optional(z.boolean()),
  restrict: z.optional(z.string()),
});

/**
 * Serves the replica at `root` until the source says bye or hangs up. With `restrict` and no root (a forced command of
 * sshd) the root is the one in the command line that the source asked for.
 * @throws FamError
 */
export async function agentCommand(root: string | undefined, options: object): Promise<void> {
  const { encoded, restrict } = agentOptions.parse(options);
  dieOfDefects();
  const path = resolve(rootOf(root, encoded === true, restrict !== undefined));
  if (restrict !== undefined) checkInside(path, restrict);
  process.exitCode = await runAgent(new StdioLink(), {
    root: path,
    version: packageVersion(),
    signal: untilTerminated(),
  });
}

/**
 * SIGTERM ends the agent in order. Ctrl-C is for the mirror, which then says bye; so is SIGHUP, when sshd hangs up: what
 * has arrived is applied before the link's end is found.
 */
function untilTerminated(): AbortSignal {
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {});
  return stop.signal;
}

function rootOf(root: string | undefined, encoded: boolean, forced: boolean): string {
  if (root !== undefined) return encoded ? decoded(root) : root;
  // sshd(8), ENVIRONMENT: what the client asked for when a forced command runs instead.
  const asked = process.env['SSH_ORIGINAL_COMMAND'] ?? '';
  const found = forced ? /\bfam agent --encoded ([^\s;']+)/.exec(asked)?.[1] : undefined;
  if (found === undefined)
    throw new FamError('USAGE', 'fam agent is started by fam mirror: no replica is named');
  return decoded(found);
}

function decoded(root: string): string {
  const text = textOfBytes(decodePath(root));
  if (text === undefined) throw new FamError('USAGE', `the replica's path ${root} is not UTF-8`);
  return text;
}

/** The root may not exist yet; then its parent must be inside. */
function checkInside(path: string, folder: string): void {
  const allowed = realpathSync(folder);
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    real = join(realpathSync(dirname(path)), path.slice(dirname(path).length));
  }
  if (real === allowed || real.startsWith(allowed === '/' ? '/' : `${allowed}/`)) return;
  throw new FamError(
    'DESTINATION_UNWRITABLE',
    `${path} is outside ${folder}, which this key is restricted to`,
  );
}
