// Files that are being written: recorded when they have been quiet for a while, or now and then if they never are.

import type { InodeId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';

/** One file that somebody writes to, found by inode (it may be renamed meanwhile) and by name. */
export interface HotFile {
  readonly key: string;
  directory: InodeId;
  name: Name;
  /** Hints gathered since it became hot. */
  hints: number;
  /** A writer closed it under a name that it no longer has: it is complete as soon as it is found. */
  closed: boolean;
  /** It is new, shorter than it was, or was empty: half of something, as long as its writer has not closed it. */
  isUnfinished: boolean;
  /** It is not due before, however quiet. */
  notBefore: number;
  readonly since: number;
  last: number;
}

export interface HotFilesOptions {
  /** Milliseconds of quiet after which a file counts as settled. */
  readonly settleMs: number;
  /** Milliseconds after which a file that never rests is recorded all the same. */
  readonly hotFileMaxDelayMs: number;
}

/** Pure: time is handed in (milliseconds, monotonic). */
export class HotFiles {
  readonly #options: HotFilesOptions;
  readonly #byKey = new Map<string, HotFile>();
  readonly #byName = new Map<string, HotFile>();
  /** Never later than the earliest deadline. */
  #earliest = Infinity;

  constructor(options: HotFilesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byKey.size;
  }

  find(key: string): HotFile | undefined {
    return this.#byKey.size === 0 ? undefined : this.#byKey.get(key);
  }

  findName(directory: InodeId, name: Name): HotFile | undefined {
    return this.#byName.size === 0 ? undefined : this.#byName.get(`${directory}/${name}`);
  }

  /** The file was written to, under this name, now. A new name for a known file replaces the old one. */
  touch(
    key: string,
    directory: InodeId,
    name: Name,
    hints: number,
    now: number,
    isUnfinished: boolean,
  ): void {
    let file = this.#byKey.get(key);
    if (file === undefined) {
      file = {
        key,
        directory,
        name,
        hints,
        closed: false,
        isUnfinished,
        notBefore: -Infinity,
        since: now,
        last: now,
      };
    } else {
      this.#dropName(file);
      file.directory = directory;
      file.name = name;
      file.hints |= hints;
      file.last = now;
      file.isUnfinished ||= isUnfinished;
    }
    this.#add(file);
  }

  /** Takes in again what `due` has given out. */
  putBack(file: HotFile, notBefore: number): void {
    file.notBefore = notBefore;
    this.#add(file);
  }

  #add(file: HotFile): void {
    this.#byKey.set(file.key, file);
    this.#byName.set(`${file.directory}/${file.name}`, file);
    this.#earliest = Math.min(this.#earliest, this.#due(file));
  }

  forget(file: HotFile): void {
    this.#dropName(file);
    this.#byKey.delete(file.key);
  }

  #dropName(file: HotFile): void {
    const name = `${file.directory}/${file.name}`;
    // Another file may have taken the name since.
    if (this.#byName.get(name) === file) this.#byName.delete(name);
  }

  /** When `due` has to be asked next; undefined while nothing is hot. */
  get deadline(): number | undefined {
    return this.#byKey.size === 0 ? undefined : this.#earliest;
  }

  /** Takes out the files whose time has come (all of them when `everything`). */
  due(now: number, everything = false): HotFile[] {
    if (this.#byKey.size === 0 || (!everything && now < this.#earliest)) return [];
    const out: HotFile[] = [];
    this.#earliest = Infinity;
    for (const file of this.#byKey.values()) {
      const due = this.#due(file);
      if (everything || due <= now) out.push(file);
      else this.#earliest = Math.min(this.#earliest, due);
    }
    for (const file of out) this.forget(file);
    return out;
  }

  #due(file: HotFile): number {
    const { settleMs, hotFileMaxDelayMs } = this.#options;
    return Math.max(file.notBefore, Math.min(file.last + settleMs, file.since + hotFileMaxDelayMs));
  }
}
