// Reads directories whole: those that are new to the shadow, and those that have to be compared with it because events of them
// were lost or cannot be trusted.

import { FamError } from '../core/errors.ts';
import type { ByteString, Name } from '../core/name.ts';
import { under } from '../core/under.ts';
import { EACCES, SEEK_SET } from '../kernel/constants.ts';
import { lseek } from '../kernel/content-calls.ts';
import { nameOf, readDirectory, readRawDirectory } from '../kernel/directory.ts';
import { close } from '../kernel/entry-calls.ts';
import { Hint } from '../kernel/event-source.ts';
import { Stat, statx } from '../kernel/stat.ts';
import { isStarved, SysError } from '../kernel/sys-error.ts';
import { countDirectories, isWatchLimit, watchLimitAdvice } from '../kernel/watch-limit.ts';
import { goneErrnos } from './directory-fds.ts';
import type { Doubts } from './doubts.ts';
import {
  type EntryCode,
  EntryKind,
  entryCode,
  entryValue,
  identityOf,
  kindName,
  kindOf,
  kindOfListed,
  kindOfType,
  plainKind,
} from './entry-code.ts';
import type { FollowedLinks } from './followed-links.ts';
import { Interest, type InterestFilter } from './interest.ts';
import type { Entering, NameChanges } from './name-changes.ts';
import { EntryPacker, packEntry } from './packed-entries.ts';
import type { Settling } from './settling.ts';
import type { Directory, Shadow } from './shadow.ts';
import type { Teller } from './teller.ts';
import type { ReportProblem, TreeParts } from './tree-parts.ts';
import type { Trust } from './trusted-listings.ts';
import type { WatchedRoot } from './watched-root.ts';

/** While a large tree is listed, inotify's queue (16,384 events) is emptied after so many directories. */
const directoriesPerDrain = 64;

export class TreeReader {
  readonly #path: ByteString;
  readonly #shadow: Shadow;
  readonly #filter: InterestFilter;
  readonly #root: WatchedRoot;
  readonly #teller: Teller;
  readonly #settling: Settling;
  readonly #doubts: Doubts;
  readonly #links: FollowedLinks;
  readonly #problem: ReportProblem;
  readonly #mustGoOn: () => void;
  readonly #starved: () => void;
  readonly #names: NameChanges;
  readonly #stat = new Stat();
  readonly #packer = new EntryPacker();
  /** Found in listings that are still under way. */
  readonly #toFollow: [Directory, Name][] = [];
  #isFirst = false;

  /** @param names what is found is recorded and told there */
  constructor(parts: TreeParts, names: NameChanges) {
    this.#path = parts.path;
    this.#shadow = parts.shadow;
    this.#filter = parts.filter;
    this.#root = parts.root;
    this.#teller = parts.teller;
    this.#settling = parts.settling;
    this.#doubts = parts.doubts;
    this.#links = parts.links;
    this.#problem = parts.problem;
    this.#mustGoOn = parts.mustGoOn;
    this.#starved = parts.starved;
    this.#names = names;
  }

  /**
   * The first listing of the tree, of which nothing is told. It opens directories by name without checking that they are still
   * those that were listed: that would take a fifth longer. Where it may have gone wrong, the kernel tells so meanwhile.
   */
  enterFirst(): void {
    this.#isFirst = true;
    this.enter(this.#shadow.root, { told: false, complete: true, pid: 0 });
    this.#isFirst = false;
  }

  /** Watches a directory, then lists it, and so on below it. What is in the shadow below it is replaced. */
  enter(top: Directory, how: Entering): void {
    const isPlain = this.#isFirst && this.#takesAll;
    const waiting = [top];
    let count = 0;
    for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
      if (++count % directoriesPerDrain === 0) this.#betweenDirectories();
      const fd = this.#watch(directory);
      if (fd === undefined) continue;
      const firstChild = waiting.length;
      const trust = this.#root.trustOf(fd);
      const result =
        isPlain && trust === 'all'
          ? this.#listPlain(directory, fd, waiting)
          : this.#list(directory, fd, waiting, how, trust);
      if (result < 0) this.#problem(directory.path, result);
      // Those below are opened from this descriptor soon; a leaf's is not needed again.
      const isLeaf = waiting.length === firstChild;
      if (!this.#isFirst) {
        if (isLeaf) this.#root.fds.forget(directory);
      } else if (isLeaf) close(fd);
      else this.#root.fds.keep(directory, fd);
    }
    for (const [directory, name] of this.#toFollow.splice(0)) this.#links.follow(directory, name);
  }

  #betweenDirectories(): void {
    this.#mustGoOn();
    this.#root.drain();
  }

