// Names that an inode has lost while it lives on under another one. A descriptor that was opened under such a name is
// reported under it by the kernel for as long as it is open.

import type { InodeId } from '../core/attributes.ts';
import { dropOldest } from '../core/drop-oldest.ts';
import type { Name } from '../core/name.ts';

/** Hard links that are removed while somebody writes through them are rare; the oldest are forgotten first. */
const maxNames = 4096;

/** Pure. */
export class LostNames {
  /** In order of loss. */
  readonly #names = new Map<string, InodeId>();

  add(directory: InodeId, name: Name, id: InodeId): void {
    const key = `${directory}/${name}`;
    this.#names.delete(key);
    this.#names.set(key, id);
    dropOldest(this.#names, maxNames);
  }

  /** Which inode had the name last, as far as is known. */
  find(directory: InodeId, name: Name): InodeId | undefined {
    return this.#names.size === 0 ? undefined : this.#names.get(`${directory}/${name}`);
  }
}
