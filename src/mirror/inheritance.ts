// What a source has from being, or having been, a replica itself (I9): a promoted one goes on as the main of its line, one that follows
// hands on what it gets, and the first main of a line that was succeeded is no source any more.

import { join } from 'node:path';
import { FamError } from '../core/errors.ts';
import { asName, bytesOfText } from '../core/name.ts';
import type { Inheritance } from '../core/succession.ts';
import { timeOf } from '../replica/allegiance.ts';
import { findHome, innerHomeName } from '../replica/home.ts';
import { readSuccession } from '../replica/succession-file.ts';
import { sourceIdOf } from '../tree/source-id.ts';

/**
 * @param source the source's real path
 * @returns undefined: it has never been a replica
 * @throws FamError SUPERSEDED, STATE_UNUSABLE
 */
export function inheritanceOf(source: string): Inheritance | undefined {
  const home = findHome(source);
  const succession = readSuccession(home?.path);
  if (home === undefined || succession === undefined) return undefined;
  const hidden = home.isInside ? asName(innerHomeName) : undefined;
  const { sourceId, promotedAt, isMain } = succession;
  if (isMain)
    return { sourceId, promotedAt, follows: undefined, formerState: join(home.path, 'state'), hidden };
  const own = sourceIdOf(bytesOfText(source));
  if (sourceId === own) {
    throw new FamError(
      'SUPERSEDED',
      `${source} follows the main that was promoted at ${timeOf(promotedAt)} in its place: mirror from there, or run fam promote ${source} to make this the main again`,
    );
  }
  return { sourceId: own, promotedAt: 0, follows: sourceId, formerState: undefined, hidden };
}
