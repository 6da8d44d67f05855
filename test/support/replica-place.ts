// Where a replica is, and what belongs to it.

import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface ReplicaPlace {
  /** The replica's root, alone in a folder (or on a file system) with what belongs beside it. */
  readonly root: string;
  /** That folder: what is moved out of the replica stays there. */
  readonly mount: string;
}

/** The agent's own folder, where it is at the top of the root. */
export const innerHome = '.fam';

/** Agent's own folder: beside the root, or inside it. */
export function homeOf(place: ReplicaPlace): string {
  const inside = join(place.root, innerHome);
  return existsSync(inside) ? inside : join(dirname(place.root), `.fam-${basename(place.root)}`);
}

export function trashOf(place: ReplicaPlace): string {
  return join(homeOf(place), 'trash');
}
