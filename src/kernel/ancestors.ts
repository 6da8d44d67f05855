// The directories above a root: one that is renamed takes the root along, and what bears its name then may hold another root.
// By inotify(7) for both monitors: it tells of a directory's own move alone, however busy the directory is, on every file system.

import type { ByteString } from '../core/name.ts';
import { EACCES, IN_DONT_FOLLOW, IN_MASK_ADD, IN_MOVE_SELF, IN_MOVED_FROM, IN_ONLYDIR } from './constants.ts';
import { addressOf } from './ffi.ts';
import { type InotifyInstance, inotifyInit, OwnInstance } from './inotify-instance.ts';

/** With IN_MASK_ADD: the instance may watch the directory for other reasons too. */
const always = IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD;

const bufferBytes = 4096;

/** Watches in an inotify instance that stays the caller's. */
export class Ancestors {
  readonly #instance: InotifyInstance;
  #watches: ReadonlySet<number> = new Set();

  constructor(instance: InotifyInstance) {
    this.#instance = instance;
  }

  /** Watches the directories that lead to `path` (without symlinks) by now, and no others. RACE: look at the path after it. */
  place(path: ByteString): void {
    const watches = new Set<number>();
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const watch = this.#watch(path.slice(0, end));
      if (watch >= 0) watches.add(watch);
    }
    for (const former of this.#watches) if (!watches.has(former)) this.#instance.remove(former);
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
    const watch = this.#instance.add(directory, IN_MOVE_SELF | always);
    if (watch !== -EACCES) return watch;
    // Not ours to read: then the names in the one above it, which may be.
    return this.#instance.add(directory.slice(0, directory.lastIndexOf('/')) || '/', IN_MOVED_FROM | always);
  }
}

/** The same in an instance of its own, for whoever has none. `close` is idempotent. */
export class AncestorWatch {
  /** Readable when one of them may have moved. None where nothing can move, or all inotify instances are in use. */
  readonly fds: readonly number[];
  readonly #instance: InotifyInstance | undefined;
  readonly #ancestors: Ancestors | undefined;
  readonly #buffer = new Uint8Array(new ArrayBuffer(bufferBytes));
  readonly #address = addressOf(this.#buffer);

  constructor(path: ByteString) {
    const isBelowAny = path.lastIndexOf('/') > 0;
    const fd = isBelowAny ? inotifyInit() : -1;
    this.#instance = fd < 0 ? undefined : new OwnInstance(fd);
    this.fds = fd < 0 ? [] : [fd];
    this.#ancestors = this.#instance && new Ancestors(this.#instance);
  }

  place(path: ByteString): void {
    this.#ancestors?.place(path);
  }

  /** True when one may have moved since it was last asked. */
  hasMoved(): boolean {
    let hasMoved = false;
    while ((this.#instance?.read(this.#buffer, this.#address) ?? 0) > 0) hasMoved = true;
    return hasMoved;
  }

  close(): void {
    this.#instance?.close();
  }
}
