// inotify's limit of watches: what it is, what a tree needs, and what to do about it.

import { readFileSync } from 'node:fs';
import type { Name } from '../core/name.ts';
import { DT_DIR, ENOSPC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from './constants.ts';
import { readDirectory } from './directory.ts';
import { close, openat } from './entry-calls.ts';
import { Stat, statx } from './stat.ts';
import { SysError } from './sys-error.ts';

/** The same limit for the whole system, and for a container with users of its own (user_namespaces(7)): the lower one counts. */
const knobs = {
  'fs.inotify.max_user_watches': '/proc/sys/fs/inotify/max_user_watches',
  'user.max_inotify_watches': '/proc/sys/user/max_inotify_watches',
} as const;

function lowest(): { readonly knob: string; readonly limit: number } {
  const limits = Object.entries(knobs).map(([knob, path]) => ({ knob, limit: valueAt(path) }));
  return limits.reduce((a, b) => (b.limit < a.limit ? b : a));
}

function valueAt(path: string): number {
  try {
    return Number(readFileSync(path, 'latin1'));
  } catch {
    // Kernels that were built without user namespaces have only the first.
    return Infinity;
  }
}

/** What to do when no further instance can be had: for the log. */
export function instanceLimitAdvice(): string {
  const limit = valueAt('/proc/sys/fs/inotify/max_user_instances');
  return (
    `the limit of ${limit} inotify instances (of all programs of this user) is reached, and one more is needed: ` +
    `\`sysctl fs.inotify.max_user_instances=${limit * 2}\` (kept by a line in /etc/sysctl.d/60-fam.conf)`
  );
}

/** How many directories one user may watch, all programs together. */
export function watchLimit(): number {
  return lowest().limit;
}

/** What `InotifySource.add` does to a path; an ENOSPC of it is the limit, one of other calls is not. */
export const addingWatch = 'add a watch for';

export function isWatchLimit(error: unknown): boolean {
  return error instanceof SysError && error.errno === ENOSPC && error.action === addingWatch;
}

/**
 * What to do when `add` throws ENOSPC: one line for the log.
 * @param needed directories of the tree, each of which takes a watch
 */
export function watchLimitAdvice(needed: number, limit = watchLimit()): string {
  const { knob } = lowest();
  // Twice as many: other programs of the user take some, and trees grow.
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(limit, needed) * 2));
  return (
    `the limit of ${limit} inotify watches (of all programs of this user) is reached, and this tree needs ${needed}, one for each ` +
    `directory: \`sysctl ${knob}=${wanted}\` (kept by a line in /etc/sysctl.d/60-fam.conf), ` +
    `or run as root where fanotify can be used, which needs none`
  );
}

/** How many directories a tree holds, mounts included; what cannot be listed counts as one. */
export function countDirectories(rootFd: number): number {
  let count = 0;
  const visit = (parent: number, name: string): void => {
    count++;
    const fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return;
    const below: Name[] = [];
    readDirectory(fd, (child, type) => {
      if (type === DT_DIR || (type === 0 && statx(fd, child, stat) === 0 && stat.isDirectory))
        below.push(child);
    });
    for (const child of below) visit(fd, child);
    close(fd);
  };
  const stat = new Stat();
  visit(rootFd, '.');
  return count;
}
