// Files whose content is on its way: told when they are closed, or when they have been quiet for a while. Pure.

import type { Name } from '../core/name.ts';
import type { Directory } from './shadow.ts';

/** A file that never rests is told of this often all the same, in milliseconds. */
const maxDelayMs = 10_000;

export interface Unsettled {
  directory: Directory;
  name: Name;
  pid: number;
  /** Its writer has closed it, under a name that it no longer had: it is complete as soon as it is found. */
  isClosed: boolean;
  readonly since: number;
  last: number;
}

/** Times are milliseconds of a monotonic clock, handed in. */
export class Settling {
  readonly #settleMs: number;
  readonly #files = new Map<string, Unsettled>();
  /** Never later than the earliest deadline. */
  #earliest = Infinity;

  constructor(settleMs: number) {
    this.#settleMs = settleMs;
  }

  /** When `due` has to be asked next; undefined: nothing is on its way. */
  get deadline(): number | undefined {
    return this.#files.size === 0 ? undefined : this.#earliest;
  }

  touch(directory: Directory, name: Name, pid: number, now: number): void {
    const key = keyOf(directory, name);
    const known = this.#files.get(key);
    // Not one of a directory that had this tag and is gone.
    if (known?.directory === directory) {
      known.last = now;
      known.pid = pid;
      return;
    }
    const file = { directory, name, pid, isClosed: false, since: now, last: now };
    this.#files.set(key, file);
    this.#earliest = Math.min(this.#earliest, this.#due(file));
  }

  /** Its writer has closed the file that had this name; where it is now is told by an event that is still to come. */
  closedElsewhere(directory: Directory, name: Name, pid: number, now: number): void {
    this.touch(directory, name, pid, now);
    const file = this.#files.get(keyOf(directory, name));
    if (file !== undefined) file.isClosed = true;
  }

  forget(directory: Directory, name: Name): void {
    if (this.#files.size > 0) this.#files.delete(keyOf(directory, name));
  }

  /**
   * The file has another name; what is on its way under it goes with it. What had the new name is gone.
   * True when the file is complete by now.
   */
  rename(from: Directory, fromName: Name, to: Directory, toName: Name): boolean {
    if (this.#files.size === 0) return false;
    const file = this.#files.get(keyOf(from, fromName));
    this.#files.delete(keyOf(to, toName));
    if (file?.directory !== from) return false;
    this.#files.delete(keyOf(from, fromName));
    file.directory = to;
    file.name = toName;
    this.#files.set(keyOf(to, toName), file);
    return file.isClosed;
  }

  /** Takes out those whose time has come. */
  due(now: number): Unsettled[] {
    if (now < this.#earliest) return [];
    const out: Unsettled[] = [];
    this.#earliest = Infinity;
    for (const [key, file] of this.#files) {
      const due = this.#due(file);
      if (due > now) this.#earliest = Math.min(this.#earliest, due);
      else {
        this.#files.delete(key);
        if (file.directory.isLive) out.push(file);
      }
    }
    return out;
  }

  #due(file: Unsettled): number {
    return Math.min(
      file.last + this.#settleMs,
      Math.max(file.since + maxDelayMs, file.since + this.#settleMs),
    );
  }
}

function keyOf(directory: Directory, name: Name): string {
  return `${directory.tag}/${name}`;
}
