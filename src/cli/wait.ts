// `fam wait`: the barrier.

import * as z from 'zod/mini';
import { askStatus, askWait } from '../control/client.ts';
import { longestWaitMs } from '../control/status.ts';
import { FamError } from '../core/errors.ts';
import { printable } from '../core/printable.ts';
import { counted } from './counted.ts';
import { chooseState } from './state-option.ts';

const longestWaitS = longestWaitMs / 1000;

const waitOptions = z.object({
  state: z.optional(z.string()),
  timeout: z.coerce.number().check(z.nonnegative(), z.maximum(longestWaitS)),
});

/** Exit 0 when everything is there that can be, what failed is told on stderr; TIMEOUT names who is not. @throws FamError */
export async function waitCommand(source: string | undefined, given: object): Promise<void> {
  const parsed = waitOptions.safeParse(given);
  if (!parsed.success)
    throw new FamError('USAGE', `--timeout takes a number of seconds, ${longestWaitS} (a day) at most`);
  const { state, timeout } = parsed.data;
  const directory = await chooseState(source, state);
  const result = await askWait(directory, timeout * 1000);
  if (result.reached) {
    await tellFailures(directory);
    return;
  }
  throw new FamError(
    'TIMEOUT',
    `not everything has arrived after ${timeout} s; behind: ${result.behind.join(', ')}`,
  );
}

/** Of what could not be mirrored nobody can wait: whoever goes on is to know. */
async function tellFailures(directory: string): Promise<void> {
  // It may have ended at this moment: what was asked for was reached.
  const status = await askStatus(directory).catch(() => undefined);
  for (const { replica, failed } of status?.replicas ?? []) {
    if (failed === 0) continue;
    const message = `fam: warning: ${replica} has everything but for ${counted(failed, 'failure')}, which the mirror's log names`;
    process.stderr.write(printable(`${message}\n`));
  }
}
