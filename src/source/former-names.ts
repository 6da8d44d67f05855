// What a promoted source had when it was a replica: the names that the main before it had sent. What of them is not in the tree any
// more has been removed since; the old main, when it comes back, still has it.

import type { InodeId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { TreeStore } from '../tree/store.ts';
import type { TreeView } from './view.ts';

export class FormerNames {
  /** The replica's records, as they were when it was promoted. */
  readonly #records: TreeStore;

  private constructor(records: TreeStore) {
    this.#records = records;
  }

  /**
   * @param directory the replica's state folder
   * @returns undefined: its records have been lost
   */
  static open(directory: string): FormerNames | undefined {
    try {
      return new FormerNames(TreeStore.open(directory, { role: 'reader' }));
    } catch {
      return undefined;
    }
  }

  /** Names that the directory had then and has not now, in name byte order. */
  removedFrom(directory: InodeId, view: Pick<TreeView, 'pathOf' | 'entry'>): Name[] {
    const path = view.pathOf(directory);
    const former = path === undefined ? undefined : this.#records.idAt(path);
    const removed: Name[] = [];
    if (former === undefined) return removed;
    for (const { name } of this.#records.list(former)) {
      if ((view.entry(directory, name)?.id ?? 0) === 0) removed.push(name);
    }
    return removed;
  }

  close(): void {
    this.#records.close();
  }
}
