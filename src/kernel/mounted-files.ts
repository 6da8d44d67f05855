// Files that are mounted over files (`mount --bind`). What is written to such a file is told of the directory that it lies in, which need not
// be in the tree, so the file itself is watched: by inotify(7), whichever monitor serves the tree.

import type { ByteString } from '../core/name.ts';
import { AT_FDCWD, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, IN_DONT_FOLLOW } from './constants.ts';
import { addressOf } from './ffi.ts';
import { type InotifyInstance, inotifyInit, OwnInstance } from './inotify-instance.ts';
import { hintsOf, IN_ATTRIB, IN_CLOSE_WRITE, IN_MODIFY, IN_Q_OVERFLOW } from './inotify-mask.ts';
import { type Mount, readMounts } from './mounts.ts';
import { AT_STATX_DONT_SYNC, Stat, statx } from './stat.ts';
import { changesUnseen } from './unreported.ts';

const wanted = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE;
const largestRead = 16 * 1024;

/** Of no server, and of no program that serves FUSE, is anything asked: it may never answer. */
const lookOnly = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;

/** What may have happened to a file of which events were lost. */
const anything = hintsOf(wanted);

/** For one thread. `close` is idempotent. */
export class MountedFiles {
  /** Made with the first one, which most trees have none of. */
  #instance: InotifyInstance | undefined;
  readonly #onOpened: (fd: number) => void;
  readonly #share: (() => InotifyInstance) | undefined;
  /** By mount: where it is, and its watch, -1 for what is neither written to nor watched (a device, a socket). */
  readonly #files = new Map<number, { point: ByteString; readonly watch: number }>();
  readonly #stat = new Stat();
  readonly #buffer = new Uint32Array(new ArrayBuffer(largestRead));
  readonly #bytes = new Uint8Array(this.#buffer.buffer);
  readonly #address = addressOf(this.#buffer);

  /**
   * @param onOpened has the descriptor polled that is readable when `read` has something to tell
   * @param share a share of an instance whose descriptor is polled anyway. Default: one of one's own, once there is a file to watch
   */
  constructor(onOpened: (fd: number) => void, share?: () => InotifyInstance) {
    this.#onOpened = onOpened;
    this.#share = share;
  }

  /** `read` has something to tell that no descriptor tells of. */
  get hasWaiting(): boolean {
    return this.#instance?.hasWaiting === true;
  }

  /** Watches what is mounted there. False: a directory is. RACE: look at the file after it. */
  add({ id, point, root, type }: Mount): boolean {
    // What a server exports is a directory. Where it does not answer, a look would last for ever.
    if (root === '/' && changesUnseen(type) === 'by other hosts') return false;
    // Another mount may have come on top of it: that one is added for itself.
    if (
      statx(AT_FDCWD, point, this.#stat, lookOnly) < 0 ||
      this.#stat.isDirectory ||
      this.#stat.mountId !== id
    )
      return this.#files.has(id);
    // A device is written to by everybody: what is bound over a file to hide it is mostly /dev/null.
    const watch = this.#stat.isFile ? this.#watch(point) : -1;
    this.#files.set(id, { point, watch });
    return true;
  }

  /** False: no file was mounted there. */
  remove({ id }: Mount): boolean {
    const file = this.#files.get(id);
    if (file === undefined) return false;
    this.#files.delete(id);
    const isElsewhere = [...this.#files.values()].some(({ watch }) => watch === file.watch);
    if (file.watch >= 0 && !isElsewhere) this.#instance?.remove(file.watch);
    return true;
  }

  /** Calls `tell` for each file that something has happened to since, with where it is by now. */
  read(tell: (point: ByteString, hints: number) => void): void {
    // Also where no file is left: that its watch has ended is told as well, and would keep the descriptor readable.
    if (this.#instance === undefined) return;
    const hints = new Map<number, number>();
    let hasOverflowed = false;
    for (;;) {
      const length = this.#instance.read(this.#bytes, this.#address);
      if (length <= 0) break;
      for (let at = 0; at < length >>> 2; at += 4 + ((this.#buffer[at + 3] ?? 0) >>> 2)) {
        const mask = this.#buffer[at + 1] ?? 0;
        const watch = this.#buffer[at] ?? 0;
        hasOverflowed ||= (mask & IN_Q_OVERFLOW) !== 0;
        hints.set(watch, (hints.get(watch) ?? 0) | hintsOf(mask));
      }
    }
    if (hints.size === 0) return;
    for (const [id, file] of this.#files) {
      const happened = hasOverflowed ? anything : (hints.get(file.watch) ?? 0);
      if (happened !== 0) tell(this.#placeOf(id, file), happened);
    }
  }

  /** A folder above it may have been renamed, of which no mount tells. */
  #placeOf(id: number, file: { point: ByteString }): ByteString {
    if (statx(AT_FDCWD, file.point, this.#stat, lookOnly) < 0 || this.#stat.mountId !== id)
      file.point = readMounts().find((mount) => mount.id === id)?.point ?? file.point;
    return file.point;
  }

  /** -1 where it cannot be had. */
  #watch(point: ByteString): number {
    if (this.#instance === undefined && this.#share !== undefined) this.#instance = this.#share();
    if (this.#instance === undefined) {
      const fd = inotifyInit();
      if (fd < 0) return -1;
      this.#instance = new OwnInstance(fd);
      this.#onOpened(fd);
    }
    return Math.max(-1, this.#instance.add(point, wanted | IN_DONT_FOLLOW));
  }

  close(): void {
    this.#files.clear();
    this.#instance?.close();
  }
}
