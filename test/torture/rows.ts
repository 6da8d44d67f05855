// The kernel-side matrix: which file system, which events, which user, which way to the replicas.

import type { TortureOptions } from './options.ts';

type Row = Partial<Pick<TortureOptions, 'fs' | 'monitor' | 'user' | 'transport'>>;

const rows: readonly Row[] = [
  { fs: 'ext4' },
  { fs: 'tmpfs', monitor: 'inotify' },
  { fs: 'xfs' },
  { fs: 'ext4', transport: 'ssh' },
  { fs: 'btrfs' },
  { fs: 'tmpfs', monitor: 'fanotify-without-rename' },
  { fs: 'overlayfs' },
  { fs: 'ext4', user: 'nobody' },
  { fs: 'span' },
  { fs: 'xfs', monitor: 'inotify' },
  { fs: 'tmpfs' },
];

/** The row that a seed stands for: the same one in every campaign. */
export function inRow(options: TortureOptions, seed: number): TortureOptions {
  return { ...options, ...rows[seed % rows.length] };
}

/** Where inotify is all there is, or all that was asked for. */
export function usesInotify({ fs, monitor, user }: TortureOptions): boolean {
  return monitor === 'inotify' || fs === 'overlayfs' || user === 'nobody';
}

/** For tables: `ext4, nobody`. */
export function rowName({ fs, monitor, user, transport }: TortureOptions): string {
  return [fs, monitor, user === 'root' ? undefined : user, transport === 'local' ? undefined : transport]
    .filter((part) => part !== undefined)
    .join(', ');
}
