// The least that a listener of kernel events does: directories by tag, new ones added before they are listed.

import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Name } from '../../src/core/name.ts';
import {
  type ConditionEvent,
  type DirectoryTag,
  type EventSource,
  type FileTag,
  Hint,
  type KernelEvent,
  type RenameEvent,
} from '../../src/kernel/event-source.ts';
import { poll } from '../../src/kernel/sys.ts';

const hintNames = Object.entries(Hint);

function describeEvent(event: KernelEvent): string {
  if (event.type !== 'name') return JSON.stringify(event);
  const hints = hintNames.filter(([, bit]) => (event.hints & bit) !== 0).map(([name]) => name);
  return `${event.directory}/${JSON.stringify(event.name)} ${hints.join('|')} pid ${event.pid}`;
}

/** Folds events into what tests ask for. Close the source yourself. */
export class Listener {
  readonly events: KernelEvent[] = [];
  readonly #source: EventSource;
  /** All hints seen of a name, by `tag/name`. */
  readonly #hints = new Map<string, number>();

  constructor(source: EventSource) {
    this.#source = source;
  }

  /** Adds a directory by path; holds no descriptor of it afterwards. */
  add(path: string, tag: DirectoryTag): void {
    const fd = openSync(path, 'r');
    try {
      this.#source.add(fd, tag);
    } finally {
      closeSync(fd);
    }
  }

  /** Adds a file by the path of its directory, which was added, and a name in it. */
  addFile(path: string, name: string, tag: FileTag): boolean {
    const fd = openSync(path, 'r');
    try {
      // A test gives names.
      return this.#source.addFile(fd, name as Name, tag);
    } finally {
      closeSync(fd);
    }
  }

  /** All hints seen so far of a name. */
  hints(tag: DirectoryTag, name: string): number {
    return this.#hints.get(`${tag}/${name}`) ?? 0;
  }

  get names(): ReadonlySet<string> {
    return new Set(this.#hints.keys());
  }

  get renames(): RenameEvent[] {
    return this.events.filter((event) => event.type === 'rename');
  }

  get conditions(): ConditionEvent[] {
    return this.events.filter(
      (event) => event.type !== 'name' && event.type !== 'rename' && event.type !== 'mounted-file',
    );
  }

  /** All hints of files that are mounted over others, by path. */
  get mountedFiles(): ReadonlyMap<string, number> {
    const files = new Map<string, number>();
    for (const event of this.events)
      if (event.type === 'mounted-file') files.set(event.path, (files.get(event.path) ?? 0) | event.hints);
    return files;
  }

  forget(): void {
    this.events.length = 0;
    this.#hints.clear();
  }

  /** One read; the events it brought. */
  take(maxEvents?: number): KernelEvent[] {
    const events = this.#source.read(maxEvents);
    for (const event of events) {
      this.events.push(event);
      if (event.type !== 'name') continue;
      const key = `${event.directory}/${event.name}`;
      this.#hints.set(key, (this.#hints.get(key) ?? 0) | event.hints);
    }
    return events;
  }

  /** Reads until the condition holds; fails with everything that was heard. */
  until(what: string, holds: () => boolean, deadlineMs = 10_000): void {
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      this.take();
      if (holds()) return;
      const now = performance.now();
      if (now > deadline) {
        const heard = this.events.slice(-40).map(describeEvent).join('\n  ');
        throw new Error(`not heard: ${what}; of ${this.events.length} events the last are\n  ${heard}`);
      }
      const pending = this.#source.pendingUntil ?? Infinity;
      poll(this.#source.fds, Math.max(0, Math.min(deadline, pending) - now));
    }
  }

  untilHints(tag: DirectoryTag, name: string, hints: number): void {
    this.until(`${tag}/${name} with hints ${hints}`, () => (this.hints(tag, name) & hints) === hints);
  }

  untilRename(fromTag: DirectoryTag, fromName: string, toTag: DirectoryTag, toName: string): RenameEvent {
    let found: RenameEvent | undefined;
    this.until(`rename of ${fromTag}/${fromName} to ${toTag}/${toName}`, () => {
      found = this.renames.find(
        (event) =>
          event.fromDirectory === fromTag &&
          event.fromName === fromName &&
          event.toDirectory === toTag &&
          event.toName === toName,
      );
      return found !== undefined;
    });
    if (found === undefined) throw new Error('unreachable');
    return found;
  }

  untilCondition(wanted: ConditionEvent): void {
    const json = JSON.stringify(wanted);
    this.until(json, () => this.conditions.some((event) => JSON.stringify(event) === json));
  }
}

/** Follows a whole tree: every directory is added, then listed. Paths are relative to the root. */
export class TreeFollower {
  readonly listener: Listener;
  readonly seen = new Set<string>();
  readonly #root: string;
  readonly #paths = new Map<DirectoryTag, string>();
  #nextTag: DirectoryTag = 1000;

  constructor(source: EventSource, root: string) {
    this.#root = root;
    this.listener = new Listener(source);
    this.#enter('');
  }

  /** Follows until a path was seen, as an event or in a listing. */
  until(path: string): void {
    let taken = 0;
    this.listener.until(path, () => {
      for (; taken < this.listener.events.length; taken++) {
        const event = this.listener.events[taken];
        if (event?.type === 'name' && (event.hints & Hint.appeared) !== 0)
          this.#see(event.directory, event.name);
      }
      return this.seen.has(path);
    });
  }

  #see(directory: DirectoryTag, name: Name | ''): void {
    const parent = this.#paths.get(directory);
    if (parent === undefined || name === '') return;
    this.#enter(parent === '' ? name : `${parent}/${name}`);
  }

  #enter(path: string): void {
    const tag = this.#nextTag++;
    this.seen.add(path);
    try {
      this.listener.add(join(this.#root, path, '.'), tag);
      this.#paths.set(tag, path);
      for (const name of readdirSync(join(this.#root, path))) {
        const child = path === '' ? name : `${path}/${name}`;
        if (!this.seen.has(child)) this.#enter(child);
      }
    } catch (error) {
      // A file, or gone already.
      if (!(error instanceof Error && 'code' in error && /ENOTDIR|ENOENT/.test(String(error.code))))
        throw error;
    }
  }
}
