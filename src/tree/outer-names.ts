// Files that have more names than the tree shows of them: what is done under one of the others has no directory of ours in its event, so the
// kernel is asked to tell of the file itself.

import type { InodeId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import type { EventSource } from '../kernel/event-source.ts';
import { SysError } from '../kernel/sys-error.ts';
import { isWatchLimit } from '../kernel/watch-limit.ts';
import type { InodeRecord } from './records.ts';

export class OuterNames {
  readonly #source: Pick<EventSource, 'addFile' | 'removeFile'>;
  readonly #onWatchLimit: () => void;
  /** How many the kernel was asked for and has not been told to leave. */
  readonly #files = new Set<InodeId>();

  constructor(source: Pick<EventSource, 'addFile' | 'removeFile'>, onWatchLimit: () => void) {
    this.#source = source;
    this.#onWatchLimit = onWatchLimit;
  }

  /** The file was just seen under a name, with so many links. True: look again, it may have been written to before it was listened to. */
  seen(record: InodeRecord, nlink: number, dirfd: number, name: Name): boolean {
    if (nlink <= record.links) {
      this.forget(record.id);
      return false;
    }
    const isNew = !this.#files.has(record.id);
    // Each time: the name may have been another file's when it was last added.
    if (!this.#add(record.id, dirfd, name)) return false;
    this.#files.add(record.id);
    return isNew;
  }

  #add(id: InodeId, dirfd: number, name: Name): boolean {
    try {
      return this.#source.addFile(dirfd, name, id);
    } catch (error) {
      if (!(error instanceof SysError) || !isWatchLimit(error)) throw error;
      this.#onWatchLimit();
      return false;
    }
  }

  forget(id: InodeId): void {
    if (this.#files.size > 0 && this.#files.delete(id)) this.#source.removeFile(id);
  }
}
