// The directories above a root: one that is renamed takes the root along, and what bears its name then may hold another root.
// By inotify(7) for both monitors: it tells of a directory's own move alone, however busy the directory is, on every file system.

import type { ByteString } from '../core/name.ts';
import {
  EACCES,
  IN_CLOEXEC,
  IN_DONT_FOLLOW,
  IN_MASK_ADD,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_NONBLOCK,
  IN_ONLYDIR,
} from './constants.ts';
import { close } from './entry-calls.ts';
import { addressOf, syscall1, syscall2, syscall3 } from './ffi.ts';
import { first } from './scratch.ts';
import { nr } from './syscall-numbers.ts';

/** With IN_MASK_ADD: the instance may watch the directory for other reasons too. */
const always = IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD;

const bufferBytes = 4096;

/** Watches in an inotify instance that stays the caller's. */
export class Ancestors {
  readonly #instance: number;
  #watches: ReadonlySet<number> = new Set();

  constructor(instance: number) {
    this.#instance = instance;
  }

  /** Watches the directories that lead to `path` (without symlinks) by now, and no others. RACE: look at the path after it. */
  place(path: ByteString): void {
    const watches = new Set<number>();
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const watch = this.#watch(path.slice(0, end));
      if (watch >= 0) watches.add(watch);
    }
    for (const former of this.#watches)
      if (!watches.has(former)) syscall2(nr.inotifyRmWatch, this.#instance, former);
    this.#watches = watches;
  }

  has(watch: number): boolean {
    return this.#watches.has(watch);
  }

  /** Whether an event says that one of them may have moved. */
  isTouched(watch: number, mask: number): boolean {
    return (mask & (IN_MOVE_SELF | IN_MOVED_FROM)) !== 0 && this.#watches.has(watch);
  }

  #watch(directory: ByteString): number {
    const watch = this.#add(directory, IN_MOVE_SELF | always);
    if (watch !== -EACCES) return watch;
    // Not ours to read: then the names in the one above it, which may be.
    return this.#add(directory.slice(0, directory.lastIndexOf('/')) || '/', IN_MOVED_FROM | always);
  }

  #add(directory: ByteString, mask: number): number {
    const bad = first.set(directory);
    return bad < 0 ? bad : syscall3(nr.inotifyAddWatch, this.#instance, first.address, mask);
  }
}

/** The same in an instance of its own, for whoever has none. `close` is idempotent. */
export class AncestorWatch {
  /** Readable when one of them may have moved. None where nothing can move, or all inotify instances are in use. */
  readonly fds: readonly number[];
  readonly #ancestors: Ancestors | undefined;
  readonly #buffer = new Uint8Array(new ArrayBuffer(bufferBytes));
  readonly #address = addressOf(this.#buffer);
  #closed = false;

  constructor(path: ByteString) {
    const isBelowAny = path.lastIndexOf('/') > 0;
    const instance = isBelowAny ? syscall1(nr.inotifyInit1, IN_NONBLOCK | IN_CLOEXEC) : -1;
    this.fds = instance < 0 ? [] : [instance];
    this.#ancestors = instance < 0 ? undefined : new Ancestors(instance);
  }

  place(path: ByteString): void {
    this.#ancestors?.place(path);
  }

  /** True when one may have moved since it was last asked. */
  hasMoved(): boolean {
    let hasMoved = false;
    for (const fd of this.fds) while (syscall3(nr.read, fd, this.#address, bufferBytes) > 0) hasMoved = true;
    return hasMoved;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const fd of this.fds) close(fd);
  }
}
