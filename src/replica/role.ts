// What a tree is as a replica, for whoever asks on its own host.

import { realpathSync } from 'node:fs';
import { bytesOfText } from '../core/name.ts';
import type { Succession } from '../core/succession.ts';
import {
  AT_FDCWD,
  close,
  EAGAIN,
  flock,
  LOCK_EX,
  LOCK_NB,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
} from '../kernel/sys.ts';
import { findHome, type HomePlace, lockHolder } from './home.ts';
import { readSuccession } from './succession-file.ts';

export interface ReplicaRole extends Succession {
  /** The replica's real path. */
  readonly root: string;
  /** Process number of the agent that is at work; undefined: none is, so nobody is connected. */
  readonly agent: number | undefined;
  /** The replica's own folder: trash, staging, state. */
  readonly home: string;
}

/**
 * @param path of a tree on this host
 * @returns undefined: it has never been a replica
 * @throws FamError STATE_UNUSABLE
 */
export function roleOf(path: string): ReplicaRole | undefined {
  let root: string;
  try {
    root = realpathSync(path);
  } catch {
    return undefined;
  }
  const home = findHome(root);
  const succession = readSuccession(home?.path);
  if (home === undefined || succession === undefined) return undefined;
  return { ...succession, root, agent: agentIn(home), home: home.path };
}

function agentIn(home: HomePlace): number | undefined {
  const fd = openat(AT_FDCWD, bytesOfText(`${home.path}/lock`), O_RDONLY | O_NOFOLLOW);
  if (fd < 0) return undefined;
  // RACE: an agent that starts in this moment finds the lock taken, and tries again.
  const isHeld = flock(fd, LOCK_EX | LOCK_NB) === -EAGAIN;
  close(fd);
  return isHeld ? lockHolder(home) : undefined;
}
