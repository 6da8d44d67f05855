import { readdirSync, readlinkSync } from 'node:fs';

/** How many inotify instances this process has. */
export function inotifyInstances(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:inotify';
    } catch {
      return false; // The one that the folder was read through.
    }
  }).length;
}
