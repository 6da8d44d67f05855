// A replica whose file system is not mounted (the disk failed at a reboot, somebody unmounted it) looks like a new, empty one: filled
// below the mount point, it would fill the file system that is there. Nothing of the replica's own is there to tell, so this host
// remembers, beside the states of its mirrors, where file systems were mounted that replicas are on.

import { existsSync, mkdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { FamError } from '../core/errors.ts';
import { bytesOfText, textOfBytes } from '../core/name.ts';
import { below, isWithin, under } from '../core/under.ts';
import { type Mount, readMounts } from '../kernel/mounts.ts';
import { AT_FDCWD, fstat, Stat, statx } from '../kernel/sys.ts';
import { plannedRealPath } from '../runtime/planned-real-path.ts';
import { statesFolder } from '../runtime/states-folder.ts';
import { replaceDurably } from '../tree/store-files.ts';

/** No source's state has such a name. */
const folderName = '@mounts';

/**
 * Before anything is made or opened there: a root, or where it would be made, is not below a mount point that has nothing mounted.
 * @throws FamError DESTINATION_UNWRITABLE; as soon as it is mounted there is no reason for it any more
 */
export function refuseUnmounted(root: string): void {
  const real = plannedRealPath(root);
  const stat = new Stat();
  if (statx(AT_FDCWD, bytesOfText(nearest(real)), stat) < 0) return;
  const mounted = mountPointOf(stat);
  if (mounted === undefined) return;
  for (let point = real; point.length > mounted.length; point = dirname(point)) {
    const note = noteOf(point);
    if (!existsSync(note)) continue;
    const where = point === real ? `on ${point}` : `on ${point}, above ${real}`;
    const message = `no file system is mounted ${where}, and one was when fam last wrote to a replica there: nothing is written to what is there in its place. Mount it, and fam goes on; if what is there now is meant, remove ${note}`;
    throw new FamError('DESTINATION_UNWRITABLE', message, { retryable: true });
  }
}

/**
 * Remembers where the file system is mounted that holds a replica's root. That is help, and no condition: where it cannot be noted, or would be lost
 * along with the replica, it is not.
 */
export function noteMount(rootFd: number, root: string): void {
  const stat = new Stat();
  if (fstat(rootFd, stat) < 0) return;
  const point = mountPointOf(stat);
  if (point === undefined || point === '/' || !isWithin(root, point)) return;
  const note = noteOf(point);
  if (existsSync(note)) return;
  const folder = dirname(note);
  try {
    const { mountId } = stat;
    if (statx(AT_FDCWD, bytesOfText(nearest(folder)), stat) < 0 || stat.mountId === mountId) return;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    replaceDurably(
      folder,
      basename(note),
      `${root}, a replica, is on the file system that is mounted on ${point}\n`,
    );
  } catch {
    // A user without a home, a full disk.
  }
}

/** Where it is noted that a file system is mounted there. The name can be typed into a shell as it is told, as far as the path can. */
export function noteOf(point: string): string {
  return join(statesFolder(), folderName, encodeURIComponent(point.slice(1)));
}

/** What exists of a path. */
function nearest(path: string): string {
  return existsSync(path) ? path : nearest(dirname(path));
}

/** Where the file system is mounted that an object is on; undefined: that cannot be told. */
function mountPointOf({ mountId }: Stat): string | undefined {
  const mounts = new Map(readMounts().map((mount) => [mount.id, mount]));
  let mount = mounts.get(mountId);
  while (mount !== undefined) {
    const parent = mounts.get(mount.parentId);
    if (parent === undefined || !isMereView(mount, parent)) break;
    mount = parent;
  }
  return mount === undefined ? undefined : textOfBytes(mount.point);
}

/** It shows what would be there without it: a service that may write to some folders only has such mounts (systemd's ReadWritePaths=). */
function isMereView(mount: Mount, parent: Mount): boolean {
  if (mount.device !== parent.device) return false;
  const path = mount.point === parent.point ? '' : below(parent.point, mount.point);
  return path !== undefined && mount.root === under(parent.root, path);
}
