// Extended attributes up to what the kernel permits (64 KiB each), many of them, on files, folders and symlinks. Where the file system has no
// room for them (ext4: a block for all of a file's), writers are refused.

import type { Operation } from '../operation.ts';
import type { Ground } from './ground.ts';

/** fam copies up to 4 MiB for a file: 30 of 64 KiB in both namespaces stay below. */
const maxCount = 30;
const maxBytes = 65_536;

export function largeAttributes(ground: Ground): Operation[] {
  const path = ground.of([ground.file(), ground.file(), ground.movable(), ground.folder()]);
  const namespace = ground.isRoot && ground.draw(2) === 0 ? 'trusted' : 'user';
  const seed = ground.seed();
  if (ground.draw(4) === 0) {
    const going = Array.from({ length: 1 + ground.draw(4) }, (_, n) => n);
    return going.map((n) => ({ do: 'removexattr', path, name: `${namespace}.large${n}` }));
  }
  if (ground.draw(8) === 0) {
    const link = `${ground.folder()}/labelled-${ground.draw(20)}`;
    ground.made(link, 'file');
    return [
      { do: 'symlink', path: link, target: 'a' },
      { do: 'attributes', path: link, namespace: 'trusted', count: 1 + ground.draw(3), size: maxBytes, seed },
    ];
  }
  const size = ground.of([100, 900, 3900, 4096, 30_000, 60_000, 65_535, maxBytes]);
  const count = ground.draw(12) === 0 ? maxCount : 1 + ground.draw(4);
  return [{ do: 'attributes', path, namespace, count, size, seed }];
}
