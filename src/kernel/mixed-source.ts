// fanotify for the root's file system and every other one that it can mark; inotify for those below that it cannot: overlayfs, FUSE,
// NFS. Decided for each file system when its first directory is added.

import type { ByteString, Name } from '../core/name.ts';
import { below } from '../core/under.ts';
import { Epoll } from './epoll.ts';
import type { DirectoryTag, EventSource, FileTag, KernelEvent, NameOf } from './event-source.ts';
import type { FanotifySource } from './fanotify.ts';
import { describeFileSystem } from './file-system.ts';
import { InotifySource } from './inotify.ts';
import { pathOf } from './mounts.ts';
import { fstat, Stat } from './stat.ts';
import { SysError } from './sys-error.ts';

/** Why fanotify cannot mark the file system, from what `add` threw; undefined: that is not what it says. */
export type WhyNot = (error: SysError, fileSystem: string) => string | undefined;

export class MixedSource implements EventSource {
  readonly monitor = 'fanotify';
  readonly fds: readonly number[];
  readonly #fanotify: FanotifySource;
  readonly #rootPath: ByteString;
  readonly #whyNot: WhyNot;
  readonly #nameOf: NameOf | undefined;
  /** So that the descriptors to poll are the same before and after inotify is first needed. */
  readonly #epoll = new Epoll();
  readonly #stat = new Stat();
  #inotify: InotifySource | undefined;
  /** Mounts that inotify serves. */
  readonly #others = new Set<number>();
  readonly #onInotify = new Set<DirectoryTag>();
  readonly #mountRoots = new Set<DirectoryTag>();
  #notices: KernelEvent[] = [];

  /** Takes `fanotify` over: it is closed with this one. */
  constructor(fanotify: FanotifySource, rootPath: ByteString, whyNot: WhyNot, nameOf?: NameOf) {
    this.#fanotify = fanotify;
    this.#rootPath = rootPath;
    this.#whyNot = whyNot;
    this.#nameOf = nameOf;
    this.fds = [...fanotify.fds, this.#epoll.fd];
  }

  get pendingUntil(): number | undefined {
    return this.#inotify?.pendingUntil;
  }

  add(fd: number, tag: DirectoryTag): void {
    try {
      this.#fanotify.add(fd, tag);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      const fileSystem = describeFileSystem(fd).type;
      const why = this.#whyNot(error, fileSystem);
      if (why === undefined) throw error;
      this.#addToInotify(fd, tag, why);
      return;
    }
    if (this.#onInotify.delete(tag)) this.#inotify?.remove(tag);
  }

  #addToInotify(fd: number, tag: DirectoryTag, why: string): void {
    if (this.#inotify === undefined) {
      this.#inotify = new InotifySource(undefined, this.#nameOf);
      for (const one of this.#inotify.fds) this.#epoll.add(one);
    }
    this.#inotify.add(fd, tag);
    this.#onInotify.add(tag);
    this.#fanotify.remove(tag);
    if (fstat(fd, this.#stat) < 0) return;
    if (this.#stat.isMountRoot) this.#mountRoots.add(tag);
    else this.#mountRoots.delete(tag);
    if (this.#others.has(this.#stat.mountId)) return;
    this.#others.add(this.#stat.mountId);
    this.#notices.push({
      type: 'other-monitor',
      path: below(this.#rootPath, pathOf(fd)) ?? '',
      reason: `inotify, one watch a directory, because ${why}`,
    });
  }

  remove(tag: DirectoryTag): void {
    if (this.#onInotify.delete(tag)) this.#inotify?.remove(tag);
    else this.#fanotify.remove(tag);
  }

  addFile(dirfd: number, name: Name, tag: FileTag): boolean {
    return this.#fanotify.addFile(dirfd, name, tag) || this.#inotify?.addFile(dirfd, name, tag) === true;
  }

  removeFile(tag: FileTag): void {
    this.#fanotify.removeFile(tag);
    this.#inotify?.removeFile(tag);
  }

  read(maxEvents?: number): KernelEvent[] {
    const events = this.#fanotify.read(maxEvents);
    // A number that is given out again after an unmount is another file system's.
    for (const event of events) if (event.type === 'unmounted') this.#others.clear();
    const notices = this.#notices;
    if (notices.length > 0) this.#notices = [];
    // That something was mounted comes before what follows from it, also where a listing was quicker than the news.
    if (this.#inotify === undefined) return notices.length === 0 ? events : [...events, ...notices];
    return [...events, ...notices, ...this.#inotify.read(maxEvents).filter((event) => this.#isNew(event))];
  }

  /**
   * inotify tells of a directory's own change twice, under its own tag and by name in the directory that holds it; fanotify once, so
   * here once too: by name. The top of a mount is held by another file system, which is not told: of it the other one counts.
   */
  #isNew(event: KernelEvent): boolean {
    return event.type !== 'name' || event.name !== '' || this.#mountRoots.has(event.directory);
  }

  get isDrained(): boolean {
    return this.#fanotify.isDrained && this.#inotify?.isDrained !== false;
  }

  queued(): number {
    return this.#fanotify.queued() + (this.#inotify?.queued() ?? 0);
  }

  close(): void {
    this.#fanotify.close();
    this.#inotify?.close();
    this.#epoll.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
