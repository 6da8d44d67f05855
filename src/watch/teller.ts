// What of a tree's changes is told: only names that the request is about, and contents when they are complete.

import type { ByteString, Name } from '../core/name.ts';
import { Hint } from '../kernel/event-source.ts';
import { commandOf } from './command-of.ts';
import { type EntryCode, EntryKind, isDirectoryCode, kindName, kindOf } from './entry-code.ts';
import { Interest, type InterestFilter } from './interest.ts';
import { Outbox, type TreeEvent } from './outbox.ts';
import type { Settling } from './settling.ts';
import type { Directory, Shadow } from './shadow.ts';

export interface TellerOptions {
  readonly shadow: Shadow;
  readonly filter: InterestFilter;
  readonly settling: Settling;
}

/** Where `pid` is 0, nobody knows who did it. */
export class Teller {
  readonly outbox: Outbox;
  readonly #shadow: Shadow;
  readonly #filter: InterestFilter;
  readonly #settling: Settling;

  constructor({ shadow, filter, settling }: TellerOptions) {
    this.#shadow = shadow;
    this.#filter = filter;
    this.#settling = settling;
    this.outbox = new Outbox(shadow, (path, isDirectory) => this.isTold(path, isDirectory));
  }

  /** Tells it as it is: whether the request is about it is the caller's affair. */
  tell(event: TreeEvent, pid = 0): void {
    if (pid === 0) this.outbox.add(event);
    else {
      const command = commandOf(pid);
      this.outbox.add(command === undefined ? { ...event, pid } : { ...event, pid, command });
    }
  }

  /** Tells of a file's new content now, or when it has settled. */
  content(directory: Directory, name: Name, isComplete: boolean, pid: number): void {
    if (isComplete) this.changed(directory, name, pid);
    else this.#settling.touch(directory, name, pid, performance.now());
  }

  changed(directory: Directory, name: Name, pid: number): void {
    this.#settling.forget(directory, name);
    const code = directory.get(name);
    if (code === undefined || this.#filter.of(directory, name, false) !== Interest.told) return;
    this.tell({ type: 'changed', path: directory.pathOf(name), kind: kindName(kindOf(code)) }, pid);
  }

  /** Tells of new attributes, where the hints say so. */
  attributes(directory: Directory, name: Name, kind: EntryKind, hints: number, pid: number): void {
    if ((hints & Hint.attributes) === 0) return;
    if (this.#filter.of(directory, name, kind === EntryKind.closed) !== Interest.told) return;
    this.tell({ type: 'attributes', path: directory.pathOf(name), kind: kindName(kind) }, pid);
  }

  /** Whether the request is about a path (relative to the root) that is there. */
  isTold(path: ByteString, isDirectory: boolean): boolean {
    if (path === '') return !this.#filter.hasNames;
    const slash = path.lastIndexOf('/');
    const parent =
      slash < 0 ? this.#shadow.root : this.#shadow.entered(this.#shadow.lookup(path.slice(0, slash)));
    // A name that a lookup has found is a name.
    return (
      parent !== undefined &&
      this.#filter.of(parent, path.slice(slash + 1) as Name, isDirectory) === Interest.told
    );
  }

  /** Every name below a directory's entry that the request is about. */
  eachBelow(code: EntryCode, each: (path: ByteString, kind: number) => void): void {
    const top = this.#shadow.entered(code);
    if (top === undefined) return;
    for (const directory of this.#shadow.below(top)) {
      directory.each((name, inner) => {
        if (this.#filter.of(directory, name, isDirectoryCode(inner)) === Interest.told) {
          each(directory.pathOf(name), kindOf(inner));
        }
      });
    }
  }
}
