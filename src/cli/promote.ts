// `fam promote`: the main server has died, and a replica takes its place.

import { realpathSync } from 'node:fs';
import * as z from 'zod/mini';
import { FamError } from '../core/errors.ts';
import { displayBytes } from '../core/name.ts';
import { timeOf } from '../replica/allegiance.ts';
import { type Promotion, promote, undoPromotion } from '../replica/promotion.ts';

const promoteOptions = z.object({
  force: z._default(z.boolean(), false),
  undo: z._default(z.boolean(), false),
});

/** Paths that are shown one by one. */
const maxShown = 20;

/** @throws FamError */
export async function promoteCommand(given: string, options: object): Promise<void> {
  const { force, undo } = promoteOptions.parse(options);
  const root = realRoot(given);
  if (!undo) {
    process.stdout.write(told(root, await promote(root, { force })));
    return;
  }
  const wasMain = await undoPromotion(root);
  process.stdout.write(
    wasMain
      ? `${root} follows again: the next main that mirrors to it is compared with it, and what differs here goes to the trash\n`
      : `${root} was not promoted: nothing to undo\n`,
  );
}

function told(root: string, { succession, owed, lacking, hasLostRecords, kept, trash }: Promotion): string {
  const lines = [
    `${root} is the main since ${timeOf(succession.promotedAt)}: no earlier main writes to it any more`,
  ];
  if (owed.length > 0) {
    lines.push(
      `newer content of ${owed.length} files had been announced and had not come; what was there before is still there:`,
    );
    for (const path of owed.slice(0, maxShown)) lines.push(`  ${displayBytes(path)}`);
    if (owed.length > maxShown) lines.push(`  ... and ${owed.length - maxShown} more`);
  }
  if (lacking > 0)
    lines.push(
      `${lacking} files of the first copy had not come: they are missing, or older ones are in their place`,
    );
  if (hasLostRecords)
    lines.push(
      'its records are lost (power?): what had been announced is not known, and the files that came last may be damaged',
    );
  if (kept > 0) lines.push(`${kept} files or folders were on their way to another name: kept in ${trash}`);
  lines.push(
    `next: fam mirror ${root} OTHER:PATH ... for each of the other replicas, and the old main when it is back`,
  );
  return `${lines.join('\n')}\n`;
}

function realRoot(given: string): string {
  try {
    return realpathSync(given);
  } catch (cause) {
    throw new FamError(
      'DESTINATION_UNWRITABLE',
      `${given} does not exist: name the replica's root on this host`,
      {
        cause,
      },
    );
  }
}
