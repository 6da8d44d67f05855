// The file in which a replica's own folder remembers whom it follows, or that it was promoted. It outlives the records: a replica whose
// state was lost still refuses a main that has been succeeded.

import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { codeOf, FamError } from '../core/errors.ts';
import type { Succession } from '../core/succession.ts';
import { replaceDurably } from '../tree/store-files.ts';

const fileName = 'succession.json';

const successionSchema = z.object({
  sourceId: z.string(),
  promotedAt: z.int().check(z.nonnegative()),
  isMain: z.boolean(),
  wasMain: z.boolean(),
  isWhole: z.boolean(),
  descent: z.optional(z.array(z.string())),
});

/** Its path in a replica's own folder. */
export function successionIn(home: string): string {
  return join(home, fileName);
}

/**
 * @param home path of the replica's own folder; undefined: there is none
 * @returns undefined: it has never followed anybody
 * @throws FamError STATE_UNUSABLE when the file is there and says nothing: whoever guessed could follow the wrong main
 */
export function readSuccession(home: string | undefined): Succession | undefined {
  if (home === undefined) return undefined;
  const path = successionIn(home);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined;
    throw unusable(path, cause);
  }
  try {
    return successionSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw unusable(path, cause);
  }
}

/** Replaces it, so that it survives a power loss. */
export function writeSuccession(home: string, succession: Succession): void {
  replaceDurably(home, fileName, `${JSON.stringify(succession)}\n`);
}

/** Puts back what `readSuccession` has said. */
export function restoreSuccession(home: string, former: Succession | undefined): void {
  if (former !== undefined) writeSuccession(home, former);
  else rmSync(successionIn(home), { force: true });
}

function unusable(path: string, cause: unknown): FamError {
  return new FamError(
    'STATE_UNUSABLE',
    `${path} cannot be read: it says which main this tree follows. Remove it if that is known otherwise`,
    { cause },
  );
}
