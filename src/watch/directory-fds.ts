// Descriptors of watched directories, for as long as there is work: opened in one go, or step by step where a step is open already or the
// path is too long; no link is followed. All are closed before the thread sleeps: held, they would keep file systems from being
// unmounted.

import type { ByteString } from '../core/name.ts';
import { under } from '../core/under.ts';
import {
  AT_FDCWD,
  EACCES,
  ELOOP,
  ENOENT,
  ENOTDIR,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
} from '../kernel/constants.ts';
import { close, openat, openWithoutLinks } from '../kernel/entry-calls.ts';
import { fstat, Stat } from '../kernel/stat.ts';
import { isStarved } from '../kernel/sys-error.ts';
import { identityOf } from './entry-code.ts';
import type { Directory } from './shadow.ts';

/** Well below the usual soft limit of 1,024 descriptors a process. */
const maxOpen = 256;

/** Errors that say: what the names meant has changed since it was listed. */
export const goneErrnos: ReadonlySet<number> = new Set([-ENOENT, -ENOTDIR, -ELOOP]);

export class DirectoryFds {
  readonly rootPath: ByteString;
  readonly #root: Directory;
  readonly #stat = new Stat();
  /** In order of use, the oldest first. */
  readonly #open = new Map<Directory, number>();

  constructor(rootPath: ByteString, root: Directory) {
    this.rootPath = rootPath;
    this.#root = root;
  }

  /**
   * A descriptor to list the directory with and to look names up from, valid until the next call; or -errno: ENOENT
   * when another directory bears its name by now.
   */
  open(directory: Directory): number {
    return this.#withRoom(() => this.#openStepwise(directory, true));
  }

  /** Where no descriptor is free, those that are kept here are given up. */
  #withRoom(open: () => number): number {
    const fd = open();
    if (!isStarved(fd) || this.#open.size === 0) return fd;
    this.release();
    return open();
  }

  /**
   * Like `open`, without the check of what bears the name now, for a caller that will learn of it otherwise; and the descriptor is the
   * caller's, to `keep` or to close: most directories hold none, and their descriptors are not needed again.
   */
  openOnce(directory: Directory): number {
    return this.#withRoom(() => this.#openUnchecked(directory));
  }

  #openUnchecked(directory: Directory): number {
    if (directory.parent === undefined) return this.#openStep(AT_FDCWD, directory);
    const parentFd = this.#openStepwise(directory.parent, false);
    return parentFd < 0 ? parentFd : this.#openStep(parentFd, directory);
  }

  #openStepwise(directory: Directory, isChecked: boolean): number {
    const known = this.#open.get(directory);
    if (known !== undefined) {
      this.#open.delete(directory);
      this.#open.set(directory, known);
      return known;
    }
    const chain: Directory[] = [];
    let parentFd: number = AT_FDCWD;
    for (let at: Directory | undefined = directory; at !== undefined; at = at.parent) {
      const fd = this.#open.get(at);
      if (fd !== undefined) {
        parentFd = fd;
        break;
      }
      chain.push(at);
    }
    if (isChecked && parentFd === AT_FDCWD && chain.length > 1) {
      const fd = this.#openWhole(directory);
      if (fd >= 0) return fd;
    }
    for (let next = chain.pop(); next !== undefined; next = chain.pop()) {
      parentFd = this.#step(parentFd, next, isChecked);
      if (parentFd < 0) return parentFd;
    }
    return parentFd;
  }

  /** One call instead of two for each step. What fails here (a long path, an old kernel) is tried, and told, step by step. */
  #openWhole(directory: Directory): number {
    const path = under(this.rootPath, directory.path);
    const fd = openWithoutLinks(AT_FDCWD, path, O_DIRECTORY | O_RDONLY | O_NONBLOCK);
    return fd < 0 ? fd : this.#checked(directory, fd);
  }

  #openStep(parentFd: number, directory: Directory): number {
    const isRoot = directory === this.#root;
    const name = isRoot ? this.rootPath : directory.name;
    const flags = O_DIRECTORY | (isRoot ? 0 : O_NOFOLLOW);
    const fd = openat(parentFd, name, flags | O_RDONLY | O_NONBLOCK);
    // Without the right to list it, names in it can still be looked up.
    return fd === -EACCES ? openat(parentFd, name, flags | O_PATH) : fd;
  }

  #step(parentFd: number, directory: Directory, isChecked: boolean): number {
    const fd = this.#openStep(parentFd, directory);
    if (fd < 0) return fd;
    if (!isChecked) {
      this.keep(directory, fd);
      return fd;
    }
    return this.#checked(directory, fd);
  }

  /** Keeps the descriptor, or closes it and returns -errno when it is of another directory. */
  #checked(directory: Directory, fd: number): number {
    // RACE: another directory may have taken the name since it was recorded; what we hold is checked, not the name.
    const result = fstat(fd, this.#stat);
    const isIt =
      result === 0 &&
      (identityOf(this.#stat.inoHigh, this.#stat.inoLow) === directory.identity || this.#stat.isMountRoot);
    if (!isIt) {
      close(fd);
      return result < 0 ? result : -ENOENT;
    }
    this.keep(directory, fd);
    return fd;
  }

  /** Takes over a descriptor of the directory. */
  keep(directory: Directory, fd: number): void {
    const former = this.#open.get(directory);
    if (former !== undefined && former !== fd) close(former);
    this.#open.delete(directory);
    this.#open.set(directory, fd);
    if (this.#open.size <= maxOpen) return;
    for (const [oldest, oldFd] of this.#open) {
      this.#open.delete(oldest);
      close(oldFd);
      return;
    }
  }

  forget(directory: Directory): void {
    const fd = this.#open.get(directory);
    if (fd === undefined) return;
    this.#open.delete(directory);
    close(fd);
  }

  /** Closes all: before a sleep, and at the end. */
  release(): void {
    for (const fd of this.#open.values()) close(fd);
    this.#open.clear();
  }
}
