import { realpathSync, statSync } from 'node:fs';
import type { HostPlace } from '../core/host-place.ts';
import { bytesOfText } from '../core/name.ts';
import { below } from '../core/under.ts';
import { AT_FDCWD, check, Stat, statx } from '../kernel/sys.ts';
import { bootId } from './store-files.ts';

/** Of a folder on this host. Throws what `stat` does. */
export function hostPlaceOf(folder: string): HostPlace {
  const path = realpathSync(folder);
  return { boot: bootId(), path, file: fileOf(path), object: objectAt(path) };
}

/**
 * Whether that place is on this host, and is the folder here or lies within it, or the other way round. Containers that share a kernel
 * are hosts apart, unless the path leads to one folder in both.
 */
export function overlapsHere(place: HostPlace, folder: string): boolean {
  try {
    const here = hostPlaceOf(folder);
    if (here.boot !== place.boot) return false;
    if (here.file === place.file) return true;
    if (fileOf(place.path) !== place.file) return false;
  } catch {
    // Nothing of that path is here.
    return false;
  }
  const [one, other] = [bytesOfText(place.path), bytesOfText(folder)];
  return below(one, other) !== undefined || below(other, one) !== undefined;
}

function objectAt(path: string): string {
  const stat = new Stat();
  check(statx(AT_FDCWD, bytesOfText(path), stat), 'stat', path);
  return `${stat.inoHigh}:${stat.inoLow}:${stat.birth}`;
}

function fileOf(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  return `${dev}:${ino}`;
}
