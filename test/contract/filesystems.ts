// Real file systems for tests: a loop image in a temporary folder, mounted, and always unmounted and removed.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forgetMounts } from '../support/forget-mounts.ts';

/** `overlay-handles`: overlayfs with nfs_export=on, which gives file handles. */
export const fileSystemTypes = [
  'ext4',
  'xfs',
  'btrfs',
  'btrfs-subvolume',
  'tmpfs',
  'overlay',
  'overlay-handles',
] as const;
/** `fuse`: bindfs, which shows the folder `behind` beside the mount, and does not learn of what is changed there. */
export type FileSystemType = (typeof fileSystemTypes)[number] | 'fuse';

const imageBytes: Partial<Record<FileSystemType, number>> = {
  ext4: 256 * 2 ** 20,
  // The smallest that mkfs.xfs makes.
  xfs: 320 * 2 ** 20,
  btrfs: 256 * 2 ** 20,
  'btrfs-subvolume': 256 * 2 ** 20,
};

const tmpfsBytes = 512 * 2 ** 20;

const makers: Partial<Record<FileSystemType, readonly string[]>> = {
  // Enough inodes for a burst of 100,000 files.
  ext4: ['mkfs.ext4', '-q', '-F', '-N', '150000'],
  xfs: ['mkfs.xfs', '-q', '-f', '-i', 'maxpct=100'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
  'btrfs-subvolume': ['mkfs.btrfs', '-q', '-f'],
  fuse: ['bindfs'],
};

function run(command: readonly string[]): void {
  const [program, ...args] = command;
  if (program === undefined) throw new Error('no command');
  execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

function why(error: unknown): string {
  if (error instanceof Error && 'stderr' in error && String(error.stderr) !== '')
    return String(error.stderr).trim();
  return error instanceof Error ? error.message : String(error);
}

/** Why a file system of this type cannot be mounted here, or undefined when it can. Tries it. */
export function whyNotMountable(type: FileSystemType): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  const [maker] = makers[type] ?? [];
  if (maker !== undefined) {
    try {
      run([maker, '-V']);
    } catch {
      return `${maker} is missing (apt-get install e2fsprogs xfsprogs btrfs-progs bindfs)`;
    }
  }
  try {
    mountFileSystem(type).unmount();
    return undefined;
  } catch (error) {
    return why(error);
  }
}

export interface MountedFileSystem {
  readonly type: FileSystemType;
  /** Where it is mounted. */
  readonly path: string;
  /** Unmounts (lazily when something still holds it) and removes the image. Idempotent. */
  unmount(): void;
}

/**
 * Mounts a fresh, empty file system; the caller unmounts it.
 * @param size in bytes, where it is one of its own; what tests mostly need by default
 */
export function mountFileSystem(type: FileSystemType, size?: number): MountedFileSystem {
  const folder = mkdtempSync(join(tmpdir(), `fam-${type}-`));
  const point = join(folder, 'mnt');
  const mounted: string[] = [];
  function mount(what: string, at: string, ...options: string[]): void {
    mkdirSync(at, { recursive: true });
    run(['mount', ...options, what, at]);
    mounted.push(at);
  }
  function unmount(): void {
    for (const at of mounted.splice(0).reverse()) {
      try {
        run(['umount', at]);
      } catch {
        run(['umount', '-l', at]);
      }
    }
    rmSync(folder, { recursive: true, force: true });
    forgetMounts(folder);
  }
  try {
    const bytes = imageBytes[type] && (size ?? imageBytes[type]);
    const maker = makers[type];
    if (bytes !== undefined && maker !== undefined) {
      const image = join(folder, 'image');
      writeFileSync(image, '');
      truncateSync(image, bytes);
      run([...maker, image]);
      if (type === 'btrfs-subvolume') {
        mount(image, point, '-o', 'loop');
        run(['btrfs', 'subvolume', 'create', join(point, 'sub')]);
        run(['umount', point]);
        mounted.pop();
      }
      // Of a subvolume only itself is mounted: no path leads to the top level.
      mount(image, point, '-o', type === 'btrfs-subvolume' ? 'loop,subvol=sub' : 'loop');
    } else if (type === 'fuse') {
      mkdirSync(point);
      mkdirSync(join(folder, 'behind'));
      run(['bindfs', join(folder, 'behind'), point]);
      mounted.push(point);
    } else if (type === 'tmpfs') {
      mount('tmpfs', point, '-t', 'tmpfs', '-o', `size=${size ?? tmpfsBytes}`);
    } else {
      // Its layers lie on a tmpfs of their own: the temporary folder may be an overlay itself.
      const base = join(folder, 'base');
      mount('tmpfs', base, '-t', 'tmpfs');
      for (const layer of ['lower', 'upper', 'work']) mkdirSync(join(base, layer));
      const layers = `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/work`;
      const handles = type === 'overlay-handles' ? ',index=on,nfs_export=on' : '';
      mount('overlay', point, '-t', 'overlay', '-o', `${layers}${handles}`);
    }
  } catch (error) {
    unmount();
    throw error;
  }
  return { type, path: point, unmount };
}

/** Mounts a fresh file system, hands its path to `use`, and unmounts it however that ends. */
export async function withFileSystem<T>(
  type: FileSystemType,
  use: (path: string) => T | Promise<T>,
): Promise<T> {
  const fileSystem = mountFileSystem(type);
  try {
    return await use(fileSystem.path);
  } finally {
    fileSystem.unmount();
  }
}
