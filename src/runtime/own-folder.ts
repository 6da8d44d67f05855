// Folders from which code is run must be ours alone: another user who could write there could plant some.

import { lstatSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const groupOrOtherWrite = 0o022;

/** Where the agent's files may lie, best first: the user's cache folder; a folder of the user's own in /var/tmp. */
export function cachePlaces(): string[] {
  const uid = process.getuid?.() ?? 0;
  const cache = process.env['XDG_CACHE_HOME'] || join(process.env['HOME'] || homedir(), '.cache');
  return [join(cache, 'fam'), `/var/tmp/fam-agent-${uid}`];
}

/** True when a file or folder with this stat is nobody's but ours to change. */
export function isOurs(stat: { readonly uid: number; readonly mode: number }): boolean {
  return stat.uid === process.getuid?.() && (stat.mode & groupOrOtherWrite) === 0;
}

/**
 * Makes the folder if need be (mode 0700). Throws when it cannot, or when it is a link, another user's, or
 * writable by others.
 */
export function ensureOwnFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stat = lstatSync(folder);
  if (!stat.isDirectory() || !isOurs(stat)) throw new Error(`${folder} is not a folder that is ours alone`);
}
