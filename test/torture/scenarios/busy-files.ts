// Files that are never at rest: written to by writers of their own for as long as the others make their changes, and longer.

import type { BusyFile, Operation } from '../operation.ts';

/** Beside the writers that every history has. */
const busyWriters = 2;

const ways: readonly BusyFile['how'][] = ['append', 'in-place', 'reopen', 'overwrite', 'upload', 'recreate'];
/** Folders of their own, which nobody else moves, and those that all writers move and remove. */
const folders = ['/tree/busy', '/tree/busy/var/lib', '/tree/pub', '/tree/img/docs', '/tree/docs'] as const;
/** Small enough for a batch, just too large for one, and several blocks. */
const sizes = [2000, 60_000, 140_000, 700_000, 4 << 20] as const;

/** What each of them does in one round. */
export function busyLists(draw: (below: number) => number): Operation[][] {
  const forMs = 500 + draw(5000);
  return Array.from({ length: busyWriters }, (_, writer) => {
    const files = Array.from({ length: 1 + draw(5) }, (): BusyFile => {
      const how = ways[draw(ways.length)] ?? 'append';
      const folder = folders[draw(folders.length)] ?? folders[0];
      // Few names: the same one is a database in one round and a log in the next, and two writers meet.
      return { path: `${folder}/${how}-${draw(2)}`, how, size: sizes[draw(sizes.length)] ?? sizes[0] };
    });
    return [
      { do: 'busy', files, forMs: forMs - writer * draw(400), everyMs: 1 + draw(60), seed: draw(2 ** 30) },
    ];
  });
}
