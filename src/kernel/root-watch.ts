// Whether a tree's root is still where it was, and what is mounted below it: what both monitors report alike.

import type { ByteString } from '../core/name.ts';
import { below } from '../core/under.ts';
import { AT_FDCWD, O_DIRECTORY, O_PATH } from './constants.ts';
import { openat } from './entry-calls.ts';
import type { KernelEvent } from './event-source.ts';
import type { InotifyInstance } from './inotify-instance.ts';
import { MountedFiles } from './mounted-files.ts';
import { type Mount, MountWatch, pathOf } from './mounts.ts';
import { fstat, Stat, statx } from './stat.ts';
import { check } from './sys-error.ts';
import { changesUnseen } from './unreported.ts';

export type RootGone = 'moved' | 'deleted' | 'unmounted';

const isFile = true;

/** Holds no descriptor of the root, so that its file system can be unmounted. */
export class RootWatch {
  readonly mounts: MountWatch;
  readonly path: ByteString;
  /** The root's name in its parent; '' for `/`. */
  readonly name: ByteString;
  readonly #root = new Stat();
  readonly #now = new Stat();
  readonly #files: MountedFiles;
  #hasMountsBelow = false;
  #gone = false;
  #hasBegun = false;

  /** @param share for what is mounted over files, where its descriptor is polled anyway */
  constructor(rootFd: number, share?: () => InotifyInstance) {
    this.path = pathOf(rootFd);
    this.name = this.path.slice(this.path.lastIndexOf('/') + 1);
    check(fstat(rootFd, this.#root), 'stat', this.path);
    this.mounts = new MountWatch(
      (mount) => mount.id === this.#root.mountId || below(this.path, mount.point) !== undefined,
    );
    this.#files = new MountedFiles((fd) => this.mounts.wakeBy(fd), share);
    for (const mount of this.mounts.all)
      if (below(this.path, mount.point) !== undefined) this.#files.add(mount);
    this.#lookBelow();
  }

  /** The mount that the root is on. */
  get mountId(): number {
    return this.#root.mountId;
  }

  /** `changes` has something to tell that no descriptor tells of. */
  get hasWaiting(): boolean {
    return this.#files.hasWaiting;
  }

  /** Something is mounted below the root, as far as `changes` has seen. */
  get hasMountsBelow(): boolean {
    return this.#hasMountsBelow;
  }

  #lookBelow(): void {
    this.#hasMountsBelow = [...this.mounts.all].some(({ point }) => below(this.path, point) !== undefined);
  }

  /** The directory that holds the root's entry, or undefined where that entry cannot be moved: `/` and mount points. */
  openParent(): number | undefined {
    if (this.name === '' || this.#root.isMountRoot) return undefined;
    const parent = this.path.slice(0, -this.name.length);
    const fd = openat(AT_FDCWD, parent, O_PATH | O_DIRECTORY);
    return fd < 0 ? undefined : fd;
  }

  /**
   * Looks whether the path still leads to the root, after a hint that it may not.
   * RACE: that may change again right after; then another hint comes.
   */
  check(why: RootGone, events: KernelEvent[]): void {
    const result = statx(AT_FDCWD, this.path, this.#now);
    if (result < 0 || !this.#now.isSameInode(this.#root)) this.gone(why, events);
  }

  /** Reports it once. */
  gone(why: RootGone, events: KernelEvent[]): void {
    if (this.#gone) return;
    this.#gone = true;
    events.push({ type: 'root-gone', why });
  }

  /**
   * Reports what was mounted and unmounted below the root, and what happened to files that are; true when any mount in the system
   * changed.
   */
  changes(events: KernelEvent[]): boolean {
    const hasChanged = this.#mountChanges(events);
    this.#files.read((point, hints) => {
      const path = below(this.path, point);
      if (path !== undefined) events.push({ type: 'mounted-file', path, hints });
    });
    return hasChanged;
  }

  #mountChanges(events: KernelEvent[]): boolean {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      for (const mount of this.mounts.all) this.#warnOf(mount, events);
    }
    const changes = this.mounts.changes();
    if (changes === undefined) return false;
    this.#lookBelow();
    for (const mount of changes.unmounted) {
      if (mount.id === this.#root.mountId) this.gone('unmounted', events);
      const path = below(this.path, mount.point);
      if (path === undefined) continue;
      events.push(
        this.#files.remove(mount) ? { type: 'unmounted', path, isFile } : { type: 'unmounted', path },
      );
    }
    for (const mount of changes.mounted) {
      const path = below(this.path, mount.point);
      if (path !== undefined) {
        events.push(this.#files.add(mount) ? { type: 'mounted', path, isFile } : { type: 'mounted', path });
        this.#warnOf(mount, events);
      }
      // Mounted over the root, or over a directory above it: the path may show another tree from now on.
      else if (`${this.path}/`.startsWith(`${mount.point}/`)) this.check('unmounted', events);
    }
    return true;
  }

  #warnOf(mount: Mount, events: KernelEvent[]): void {
    if (changesUnseen(mount.type) === undefined) return;
    const path = mount.id === this.#root.mountId ? '' : below(this.path, mount.point);
    if (path !== undefined) events.push({ type: 'unreported', path, fileSystem: mount.type });
  }

  close(): void {
    this.#files.close();
    this.mounts.close();
  }
}
