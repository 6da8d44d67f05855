// `fam wait`: the barrier.

import * as z from 'zod/mini';
import { askWait } from '../control/client.ts';
import { longestWaitMs } from '../control/status.ts';
import { FamError } from '../core/errors.ts';
import { chooseState } from './state-option.ts';

const longestWaitS = longestWaitMs / 1000;

const waitOptions = z.object({
  state: z.optional(z.string()),
  timeout: z.coerce.number().check(z.nonnegative(), z.maximum(longestWaitS)),
});

/** Exit 0 when everything is there; TIMEOUT names who is not. @throws FamError */
export async function waitCommand(source: string | undefined, given: object): Promise<void> {
  const parsed = waitOptions.safeParse(given);
  if (!parsed.success)
    throw new FamError('USAGE', `--timeout takes a number of seconds, ${longestWaitS} (a day) at most`);
  const { state, timeout } = parsed.data;
  const result = await askWait(await chooseState(source, state), timeout * 1000);
  if (result.reached) return;
  throw new FamError(
    'TIMEOUT',
    `not everything has arrived after ${timeout} s; behind: ${result.behind.join(', ')}`,
  );
}
