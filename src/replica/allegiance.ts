// I9: whom a replica follows. One source at a time; never an older state of it than it has seen; and of all that have been the main of a
// line, the one that was promoted last.

import { FamError } from '../core/errors.ts';
import { bytesOfText } from '../core/name.ts';
import type { Succession } from '../core/succession.ts';
import { sourceIdOf } from '../tree/source-id.ts';
import type { Welcome } from '../wire/messages.ts';
import type { ReplicaMemory } from './records.ts';

/** What a replica knows of the mains that it has had. */
export interface Allegiance {
  /** The replica's root, real path. */
  readonly root: string;
  readonly memory: Pick<ReplicaMemory, 'sourceId' | 'epoch' | 'reconciled'> | undefined;
  readonly succession: Succession | undefined;
}

/**
 * Decides whether the replica follows the source that says `welcome`.
 * @returns what is to be remembered of it
 * @throws FamError REPLICA_FENCED; SUPERSEDED: the source is not the main any more, and no consent makes it so but a promotion
 */
export function follow({ root, memory, succession }: Allegiance, welcome: Welcome): Succession {
  const { sourceId, promotedAt = 0 } = welcome;
  const own = sourceIdOf(bytesOfText(root));
  const descent = descentOf(welcome);
  const isLine = succession?.sourceId === sourceId;
  // Whoever was promoted says so, whether the source has heard by now that it follows from there or not.
  if (succession !== undefined) refuseSuperseded(root, succession, isLine, promotedAt);
  if (descent.includes(own, 1)) throw circle(root, welcome, descent[1] === own);
  if (!welcome.init && memory !== undefined && memory.sourceId !== sourceId) {
    throw new FamError(
      'REPLICA_FENCED',
      `${root} is a replica of another source (${memory.sourceId}): it follows a new one only with --init`,
    );
  }
  const isSameMain = memory?.sourceId === sourceId && (!isLine || succession.promotedAt === promotedAt);
  if (!welcome.init && isSameMain && memory.epoch > welcome.epoch) {
    throw new FamError(
      'REPLICA_FENCED',
      `${root} has followed this source in epoch ${memory.epoch}, which is later than ${welcome.epoch}: the source is out of date`,
    );
  }
  const wasWhole = isLine ? succession.isWhole : memory?.sourceId === sourceId && memory.reconciled;
  // A line's first main has no memory of being a replica when it is met by the one that took its place.
  const wasMain = succession === undefined ? sourceId === own : succession.isMain || succession.wasMain;
  return { sourceId, promotedAt, isMain: false, wasMain, isWhole: wasWhole, descent };
}

/** Where the tree of a source comes from. A source of an earlier fam says two steps at most, and after a promotion the line only. */
function descentOf({ descent, sourceId, promotedAt = 0, follows }: Welcome): readonly string[] {
  if (descent !== undefined) return descent;
  if (promotedAt > 0) return [];
  return follows === undefined ? [sourceId] : [sourceId, follows];
}

function circle(root: string, { place }: Welcome, isDirect: boolean): FamError {
  const promote = `run fam promote ${place?.path ?? 'ROOT'} on its host first`;
  const [how, remedy] = isDirect
    ? ['', `If the source is to take over, or gets nothing from there any more, ${promote}`]
    : [
        ' by way of others',
        `If the source is to be the main, ${promote}; if one in between gets nothing from there any more, promote that one`,
      ];
  const message = `${root} is what this source gets its tree from as a replica${how}: changes would go round in a circle. ${remedy}`;
  return new FamError('REPLICA_FENCED', message);
}

function refuseSuperseded(root: string, succession: Succession, isLine: boolean, promotedAt: number): void {
  const { isMain, promotedAt: since } = succession;
  const isLater = isLine && promotedAt > since;
  if (isMain && !isLater) {
    throw new FamError(
      'SUPERSEDED',
      `${root} was promoted at ${timeOf(since)} and is the main now: let it mirror to this one, or run fam promote here to take its place, or fam promote --undo there`,
    );
  }
  if (isLine && promotedAt < since) {
    throw new FamError(
      'SUPERSEDED',
      `${root} follows a main that was promoted at ${timeOf(since)}, later than this one: run fam promote here if this is to be the main again`,
    );
  }
}

/** For people. */
export function timeOf(promotedAt: number): string {
  return new Date(promotedAt).toISOString();
}
