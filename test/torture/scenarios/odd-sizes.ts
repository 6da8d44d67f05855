// Files whose sizes are unusual: holes of terabytes, more than a replica's file system can hold, one byte around what fam divides contents
// by, nothing.

import type { Operation } from '../operation.ts';
import type { Ground } from './ground.ts';

const prefix = 'odd-';
const [KiB, MiB, GiB, TiB] = [2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40];

/** Pages, sub-blocks of a digest, what fits into a batch, pieces of a stream, batches, blocks. */
const boundaries = [
  0,
  4 * KiB,
  16 * KiB,
  64 * KiB,
  128 * KiB,
  256 * KiB,
  512 * KiB,
  MiB,
  2 * MiB,
  4 * MiB,
] as const;
/** ext4 with blocks of 1 KiB ends at 4 TiB, with blocks of 4 KiB at 16 TiB. */
const huge = [3 * GiB, 1023 * GiB, TiB, 4 * TiB, 16 * TiB, 100 * TiB, 1024 * TiB, 4096 * TiB] as const;

function around(ground: Ground, list: readonly [number, ...number[]]): number {
  return Math.max(0, ground.of(list) + ground.of([-1, 0, 0, 1, 4096, -4096]));
}

export function oddSizes(ground: Ground): Operation[] {
  const there = ground.named(prefix);
  const name = `${prefix}${ground.draw(60)}`;
  const path = there[ground.draw(there.length * 2)] ?? `${ground.of([ground.folder(), '/tree'])}/${name}`;
  ground.made(path, 'file');
  const seed = ground.seed();
  switch (ground.draw(6)) {
    case 0:
    case 1:
      return [{ do: 'create', path, size: around(ground, boundaries), seed }];
    case 2:
      return [{ do: 'truncate', path, size: around(ground, ground.draw(2) === 0 ? boundaries : huge) }];
    case 3: {
      const size = around(ground, boundaries);
      return [{ do: 'sparse', path, size, at: [around(ground, boundaries)], seed }];
    }
    default: {
      const size = around(ground, huge);
      const at = Array.from({ length: ground.draw(5) }, () =>
        Math.max(0, ground.draw(2) * (size - 4096) - ground.draw(GiB)),
      );
      return [{ do: 'sparse', path, size, at, seed }];
    }
  }
}
