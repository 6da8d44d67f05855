// A replica becomes the main: no source that was promoted earlier may write to it from now on, and what was under way when the old main
// went is brought to an end. Nothing that users could see is removed.

import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Kind } from '../core/attributes.ts';
import { codeOf, FamError } from '../core/errors.ts';
import { bytesOfText } from '../core/name.ts';
import type { Succession } from '../core/succession.ts';
import { sourceIdOf } from '../tree/source-id.ts';
import { TreeStore } from '../tree/store.ts';
import { ApplyingMark } from './applying-mark.ts';
import { findHome, type Home, type HomePlace, lockHolder, namesIn, openHome } from './home.ts';
import { refuseUnmounted } from './mount-note.ts';
import { Records } from './records.ts';
import { recover } from './recover.ts';
import { readSuccession, restoreSuccession, writeSuccession } from './succession-file.ts';
import { Trash } from './trash.ts';

export interface PromoteOptions {
  /** Promotes a replica whose first copy had not come to its end. */
  readonly force: boolean;
}

/** What a promoted replica has not. */
export interface Promotion {
  readonly succession: Succession;
  /** Paths, relative to the root, of which newer content had been announced and had not come: they show what was there before. */
  readonly owed: readonly string[];
  /** How many files a first copy still lacked: they have no names here yet. */
  readonly lacking: number;
  /** Its records have been lost (power, most likely): what was under way is not known, and the last files may be damaged. */
  readonly hasLostRecords: boolean;
  /** How many things had lost their names, and the places where they were to go had not come: they are in the trash. */
  readonly kept: number;
  /** Path of the trash. */
  readonly trash: string;
}

/** An agent that is told to end finishes its batch first. */
const agentEndMs = 10_000;
const lookAgainMs = 50;

/**
 * Makes the tree at `root` (a real path) the main of its line.
 * @throws FamError REPLICA_INCOMPLETE, REPLICA_BUSY, DESTINATION_*, STATE_UNUSABLE; it is what it was then
 */
export async function promote(root: string, { force }: PromoteOptions): Promise<Promotion> {
  refuseUnmounted(root);
  const place = ownHome(root);
  const former = readSuccession(place?.path);
  if (former?.isMain !== true && former?.isWhole !== true && !force)
    throw place === undefined ? noReplica(root) : incomplete(root);
  const succession: Succession = {
    sourceId: former?.sourceId ?? sourceIdOf(bytesOfText(root)),
    // A clock that is behind must not make it an earlier one.
    promotedAt: Math.max(Date.now(), (former?.promotedAt ?? 0) + 1),
    isMain: true,
    wasMain: false,
    isWhole: true,
  };
  // First of all: the agent that is at work is the last one.
  if (place !== undefined) declare(place.path, succession);
  let home: Home;
  try {
    home = await openAlone(root);
  } catch (error) {
    if (place !== undefined) restoreSuccession(place.path, former);
    throw error;
  }
  try {
    if (place === undefined) declare(home.path, succession);
    const { owed, lacking, kept, hasRecords } = settle(home);
    const hasLostRecords = former !== undefined && !hasRecords;
    return { succession, owed, lacking, kept, hasLostRecords, trash: join(home.path, 'trash') };
  } finally {
    home.close();
  }
}

/** Lets a tree that was promoted follow a main again. @returns false: it was none. @throws FamError REPLICA_BUSY, STATE_UNUSABLE */
export async function undoPromotion(root: string): Promise<boolean> {
  const place = ownHome(root);
  const former = readSuccession(place?.path);
  if (place === undefined || former?.isMain !== true) return false;
  const home = await openAlone(root);
  try {
    declare(place.path, { ...former, promotedAt: 0, isMain: false });
  } finally {
    home.close();
  }
  return true;
}

/** @throws FamError DESTINATION_UNWRITABLE: another user's agents serve this root, and would not find what we write */
function ownHome(root: string): HomePlace | undefined {
  const place = findHome(root);
  if (place === undefined || place.uid === process.geteuid?.()) return place;
  throw new FamError(
    'DESTINATION_UNWRITABLE',
    `the agents of ${root} run as user ${place.uid} (${place.path}): run this as that user`,
  );
}

function declare(home: string, succession: Succession): void {
  try {
    writeSuccession(home, succession);
  } catch (cause) {
    const code = codeOf(cause) ?? 'EIO';
    throw new FamError('DESTINATION_UNWRITABLE', `cannot write to ${home} (${code}): nothing was changed`, {
      cause,
    });
  }
}

function noReplica(root: string): FamError {
  return new FamError(
    'REPLICA_INCOMPLETE',
    `${root} has never been a replica: name the replica's root, as the mirror does. --force makes it a main all the same`,
  );
}

function incomplete(root: string): FamError {
  return new FamError(
    'REPLICA_INCOMPLETE',
    `the first copy to ${root} has not come to its end: files are missing there. --force promotes it all the same`,
  );
}

/** Ends the agent that is at work, if one is, and takes its place. */
async function openAlone(root: string): Promise<Home> {
  const deadline = performance.now() + agentEndMs;
  let told: number | undefined;
  for (;;) {
    try {
      return openHome(root);
    } catch (error) {
      if (!(error instanceof FamError && error.code === 'REPLICA_BUSY')) throw error;
    }
    const place = findHome(root);
    const agent = place === undefined ? undefined : lockHolder(place);
    if (performance.now() > deadline) {
      throw new FamError(
        'REPLICA_BUSY',
        `the agent of ${root} (process ${agent ?? 'unknown'}) does not end: kill it`,
        {
          retryable: true,
        },
      );
    }
    // RACE: another agent may have taken the lock meanwhile; it is told as well.
    if (agent !== undefined && agent !== told) {
      told = agent;
      end(agent, root);
    }
    await delay(lookAgainMs);
  }
}

function end(agent: number, root: string): void {
  try {
    process.kill(agent, 'SIGTERM');
  } catch (cause) {
    // It has ended by itself.
    if (codeOf(cause) === 'ESRCH') return;
    throw new FamError(
      'REPLICA_BUSY',
      `the agent of ${root} (process ${agent}) cannot be ended: run this as the user that it runs as`,
      { cause },
    );
  }
}

/** Brings to an end what an agent had begun, and says what is lacking. From now on no cursor speaks of this tree. */
function settle(home: Home): Pick<Promotion, 'owed' | 'lacking' | 'kept'> & { readonly hasRecords: boolean } {
  using store = TreeStore.open(home.state, { journal: false });
  const records = new Records(store);
  const memory = records.memory();
  const mark = new ApplyingMark(home.state);
  const cutOff = mark.read();
  if (cutOff !== undefined && memory?.reconciled === true) recover(home, records, cutOff);
  mark.clear();
  mark.close();
  const owed: string[] = [];
  let lacking = 0;
  for (const id of records.pending) {
    const inode = records.inode(id);
    if (inode === undefined) lacking += 1;
    else if (inode.attributes.kind !== Kind.directory) owed.push(records.pathOf(id));
  }
  const kept = keepNameless(home);
  if (memory !== undefined) {
    store.transaction(() => {
      records.pending.clear();
      records.remember({ ...memory, reconciled: false, deferred: [], nameless: [] });
    });
  }
  return { owed, lacking, kept, hasRecords: memory !== undefined };
}

/** What is in limbo has lost its name in the tree: where it was to go was still to be told. */
function keepNameless(home: Home): number {
  const trash = new Trash(home);
  const why = 'it had no name when this replica was promoted';
  return namesIn(home.limboFd).filter((name) => trash.keep(home.limboFd, name, `(${name})`, why) >= 0).length;
}
