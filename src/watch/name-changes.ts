// What becomes of names in the tree: they appear, go, move, come to mean another inode. It is recorded in the shadow and told in
// one go.

import type { ByteString, Name } from '../core/name.ts';
import { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from '../kernel/constants.ts';
import { close, openat } from '../kernel/entry-calls.ts';
import { Hint } from '../kernel/event-source.ts';
import { Stat, statx } from '../kernel/stat.ts';
import { isStarved } from '../kernel/sys-error.ts';
import { goneErrnos } from './directory-fds.ts';
import type { Doubts } from './doubts.ts';
import {
  type EntryCode,
  EntryKind,
  entryCode,
  entryValue,
  identityOf,
  isDirectoryCode,
  kindName,
  kindOf,
  kindOfType,
  plainKind,
} from './entry-code.ts';
import type { FollowedLinks } from './followed-links.ts';
import { Interest, type InterestFilter } from './interest.ts';
import type { Settling } from './settling.ts';
import type { Directory, Shadow } from './shadow.ts';
import type { Teller } from './teller.ts';
import type { ReportProblem, TreeParts } from './tree-parts.ts';
import type { WatchedRoot } from './watched-root.ts';

/** How a directory is listed that is new to the shadow. */
export interface Entering {
  /** What is in it is told as created. */
  readonly told: boolean;
  /** Its files have their content: nobody is writing them now. */
  readonly complete: boolean;
  readonly pid: number;
}

export interface NameChangesOptions extends TreeParts {
  /** Lists a directory that is new, and all below it. */
  readonly enter: (directory: Directory, how: Entering) => void;
  /** Compares a directory and all below it; files that changed after `since` (ms since 1970) are told as changed. */
  readonly compare: (directory: Directory, since: number) => void;
}

export class NameChanges {
  readonly #shadow: Shadow;
  readonly #filter: InterestFilter;
  readonly #root: WatchedRoot;
  readonly #teller: Teller;
  readonly #settling: Settling;
  readonly #doubts: Doubts;
  readonly #links: FollowedLinks;
  readonly #problem: ReportProblem;
  readonly #starved: () => void;
  readonly #enter: NameChangesOptions['enter'];
  readonly #compare: NameChangesOptions['compare'];
  readonly #stat = new Stat();

  constructor(options: NameChangesOptions) {
    this.#shadow = options.shadow;
    this.#filter = options.filter;
    this.#root = options.root;
    this.#teller = options.teller;
    this.#settling = options.settling;
    this.#doubts = options.doubts;
    this.#links = options.links;
    this.#problem = options.problem;
    this.#starved = options.starved;
    this.#enter = options.enter;
    this.#compare = options.compare;
  }

  /**
   * Looks at a name and tells what is new about it. Hints say what may have happened; what counts is what is there.
   * @param isCertain the queue was empty after the hint: nothing that is still to come explains a missing name
   */
  look(directory: Directory, name: Name, hints: number, pid: number, isCertain = false): boolean {
    const code = directory.get(name);
    if (code === undefined && (hints & (Hint.appeared | Hint.vanished | Hint.moved)) === 0 && !isCertain) {
      if (this.#filter.of(directory, name, (hints & Hint.directory) !== 0) === Interest.none) return true;
    }
    const fd = this.#root.fds.open(directory);
    if (fd < 0) {
      // It was moved or deleted, which is told by an event that is still to come.
      this.#doubts.add(directory, name, hints, pid);
      return false;
    }
    const stat = this.#stat;
    const result = statx(fd, name, stat);
    if (result < 0) {
      if (code === undefined) return true;
      if (!goneErrnos.has(result)) this.#problem(directory.pathOf(name), result);
      else if (isCertain || (hints & Hint.vanished) !== 0) this.gone(directory, name, code, pid);
      else {
        if ((hints & Hint.closedWrite) !== 0)
          this.#settling.closedElsewhere(directory, name, pid, performance.now());
        this.#doubts.add(directory, name, hints, pid);
      }
      return true;
    }
    const kind = kindOfType(stat.type);
    const identity = identityOf(stat.inoHigh, stat.inoLow);
    if (code !== undefined && plainKind(code) !== kind) {
      this.gone(directory, name, code, pid);
      this.appear(directory, name, kind, identity, hints, pid);
    } else if (code === undefined) {
      this.appear(directory, name, kind, identity, hints, pid);
    } else if (kind === EntryKind.closed) {
      this.#lookAtDirectory(directory, name, code, identity, stat.isMountRoot, hints);
      this.#teller.attributes(directory, name, kind, hints, pid);
    } else {
      const isOther = entryValue(code) !== identity;
      if (isOther) this.#shadow.set(directory, name, entryCode(kind, identity));
      const isComplete = (hints & (isOther ? Hint.closedWrite | Hint.moved : Hint.closedWrite)) !== 0;
      if (kind === EntryKind.file) {
        if (isOther && isCertain) this.#teller.content(directory, name, true, pid);
        else if (isOther || (hints & (Hint.vanished | Hint.modified | Hint.closedWrite)) !== 0) {
          this.#teller.content(directory, name, isComplete, pid);
        }
      } else if (isOther || (hints & Hint.vanished) !== 0) {
        this.#teller.changed(directory, name, pid);
        if (kind === EntryKind.symlink) this.#links.follow(directory, name);
      }
      this.#teller.attributes(directory, name, kind, hints, pid);
    }
    return true;
  }

  /** A directory is where one was: it may be another one. */
  #lookAtDirectory(
    parent: Directory,
    name: Name,
    code: EntryCode,
    identity: number,
    isMountRoot: boolean,
    hints: number,
  ): void {
    const child = this.#shadow.entered(code);
    if (child === undefined) {
      if (entryValue(code) !== identity)
        this.#shadow.set(parent, name, entryCode(EntryKind.closed, identity));
      if (this.#filter.recursive && (hints & Hint.attributes) !== 0) this.#tryToEnter(parent, name, identity);
      return;
    }
    const isOther = child.identity !== identity && !isMountRoot;
    if (!isOther && child.isListed && (hints & Hint.vanished) === 0) return;
    this.reidentify(parent, name, code, child, isOther ? identity : child.identity);
  }

  /** A directory that was not ours to read: what was in it then is as new as what has come since. */
  #tryToEnter(parent: Directory, name: Name, identity: number): void {
    const parentFd = this.#root.fds.open(parent);
    const fd =
      parentFd < 0 ? parentFd : openat(parentFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
    if (isStarved(fd)) this.#starved();
    if (fd < 0) return;
    close(fd);
    // RACE: if it may not be read any more, it is an entry like a file again.
    const child = this.#shadow.enter(parent, name, identity);
    this.#shadow.set(parent, name, entryCode(EntryKind.entered, child.tag));
    this.#enter(child, { told: true, complete: true, pid: 0 });
  }

  /** The directory at a name is another one, or may be: an inode number that was given out again looks the same. */
  reidentify(parent: Directory, name: Name, code: EntryCode, child: Directory, identity: number): void {
    if (child.identity !== identity && this.#shadow.identified(identity) !== undefined) {
      // One that is known from elsewhere has come here.
      this.gone(parent, name, code, 0);
      if (parent.isLive) this.appear(parent, name, EntryKind.closed, identity, Hint.moved, 0);
      return;
    }
    this.#root.fds.forget(child);
    this.#shadow.identify(child, identity);
    this.#compare(child, -Infinity);
  }

  /** A name is new, of this kind (a directory as `closed`). */
  appear(
    directory: Directory,
    name: Name,
    kind: EntryKind,
    identity: number,
    hints: number,
    pid: number,
  ): void {
    const isDirectory = kind === EntryKind.closed;
    const interest = this.#filter.of(directory, name, isDirectory);
    if (interest === Interest.none) return;
    if (isDirectory && this.#filter.recursive && this.#arrived(directory, name, identity, pid)) return;
    const isTold = interest === Interest.told;
    const complete = (hints & (Hint.moved | Hint.closedWrite)) !== 0;
    if (isTold)
      this.#teller.tell({ type: 'created', path: directory.pathOf(name), kind: kindName(kind) }, pid);
    if (isDirectory && this.#filter.recursive) {
      const child = this.#shadow.enter(directory, name, identity);
      this.#shadow.set(directory, name, entryCode(EntryKind.entered, child.tag));
      this.#enter(child, { told: true, complete: (hints & Hint.moved) !== 0, pid });
      return;
    }
    this.#shadow.set(directory, name, entryCode(kind, identity));
    if (kind === EntryKind.file) this.#teller.content(directory, name, complete, pid);
    else if (kind === EntryKind.symlink) this.#links.follow(directory, name);
  }

  /** A directory that was found where none was known may be one that is known from elsewhere: then it has moved here. */
  #arrived(parent: Directory, name: Name, identity: number, pid: number): boolean {
    const known = this.#shadow.identified(identity);
    const { parent: formerParent, name: formerName } = known ?? {};
    if (known === undefined || formerParent === undefined || formerName === undefined || formerName === '')
      return false;
    const code = formerParent.get(formerName);
    if (code === undefined) return false;
    const fd = this.#root.fds.open(formerParent);
    if (fd >= 0 && statx(fd, formerName, this.#stat) === 0) {
      // Still there: two inodes whose numbers fold to the same.
      if (identityOf(this.#stat.inoHigh, this.#stat.inoLow) === identity) return false;
    }
    const isPlain =
      !parent.isWithin(known) &&
      !this.#filter.dependsOnPath &&
      this.#filter.of(formerParent, formerName, true) === this.#filter.of(parent, name, true);
    if (!isPlain) {
      this.gone(formerParent, formerName, code, pid);
      return !parent.isLive;
    }
    this.#moveEntry(formerParent, formerName, code, parent, name, false, pid);
    // Its number may have been given out again: what it holds is compared.
    this.#root.fds.forget(known);
    this.#compare(known, this.#root.seenUntil);
    return true;
  }

  /** A name is no more. */
  gone(directory: Directory, name: Name, code: EntryCode, pid: number): void {
    const isDirectory = isDirectoryCode(code);
    const interest = this.#filter.of(directory, name, isDirectory);
    if (interest === Interest.told) {
      this.#teller.tell({ type: 'deleted', path: directory.pathOf(name), kind: kindName(kindOf(code)) }, pid);
    } else if (interest === Interest.through) {
      this.#teller.eachBelow(code, (path, kind) =>
        this.#teller.tell({ type: 'deleted', path, kind: kindName(kind) }, pid),
      );
    }
    this.forget(directory, name, code);
  }

  /** The same, without telling it. */
  forget(directory: Directory, name: Name, code: EntryCode): void {
    const child = this.#shadow.entered(code);
    this.#shadow.delete(directory, name);
    this.#settling.forget(directory, name);
    if (kindOf(code) === EntryKind.symlink) this.#links.unfollow(directory, name);
    if (child === undefined) return;
    this.#shadow.drop(child, (dropped) => {
      this.#root.fds.forget(dropped);
      this.#root.remove(dropped.tag);
    });
    this.#links.unfollowDead();
  }

  /**
   * A rename inside the tree. It is believed at once, and both names are looked at when the queue is empty: renames that
   * are repeated (or exchange two names) merge in the kernel, and their order is lost.
   */
  rename(
    from: Directory,
    fromName: Name,
    to: Directory,
    toName: Name,
    isDirectory: boolean,
    pid: number,
  ): void {
    const moved = Hint.moved | (isDirectory ? Hint.directory : 0);
    const code = from.get(fromName);
    if (code === undefined || isDirectoryCode(code) !== isDirectory) {
      this.look(from, fromName, Hint.vanished | moved, pid);
      this.look(to, toName, Hint.appeared | moved, pid);
      return;
    }
    const child = this.#shadow.entered(code);
    const interest = this.#filter.of(to, toName, isDirectory);
    const isPlain =
      interest === this.#filter.of(from, fromName, isDirectory) &&
      !(child !== undefined && (to.isWithin(child) || this.#filter.dependsOnPath));
    if (!isPlain) {
      if (from.isLive) this.gone(from, fromName, code, pid);
      if (to.isLive) this.look(to, toName, Hint.appeared | moved, pid);
      this.#doubts.add(from, fromName, 0, pid);
      return;
    }
    const replaced = to.get(toName);
    if (replaced !== undefined) this.forget(to, toName, replaced);
    if (from.isLive && to.isLive) {
      this.#moveEntry(from, fromName, code, to, toName, replaced !== undefined, pid);
    }
    this.#doubts.add(from, fromName, 0, pid);
    this.#doubts.add(to, toName, 0, pid);
  }

  /** Records a move between two names of the same interest, and tells it. The new name is free. */
  #moveEntry(
    from: Directory,
    fromName: Name,
    code: EntryCode,
    to: Directory,
    toName: Name,
    replaced: boolean,
    pid: number,
  ): void {
    const child = this.#shadow.entered(code);
    const interest = this.#filter.of(to, toName, isDirectoryCode(code));
    const fromPath = from.pathOf(fromName);
    const fromPaths: ByteString[] = [];
    if (interest === Interest.through) this.#teller.eachBelow(code, (path) => fromPaths.push(path));
    if (kindOf(code) === EntryKind.symlink) this.#links.unfollow(from, fromName);
    if (child !== undefined) {
      this.#shadow.move(child, to, toName);
      this.#links.moved(child);
    } else {
      this.#shadow.delete(from, fromName);
      this.#shadow.set(to, toName, code);
    }
    const isComplete = this.#settling.rename(from, fromName, to, toName);
    const kind = kindName(kindOf(code));
    if (interest === Interest.told) {
      this.#teller.tell({ type: 'moved', path: to.pathOf(toName), kind, from: fromPath, replaced }, pid);
    } else {
      let next = 0;
      this.#teller.eachBelow(code, (path, innerKind) => {
        const was = fromPaths[next++];
        if (was !== undefined)
          this.#teller.tell({ type: 'moved', path, kind: kindName(innerKind), from: was }, pid);
      });
    }
    if (isComplete) this.#teller.changed(to, toName, pid);
    if (kindOf(code) === EntryKind.symlink) this.#links.follow(to, toName);
  }
}
