// What lies outside of a tree and decides what it shows: the way to its root, and what the symlinks in it lead to.

import type { ByteString, Name } from '../core/name.ts';
import { under } from '../core/under.ts';
import { AT_FDCWD, AT_NO_AUTOMOUNT } from '../kernel/constants.ts';
import { Stat, statx } from '../kernel/stat.ts';
import { type FdList, noFds } from './fd-list.ts';
import { Interest, type InterestFilter } from './interest.ts';
import { Route } from './route.ts';
import type { Directory } from './shadow.ts';

export interface FollowedLinksOptions {
  /** The tree's root, absolute. */
  readonly path: ByteString;
  readonly filter: InterestFilter;
  /** False: a symlink in the tree is an entry like any other. */
  readonly followsSymlinks: boolean;
  /** The root may be another directory by now, or none, or be there again. */
  readonly onRoot: () => void;
  /** A link leads to something else, or what it leads to has changed. */
  readonly onChanged: (directory: Directory, name: Name) => void;
  /** A directory (absolute) that one of the ways leads through cannot be watched; errno as system calls return it. */
  readonly onUnwatched: (directory: ByteString, errno: number) => void;
  /** `read` has something to tell. */
  readonly onTold: () => void;
}

interface Link {
  readonly directory: Directory;
  readonly name: Name;
  /** What its target was like. */
  state: string;
}

/** `close` is idempotent. */
export class FollowedLinks {
  readonly followsSymlinks: boolean;
  readonly #options: FollowedLinksOptions;
  readonly #stat = new Stat();
  /** By absolute path. */
  readonly #links = new Map<ByteString, Link>();
  /** Made when it is first needed. */
  #route: Route | undefined;

  constructor(options: FollowedLinksOptions) {
    this.#options = options;
    this.followsSymlinks = options.followsSymlinks;
  }

  /** To poll for reading. */
  get fds(): FdList {
    return this.#route?.fds ?? noFds;
  }

  get pendingUntil(): number | undefined {
    return this.#route?.pendingUntil;
  }

  /** Keeps an eye on what a link leads to; a link that is followed already is looked at. */
  follow(directory: Directory, name: Name): void {
    if (!this.followsSymlinks) return;
    if (this.#options.filter.of(directory, name, false) !== Interest.told) return;
    const path = this.#pathOf(directory, name);
    this.#openRoute().follow(path, false);
    this.#links.set(path, { directory, name, state: this.#stateOf(path) });
  }

  unfollow(directory: Directory, name: Name): void {
    const path = this.#pathOf(directory, name);
    if (this.#links.delete(path)) this.#route?.unfollow(path);
  }

  /** A directory has another path now, and so have the links below it. Tells what has changed meanwhile. */
  moved(top: Directory): void {
    const below = [...this.#links].filter(([, { directory }]) => directory.isWithin(top));
    for (const [path] of below) {
      this.#links.delete(path);
      this.#route?.unfollow(path);
    }
    for (const [, { directory, name, state }] of below) {
      this.follow(directory, name);
      const now = this.#links.get(this.#pathOf(directory, name))?.state;
      if (now !== undefined && now !== state) this.#options.onChanged(directory, name);
    }
  }

  /** Forgets the links in directories that have left the tree. */
  unfollowDead(): void {
    for (const [path, link] of this.#links) {
      if (link.directory.isLive) continue;
      this.#links.delete(path);
      this.#route?.unfollow(path);
    }
  }

  /**
   * Keeps an eye on the way to the root; look at it after this.
   * @param wholeWay also the directories before the first symlink: for a root that is not there
   */
  followRoot(wholeWay: boolean): void {
    this.#openRoute().follow(this.#options.path, wholeWay);
  }

  unfollowRoot(): void {
    this.#route?.unfollow(this.#options.path);
  }

  /** Tells what has changed, as far as the kernel has said so by now. */
  read(): void {
    const route = this.#route;
    if (route === undefined) return;
    for (const path of route.read()) {
      const link = this.#links.get(path);
      if (link === undefined) {
        this.#options.onRoot();
        continue;
      }
      route.follow(path, false);
      const state = this.#stateOf(path);
      if (state === link.state) continue;
      link.state = state;
      this.#options.onChanged(link.directory, link.name);
    }
  }

  close(): void {
    this.#route?.close();
    this.#route = undefined;
  }

  #openRoute(): Route {
    this.#route ??= new Route(this.#options.onUnwatched, this.#options.onTold);
    return this.#route;
  }

  #pathOf(directory: Directory, name: Name): ByteString {
    return under(this.#options.path, directory.pathOf(name));
  }

  /** What a path leads to at this moment, to be compared with later. */
  #stateOf(path: ByteString): string {
    const stat = this.#stat;
    if (statx(AT_FDCWD, path, stat, AT_NO_AUTOMOUNT) < 0) return '';
    const { dev, inoHigh, inoLow, size, mtimeS, mtimeNs, ctimeS, ctimeNs } = stat;
    return [dev, inoHigh, inoLow, size, mtimeS, mtimeNs, ctimeS, ctimeNs].join(' ');
  }
}
