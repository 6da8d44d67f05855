// Which large contents the replica has, in the source's own words (`version`), and how each file looked when it was put in place: as
// long as it looks the same, nobody has to read it to know what is in it.

import * as z from 'zod/mini';
import { type InodeId, Kind, type Seq } from '../core/attributes.ts';
import type { Change } from '../core/change.ts';
import type { Stat } from '../kernel/sys.ts';
import type { TreeStore } from '../tree/store.ts';
import { digestBytes, type Version } from '../wire/messages.ts';

const schema = z.object({
  version: z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === digestBytes),
  look: z.string(),
});

export class KnownContents {
  readonly #store: TreeStore;
  /** Of streams whose batch is still to come. */
  readonly #coming = new Map<InodeId, { readonly contentSeq: Seq; readonly version: Uint8Array }>();

  constructor(store: TreeStore) {
    this.#store = store;
  }

  /** A stream begins, or begins anew: what was said of an earlier one is not of this one. */
  beginsAnew(id: InodeId): void {
    this.#coming.delete(id);
  }

  expect({ id, contentSeq, version }: Version): void {
    this.#coming.set(id, { contentSeq, version: Uint8Array.from(version) });
  }

  /**
   * After a batch: notes what it put in place.
   * @param look what is at the inode's name now; undefined when that is not what the records say
   */
  placed(changes: readonly Change[], look: (id: InodeId) => Stat | undefined): void {
    if (this.#coming.size === 0) return;
    for (const change of changes) {
      if (change.type !== 'inode' || change.attributes.kind !== Kind.file) continue;
      const { id, attributes, contentSeq, content } = change;
      const coming = this.#coming.get(id);
      if (coming === undefined || content.from === 'none') continue;
      this.#coming.delete(id);
      const stat = look(id);
      // RACE: a local writer may have been here since it was placed: then its size or time is another one.
      const isOurs =
        stat?.size === attributes.size &&
        stat.mtimeS === attributes.mtimeS &&
        stat.mtimeNs === attributes.mtimeNs;
      const isIt = content.from === 'staged' || content.from === 'same';
      if (isOurs && isIt && coming.contentSeq === contentSeq) {
        this.#store.setMeta(keyOf(id), { version: coming.version, look: lookOf(stat) });
      }
    }
  }

  /** The version of what is in a file that looks like this; empty when it is not certain. */
  version(id: InodeId, stat: Stat): Uint8Array {
    const known = this.#store.meta(keyOf(id), schema);
    return known?.look === lookOf(stat) ? Uint8Array.from(known.version) : new Uint8Array();
  }
}

/** The store's key of what is known of an inode's content. */
export function keyOf(id: InodeId): string {
  return `content/${id}`;
}

/** Every write, and every change of attributes or names, moves the change time. */
function lookOf(stat: Stat): string {
  return [
    stat.dev,
    stat.inoHigh,
    stat.inoLow,
    stat.birth,
    stat.size,
    stat.mtimeS,
    stat.mtimeNs,
    stat.ctimeS,
    stat.ctimeNs,
  ].join(' ');
}