  /** Records what the directory holds, and tells of it; directories go to `waiting`. 0 or more, or -errno. */
  #list(directory: Directory, fd: number, waiting: Directory[], how: Entering, trust: Trust): number {
    const entries: string[] = [];
    const arrivals: [Name, number][] = [];
    const result = readDirectory(fd, (name, type, inoHigh, inoLow) => {
      const listed = this.#listed(fd, name, type, inoHigh, inoLow, trust);
      if (listed === undefined) return;
      const isDirectory = kindOf(listed) === EntryKind.closed;
      const interest = this.#filter.of(directory, name, isDirectory);
      if (interest === Interest.none) return;
      let code = listed;
      if (isDirectory && this.#filter.recursive) {
        if (!this.#isFirst && this.#shadow.identified(entryValue(listed)) !== undefined) {
          arrivals.push([name, entryValue(listed)]);
          return;
        }
        const child = this.#shadow.enter(directory, name, entryValue(listed));
        waiting.push(child);
        code = entryCode(EntryKind.entered, child.tag);
      }
      entries.push(packEntry(name, code));
      if (how.told && interest === Interest.told) {
        this.#teller.tell(
          { type: 'created', path: directory.pathOf(name), kind: kindName(kindOf(code)) },
          how.pid,
        );
        if (kindOf(code) === EntryKind.file && how.complete) {
          this.#teller.tell({ type: 'changed', path: directory.pathOf(name), kind: 'file' }, how.pid);
        }
      }
      if (how.told && !how.complete && kindOf(code) === EntryKind.file) {
        this.#settling.touch(directory, name, how.pid, performance.now());
      }
      if (this.#links.followsSymlinks && kindOf(code) === EntryKind.symlink)
        this.#toFollow.push([directory, name]);
    });
    directory.load(entries.join(''));
    directory.isListed = true;
    for (const [name, identity] of arrivals) {
      if (directory.isLive && directory.get(name) === undefined) {
        this.#names.appear(
          directory,
          name,
          EntryKind.closed,
          identity,
          how.complete ? Hint.moved : 0,
          how.pid,
        );
      }
    }
    return result;
  }

  /** Nothing that is listed is left out or followed. */
  get #takesAll(): boolean {
    return this.#filter.isAll && this.#filter.recursive && !this.#links.followsSymlinks;
  }

  /** `#list` in the first listing, where listings are exact, without a string for each name: 7 % of all that a large tree takes (measured). */
  #listPlain(directory: Directory, fd: number, waiting: Directory[]): number {
    const packer = this.#packer;
    const result = readRawDirectory(fd, (bytes, start, end, type, inoHigh, inoLow) => {
      const kind = kindOfListed(type);
      let code =
        kind === undefined
          ? this.#listed(fd, nameOf(bytes, start, end), type, inoHigh, inoLow, 'all')
          : entryCode(kind, identityOf(inoHigh, inoLow));
      if (code === undefined) return;
      if (kindOf(code) === EntryKind.closed) {
        const child = this.#shadow.enter(directory, nameOf(bytes, start, end), entryValue(code));
        waiting.push(child);
        code = entryCode(EntryKind.entered, child.tag);
      }
      packer.add(bytes, start, end, code);
    });
    directory.load(packer.take());
    directory.isListed = true;
    return result;
  }

  /**
   * Compares a directory and all below it with the shadow, and tells the differences.
   * @param since files whose inode changed after this moment (ms since 1970) are told as changed; -Infinity: all of them
   */
  compare(top: Directory, since: number): void {
    const waiting = [top];
    let count = 0;
    for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
      if (!directory.isLive) continue;
      if (++count % directoriesPerDrain === 0) this.#betweenDirectories();
      const fd = this.#watch(directory);
      if (fd === undefined) continue;
      // It may have been listed before.
      lseek(fd, 0, SEEK_SET);
      const present = new Map<Name, EntryCode>();
      const trust = this.#root.trustOf(fd);
      const result = readDirectory(fd, (name, type, inoHigh, inoLow) => {
        const listed = this.#listed(fd, name, type, inoHigh, inoLow, trust);
        if (listed !== undefined) present.set(name, listed);
      });
      if (result < 0) {
        this.#problem(directory.path, result);
        continue;
      }
      const here = directory;
      here.isListed = true;
      here.each((name, code) => {
        if (!present.has(name)) this.#names.gone(here, name, code, 0);
      });
      for (const [name, listed] of present) {
        if (here.isLive) this.#compareName(here, name, listed, since, waiting);
      }
    }
  }

  #compareName(
    directory: Directory,
    name: Name,
    listed: EntryCode,
    since: number,
    waiting: Directory[],
  ): void {
    const kind = kindOf(listed) as EntryKind;
    const identity = entryValue(listed);
    const code = directory.get(name);
    if (code === undefined || plainKind(code) !== kind) {
      if (code !== undefined) this.#names.gone(directory, name, code, 0);
      this.#names.appear(directory, name, kind, identity, Hint.moved, 0);
      return;
    }
    const child = this.#shadow.entered(code);
    const isOther = (child === undefined ? entryValue(code) : child.identity) !== identity;
    const fd = this.#root.fds.open(directory);
    if (fd < 0 || statx(fd, name, this.#stat) < 0) {
      this.#doubts.add(directory, name, 0, 0);
      return;
    }
    const changedAt = this.#stat.ctimeS * 1000 + this.#stat.ctimeNs / 1e6;
    const isTouched = isOther || changedAt >= since;
    if (child !== undefined) {
      if (isOther && !this.#stat.isMountRoot) {
        this.#names.reidentify(
          directory,
          name,
          code,
          child,
          identityOf(this.#stat.inoHigh, this.#stat.inoLow),
        );
        return;
      }
      waiting.push(child);
    } else if (isOther) this.#shadow.set(directory, name, entryCode(kind, identity));
    if (!isTouched) return;
    if (kind !== EntryKind.closed) this.#teller.changed(directory, name, 0);
    this.#teller.attributes(directory, name, kind, Hint.attributes, 0);
    if (kind === EntryKind.symlink) this.#links.follow(directory, name);
  }

  /** Starts the events of a directory; its descriptor, or undefined when it is not there or not ours to see. */
  #watch(directory: Directory): number | undefined {
    const fd = this.#isFirst ? this.#root.fds.openOnce(directory) : this.#root.fds.open(directory);
    if (fd < 0) {
      const { parent, name } = directory;
      if (isStarved(fd)) this.#refuse(directory, fd);
      else if (parent === undefined || name === '') this.#root.isGone = true;
      else if (goneErrnos.has(fd)) this.#doubts.add(parent, name, 0, 0);
      if (!goneErrnos.has(fd) && !isStarved(fd)) this.#refuse(directory, fd);
      return undefined;
    }
    try {
      this.#root.add(fd, directory.tag);
    } catch (error) {
      if (this.#isFirst) close(fd);
      if (!(error instanceof SysError)) throw error;
      if (isWatchLimit(error)) throw this.#watchLimit(error);
      this.#refuse(directory, -error.errno);
      return undefined;
    }
    return fd;
  }

  #watchLimit(cause: SysError): FamError {
    const root = this.#root.fds.open(this.#shadow.root);
    const needed = root < 0 ? this.#shadow.size : countDirectories(root);
    return new FamError('MONITOR_UNAVAILABLE', watchLimitAdvice(needed), { cause });
  }

  /** A directory that cannot be listed is an entry like a file. */
  #refuse(directory: Directory, result: number): void {
    if (isStarved(result)) {
      if (this.#isFirst) throw new SysError(result, 'open', under(this.#path, directory.path));
      this.#starved();
      return;
    }
    this.#problem(directory.path, result);
    const { parent, name } = directory;
    if (parent === undefined || name === '' || -result !== EACCES) return;
    this.#names.forget(parent, name, entryCode(EntryKind.entered, directory.tag));
    this.#shadow.set(parent, name, entryCode(EntryKind.closed, directory.identity));
  }

  /** The code of a listed entry (a directory as `closed`); undefined when it has gone since. */
  #listed(
    fd: number,
    name: Name,
    type: number,
    inoHigh: number,
    inoLow: number,
    trust: Trust,
  ): EntryCode | undefined {
    const kind = kindOfListed(type);
    const isExact = trust === 'all' || (trust === 'files' && kind !== EntryKind.closed);
    if (kind !== undefined && isExact) return entryCode(kind, identityOf(inoHigh, inoLow));
    if (statx(fd, name, this.#stat) < 0) return undefined;
    return entryCode(kindOfType(this.#stat.type), identityOf(this.#stat.inoHigh, this.#stat.inoLow));
  }
}
