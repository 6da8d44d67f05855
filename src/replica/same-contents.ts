// Contents that the source believes to be here already, which only the times of its files make doubtful: what is here is read and
// compared, so that a tree whose modes were changed while nobody watched is not sent again, nor a file whose times were set after it.

import { createHash } from 'node:crypto';
import type { InodeId } from '../core/attributes.ts';
import type { Batch, Change, SameContent } from '../core/change.ts';
import type { ByteString } from '../core/name.ts';
import { close, fstat, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, openat, pread, Stat } from '../kernel/sys.ts';
import type { TreeStore } from '../tree/store.ts';
import { inlineMaxBytes } from '../wire/messages.ts';
import type { Bases } from './bases.ts';
import { isSameIdentity } from './local-identity.ts';

type InodeChange = Extract<Change, { type: 'inode' }>;

export interface SameContentsOptions {
  readonly store: TreeStore;
  /** Where the file is that an inode's content can be read from: a directory and a name, or undefined. */
  readonly locate: (id: InodeId) => { readonly dirfd: number; readonly name: ByteString } | undefined;
  readonly bases: Pick<Bases, 'isItself'>;
}

export class SameContents {
  readonly #options: SameContentsOptions;
  readonly #before = new Stat();
  readonly #after = new Stat();
  readonly #room = Buffer.allocUnsafeSlow(inlineMaxBytes + 1);

  constructor(options: SameContentsOptions) {
    this.#options = options;
  }

  /** The batch with those left that are the same; the others are without content, and have to be asked for. */
  compared(batch: Batch): { readonly batch: Batch; readonly others: readonly InodeId[] } {
    const others: InodeId[] = [];
    if (!batch.changes.some(isCompared)) return { batch, others };
    const changes = batch.changes.map((change): Change => {
      if (!isCompared(change) || this.#isSame(change, change.content)) return change;
      others.push(change.id);
      return { ...change, content: { from: 'none' } };
    });
    return { batch: { ...batch, changes }, others };
  }

  #isSame({ id, attributes }: InodeChange, { digest }: SameContent): boolean {
    const at = this.#options.locate(id);
    const record = this.#options.store.inode(id);
    if (record === undefined || at === undefined) return false;
    if (digest === undefined) return this.#options.bases.isItself(id, record);
    // RACE: the name may be a FIFO, a device or a link by now: neither followed nor waited for, and looked at once open.
    const fd = openat(at.dirfd, at.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    const before = this.#before;
    const after = this.#after;
    const isOurs = fstat(fd, before) === 0 && before.isFile && isSameIdentity(record, before);
    const size = isOurs && before.size === attributes.size ? before.size : this.#room.length;
    const got = size < this.#room.length ? pread(fd, this.#room, 0, size + 1, 0) : -1;
    // RACE: a local writer may be at work: looked at after the reading, so that he is seen, or comes later than this.
    const isUntouched =
      fstat(fd, after) === 0 && after.ctimeS === before.ctimeS && after.ctimeNs === before.ctimeNs;
    close(fd);
    if (got !== size || !isUntouched) return false;
    return createHash('sha256').update(this.#room.subarray(0, size)).digest().equals(digest);
  }
}

function isCompared(change: Change): change is InodeChange & { readonly content: SameContent } {
  return change.type === 'inode' && change.content.from === 'same';
}
