// What is in the tree twice: a folder or file of it that is bind-mounted at another place of it. Either is recorded for itself, as if it
// were another file system's: inodes under the mount get a device number of their own, which no device has.

import { fnvBasis, fnvStep } from '../core/fnv.ts';
import type { ByteString } from '../core/name.ts';
import { below, isWithin, under } from '../core/under.ts';
import { type Mount, pathOf, readMounts } from '../kernel/mounts.ts';
import { fstat, Stat } from '../kernel/sys.ts';

const two32 = 2 ** 32;
/** The kernel gives out majors below 512 (BLKDEV_MAJOR_MAX); the records have 12 bits for them. */
const firstMajor = 2048;

/** Whether a device is that of a copy. */
export function isCopy(dev: number): boolean {
  return dev >= firstMajor * two32;
}

/** The device of what is mounted there: the same whenever it is. 31 bits of FNV-1a. */
function deviceOfCopy({ device, point }: Mount, root: ByteString): number {
  let hash = fnvBasis;
  for (const char of `${device} ${below(root, point) ?? ''}`) hash = fnvStep(hash, char.charCodeAt(0));
  const major = firstMajor + ((hash >>> 20) & 0x7ff);
  return major * two32 + (hash & 0xf_ffff);
}

/** Part of a file system. */
interface Region {
  readonly device: string;
  /** From the file system's own root on. */
  readonly path: ByteString;
}

function overlap(a: Region, b: Region): boolean {
  return a.device === b.device && (isWithin(a.path, b.path) || isWithin(b.path, a.path));
}

/** What of its file system the mount shows at an absolute path. */
function regionAt({ device, root, point }: Mount, path: ByteString): Region {
  return { device, path: under(root, below(point, path) ?? '') };
}

/** Of one tree. For one thread. */
export class Copies {
  readonly #rootFd: number;
  readonly #rootMount: number;
  /** By mount: the device of its copies, 0: it shows what is nowhere else. */
  #devices: Map<number, number> | undefined;

  /** @param rootFd stays the caller's */
  constructor(rootFd: number) {
    this.#rootFd = rootFd;
    const stat = new Stat();
    this.#rootMount = fstat(rootFd, stat) < 0 ? 0 : stat.mountId;
  }

  /** What counts as the device of what was just seen. */
  deviceOf({ dev, mountId }: Stat): number {
    if (mountId === this.#rootMount) return dev;
    if (this.#devices?.has(mountId) !== true) {
      this.#devices = this.#read();
      // One that has gone since is not asked for again.
      if (!this.#devices.has(mountId)) this.#devices.set(mountId, 0);
    }
    return this.#devices.get(mountId) || dev;
  }

  /** Something was mounted or unmounted. */
  mountsChanged(): void {
    this.#devices = undefined;
  }

  #read(): Map<number, number> {
    const devices = new Map<number, number>();
    const mounts = readMounts();
    const root = pathOf(this.#rootFd);
    const byId = new Map(mounts.map((mount) => [mount.id, mount]));
    const rootMount = byId.get(this.#rootMount);
    const shown: Region[] = rootMount === undefined ? [] : [regionAt(rootMount, root)];
    for (const mount of mounts) {
      if (below(root, mount.point) === undefined) continue;
      const region: Region = { device: mount.device, path: mount.root };
      const parent = byId.get(mount.parentId);
      // A folder that is mounted over itself is where it was.
      const covered = parent === undefined ? undefined : regionAt(parent, mount.point);
      const isItself = covered?.device === region.device && covered.path === region.path;
      const isTwice = !isItself && shown.some((other) => overlap(other, region));
      devices.set(mount.id, isTwice ? deviceOfCopy(mount, root) : 0);
      shown.push(region);
    }
    return devices;
  }
}
