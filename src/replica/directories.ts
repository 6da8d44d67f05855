// Descriptors of the replica's directories by inode id, resolved beneath the root (I7). Those used last stay open while a message is dealt
// with.

import { type InodeId, rootId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import type { Slot } from '../core/plan-operation.ts';
import { close, ENOENT, O_DIRECTORY, O_NOFOLLOW, O_PATH, openat, openBeneath } from '../kernel/sys.ts';
import type { Home } from './home.ts';

/** Enough for the directories of a few large batches, well below the usual limit of 1,024 descriptors. */
const maxOpen = 400;

/** Where a directory is now: under a name, or in limbo. */
export type DirectorySlot = (id: InodeId) => Slot | undefined;

/**
 * A descriptor stays right when we rename its directory, since it refers to the inode. For the same reason it leads out of the root when a
 * local user moves the directory there, so all are closed before the next message.
 *
 * RACE: a directory that is moved out of the root while a message is dealt with (mostly far less than a second) takes what the rest of that
 * message does in it along. To look before each act would cost a call for each file, and would only narrow the window.
 *
 * Not safe for several threads.
 */
export class Directories {
  readonly #home: Home;
  readonly #slotOf: DirectorySlot;
  readonly #open = new Map<InodeId, number>();

  constructor(home: Home, slotOf: DirectorySlot) {
    this.#home = home;
    this.#slotOf = slotOf;
  }

  /** An O_PATH descriptor of the directory, owned by the cache, or -errno. */
  get(id: InodeId): number {
    if (id === rootId) return this.#home.rootFd;
    const cached = this.#open.get(id);
    if (cached !== undefined) {
      this.#open.delete(id);
      this.#open.set(id, cached);
      return cached;
    }
    const fd = this.#resolve(id);
    if (fd >= 0) this.keep(id, fd);
    return fd;
  }

  /** Gives a descriptor to the cache. */
  keep(id: InodeId, fd: number): void {
    this.forget(id);
    this.#open.set(id, fd);
    if (this.#open.size <= maxOpen) return;
    for (const [oldest, oldFd] of this.#open) {
      this.#open.delete(oldest);
      close(oldFd);
      break;
    }
  }

  forget(id: InodeId): void {
    const fd = this.#open.get(id);
    if (fd === undefined) return;
    this.#open.delete(id);
    close(fd);
  }

  closeAll(): void {
    for (const fd of this.#open.values()) close(fd);
    this.#open.clear();
  }

  #resolve(id: InodeId): number {
    const parts: ByteString[] = [];
    // Up to the nearest directory that is open, or the root, or limbo.
    for (let at = id; ; ) {
      const slot = this.#slotOf(at);
      if (slot === undefined) return -ENOENT;
      if (slot.at !== 'name') {
        parts.push(String(slot.id));
        return this.#walk(this.#home.limboFd, parts);
      }
      parts.push(slot.name);
      at = slot.parent;
      const base = at === rootId ? this.#home.rootFd : this.#open.get(at);
      if (base !== undefined) return this.#walk(base, parts);
    }
  }

  #walk(baseFd: number, parts: ByteString[]): number {
    parts.reverse();
    const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
    const path = parts.join('/');
    if (path.length < maxPathBytes) return openBeneath(baseFd, path, flags);
    // Deeper than one path can say: step by step, each beneath the one before.
    let fd = baseFd;
    for (const part of parts) {
      const next = openat(fd, part, flags);
      if (fd !== baseFd) close(fd);
      if (next < 0) return next;
      fd = next;
    }
    return fd;
  }
}

/** Below PATH_MAX (limits.h). */
const maxPathBytes = 4000;
