// Directories that are in a tree more than once: what is bind-mounted is there under its own path and under the mount's. The kernel has one
// name for such a directory (a file handle, an inotify watch) and tells of it once; here is what else it means. Pure.

import {
  type DirectoryTag,
  Hint,
  type KernelEvent,
  type NameEvent,
  type RenameEvent,
} from './event-source.ts';

const none: readonly DirectoryTag[] = [];

/**
 * The places of directories that have several, by the tag of the first one, which is what the kernel's name is registered under. A mount
 * shows a directory once: two tags with one mount are one place that was tagged anew.
 */
export class Places {
  /** The mount that most are on: those of it are not kept one by one. */
  #home: number | undefined;
  readonly #mounts = new Map<DirectoryTag, number>();
  /** Of the first place: the others. */
  readonly #others = new Map<DirectoryTag, DirectoryTag[]>();
  /** Of each of the others: the first one. */
  readonly #firsts = new Map<DirectoryTag, DirectoryTag>();

  /** @param home where it is known beforehand; default that of the first one */
  constructor(home?: number) {
    this.#home = home;
  }

  /** Some directory has several. */
  get areAny(): boolean {
    return this.#others.size > 0;
  }

  /** The other places of the directory whose first one this is. */
  othersOf(first: DirectoryTag): readonly DirectoryTag[] {
    return this.#others.get(first) ?? none;
  }

  /** The tag that the place's directory is registered under. */
  firstOf(tag: DirectoryTag): DirectoryTag {
    return this.#firsts.get(tag) ?? tag;
  }

  /** A place is on this mount. */
  note(tag: DirectoryTag, mountId: number): void {
    this.#home ??= mountId;
    if (mountId !== this.#home) this.#mounts.set(tag, mountId);
    else if (this.#mounts.size > 0) this.#mounts.delete(tag);
  }

  /**
   * Another tag for the directory that is registered as `first`. `tag` belongs to no directory at this time.
   * @returns true when it is another place; false when it takes the place of `first`: register it in its stead
   */
  join(first: DirectoryTag, tag: DirectoryTag, mountId: number): boolean {
    const others = this.#others.get(first) ?? [];
    if (this.#mountOf(first) === mountId) {
      this.#forget(first);
      this.note(tag, mountId);
      this.#lead(first, tag, others);
      return false;
    }
    const same = others.findIndex((other) => this.#mountOf(other) === mountId);
    for (const former of others.splice(same < 0 ? others.length : same, 1)) this.#forget(former);
    this.note(tag, mountId);
    others.push(tag);
    this.#others.set(first, others);
    this.#firsts.set(tag, first);
    return true;
  }

  /**
   * The place is no more.
   * @returns the tag to register the directory under from now on; undefined: it has no place left. That of `firstOf` where it was not the first one
   */
  leave(tag: DirectoryTag): DirectoryTag | undefined {
    if (this.#mounts.size > 0) this.#mounts.delete(tag);
    if (this.#others.size === 0) return undefined;
    const first = this.#firsts.get(tag);
    if (first !== undefined) {
      this.#firsts.delete(tag);
      const left = this.othersOf(first).filter((other) => other !== tag);
      if (left.length === 0) this.#others.delete(first);
      else this.#others.set(first, left);
      return first;
    }
    const [heir, ...left] = this.othersOf(tag);
    if (heir === undefined) return undefined;
    this.#firsts.delete(heir);
    this.#lead(tag, heir, left);
    return heir;
  }

  /** Puts `first` in the place of the one that led. */
  #lead(former: DirectoryTag, first: DirectoryTag, others: DirectoryTag[]): void {
    this.#others.delete(former);
    for (const other of others) this.#firsts.set(other, first);
    if (others.length > 0) this.#others.set(first, others);
  }

  #forget(tag: DirectoryTag): void {
    this.#mounts.delete(tag);
    this.#firsts.delete(tag);
  }

  #mountOf(tag: DirectoryTag): number {
    return this.#mounts.get(tag) ?? this.#home ?? 0;
  }

  /** Appends an event of a directory by its first place, and the same of all others. */
  tellName(event: NameEvent, events: KernelEvent[]): void {
    events.push(event);
    if (this.#others.size === 0) return;
    for (const directory of this.othersOf(event.directory)) events.push({ ...event, directory });
  }

  /** The same of a rename: it is one where a mount shows both directories. */
  tellRename(event: RenameEvent, events: KernelEvent[]): void {
    if (this.#others.size === 0) {
      events.push(event);
      return;
    }
    const { fromDirectory, fromName, toDirectory, toName, isDirectory, pid } = event;
    const hints = Hint.moved | (isDirectory ? Hint.directory : 0);
    const targets = new Map<number, DirectoryTag>();
    for (const to of [toDirectory, ...this.othersOf(toDirectory)]) targets.set(this.#mountOf(to), to);
    for (const from of [fromDirectory, ...this.othersOf(fromDirectory)]) {
      const mount = this.#mountOf(from);
      const to = targets.get(mount);
      targets.delete(mount);
      events.push(
        to === undefined
          ? { type: 'name', directory: from, name: fromName, hints: hints | Hint.vanished, pid }
          : { ...event, fromDirectory: from, toDirectory: to },
      );
    }
    for (const directory of targets.values())
      events.push({ type: 'name', directory, name: toName, hints: hints | Hint.appeared, pid });
  }
}
