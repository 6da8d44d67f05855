// What first contact has found at names whose content, or folder, was still to come. When that comes it gives way; when the source takes
// such a name away before that, it has to go as well: nothing else remembers it.

import type { InodeId } from '../core/attributes.ts';
import type { Batch } from '../core/change.ts';
import type { Name } from '../core/name.ts';
import type { Place } from '../core/plan-operation.ts';
import type { Problem } from '../core/problem.ts';
import { ENOENT, errnoName } from '../kernel/sys.ts';
import type { Applier } from './applier.ts';
import { notOurs } from './placer.ts';

/** Memory: one string for each of them. A session that is cut off forgets them: they are extras at the next first contact. */
export class InTheWay {
  readonly #names = new Set<string>();

  note({ parent, name }: Place): void {
    this.#names.add(keyOf(parent, name));
  }

  /**
   * Before a batch is applied: what is at names that it takes away, and to which nothing of the source's has come, is kept in the trash.
   * @param report told what could not be moved there
   */
  giveWay({ changes }: Batch, applier: Applier, report: (problem: Problem) => void): void {
    if (this.#names.size === 0) return;
    const { records, directories, trash } = applier;
    for (const change of changes) {
      if (change.type !== 'removed' || !this.#names.delete(keyOf(change.parent, change.name))) continue;
      const parent = records.inode(change.parent);
      if (parent === undefined || records.occupant(change.parent, change.name) !== 0) continue;
      const dirfd = directories.get(change.parent);
      const path = records.pathAt(change);
      const kept = dirfd < 0 ? dirfd : trash.keep(dirfd, change.name, path, notOurs);
      if (kept === 0) applier.setTimes(change.parent, parent.attributes);
      // RACE: a local user may have taken it away himself.
      else if (kept !== -ENOENT) report({ path, action: 'move to trash', code: errnoName(kept) });
    }
  }
}

function keyOf(parent: InodeId, name: Name): string {
  return `${parent}/${name}`;
}
