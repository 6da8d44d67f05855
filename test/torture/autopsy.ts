// After a failure: what the records of either side say of the names that differ. Tells whose mistake it was: the tree's (its
// records differ from the source), the sender's (the two records differ), or the applier's (its records differ from its folder).

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type InodeId, rootId } from '../../src/core/attributes.ts';
import type { ByteString } from '../../src/core/name.ts';
import type { EntryRecord } from '../../src/tree/records.ts';
import { TreeStore } from '../../src/tree/store.ts';

/** What a store says of some paths; nobody else may have it open. */
export class Records implements Disposable {
  readonly #folder: string;
  readonly #store: TreeStore;

  constructor(state: string) {
    this.#folder = mkdtempSync(join(tmpdir(), 'fam-torture-autopsy-'));
    cpSync(state, join(this.#folder, 'state'), {
      recursive: true,
      filter: (path) => !path.endsWith('.sock'),
    });
    this.#store = TreeStore.open(join(this.#folder, 'state'));
  }

  [Symbol.dispose](): void {
    this.#store.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The deepest name on the way to `path` that has a record, and that record. */
  describe(path: ByteString): string {
    return this.#store.transaction(() => {
      let at: number = rootId;
      let last = 'the root';
      for (const part of path === '' ? [] : path.split('/')) {
        const entry = this.#entry(at, part);
        if (entry === undefined) return `${last}: ${this.#inode(at)}, no ${JSON.stringify(part)} in it`;
        last = `${JSON.stringify(part)} -> inode ${entry.id}, seq ${entry.seq}`;
        at = entry.id;
      }
      return `${last}: ${this.#inode(at)}, head ${this.#store.head}`;
    });
  }

  #inode(id: InodeId): string {
    const inode = this.#store.inode(id);
    if (inode === undefined) return 'no record';
    const { kind, links, seq, contentSeq, mode, size, listed, mtimeS, mtimeNs } = inode;
    // A name below a folder that has no name itself counts as a link, and is in nobody's way.
    const names = this.#store
      .namesOf(id, inode)
      .map(({ parent, name }) => `${this.#store.pathOf(parent) ?? `(inode ${parent})`}/${name}`);
    const several = names.length > 1 ? ` names ${JSON.stringify(names)}` : '';
    return `${JSON.stringify({ kind, links, seq, contentSeq, mode: mode.toString(8), size, listed, mtimeS, mtimeNs })}${several}`;
  }

  #entry(parent: number, name: ByteString): EntryRecord | undefined {
    for (const entry of this.#store.listAll(parent)) if (entry.name === name) return entry;
    return undefined;
  }
}
