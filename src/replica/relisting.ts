// Folders that are listed again after first contact, because the source was asked for them: what a listing says, as a batch would say it.

import { type InodeId, Kind } from '../core/attributes.ts';
import type { Change } from '../core/change.ts';
import type { Name } from '../core/name.ts';
import type { Place } from '../core/plan-operation.ts';
import type { Contents, Listing } from '../wire/messages.ts';
import type { Records } from './records.ts';

export interface Relisted {
  readonly changes: readonly Change[];
  /** Folders that are not here, to be listed as well. */
  readonly missing: readonly InodeId[];
}

export class Relisting {
  readonly #records: Records;
  /** Of the directory in hand: names that were listed, over all messages of its listing. */
  #open: { readonly directory: InodeId; readonly names: Set<Name> } | undefined;
  /** Files whose content was asked for, with the names that it is to have. */
  readonly #asked = new Map<InodeId, Place[]>();

  constructor(records: Records) {
    this.#records = records;
  }

  /** undefined: the directory has gone meanwhile. */
  changes(listing: Listing): Relisted | undefined {
    const { directory } = listing;
    if (this.#records.inode(directory)?.attributes.kind !== Kind.directory) return undefined;
    if (listing.first || this.#open?.directory !== directory) this.#open = { directory, names: new Set() };
    const changes: Change[] = [];
    const missing: InodeId[] = [];
    for (const { name, id, links, contentSeq, attributes, content } of listing.entries) {
      this.#open.names.add(name);
      if (attributes.kind === Kind.directory && this.#records.inode(id) === undefined) missing.push(id);
      changes.push({ type: 'inode', id, attributes, contentSeq, content });
      changes.push({ type: 'entry', parent: directory, name, id, links });
    }
    if (listing.last) {
      for (const name of this.#records.children(directory)) {
        if (!this.#open.names.has(name)) changes.push({ type: 'removed', parent: directory, name });
      }
      this.#open = undefined;
    }
    return { changes, missing };
  }

  /** The contents of these are asked for; their names are those of the listing, besides those of earlier ones. */
  ask(lost: readonly InodeId[], { directory, entries }: Listing): void {
    const ids = new Set(lost);
    for (const { name, id } of entries) {
      if (ids.has(id)) this.#asked.set(id, [...(this.#asked.get(id) ?? []), { parent: directory, name }]);
    }
  }

  contents({ files }: Contents): Change[] {
    const changes: Change[] = [];
    for (const { id, attributes, contentSeq, content } of files) {
      const places = this.#asked.get(id) ?? [];
      this.#asked.delete(id);
      if (content.from === 'none') continue;
      changes.push({ type: 'inode', id, attributes, contentSeq, content });
      for (const place of places) changes.push({ type: 'entry', ...place, id, links: places.length });
    }
    return changes;
  }
}
