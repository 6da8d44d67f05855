// What the kernel has hinted at and nobody has looked at yet: per directory and name once, flags merged.

import type { InodeId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { Hint, type NameEvent, type RenameEvent } from '../kernel/event-source.ts';

/** "Look at this name again." An empty name is the directory itself. */
export interface Hinted {
  readonly directory: InodeId;
  readonly name: Name | '';
  hints: number;
  /** How often the decision was put off because the other half of a move may still come. */
  deferred: number;
}

/** Pure. */
export class HintTable {
  #items = new Map<string, Hinted>();

  get size(): number {
    return this.#items.size;
  }

  add(directory: InodeId, name: Name | '', hints: number, deferred = 0): void {
    const key = `${directory}/${name}`;
    const item = this.#items.get(key);
    if (item === undefined) this.#items.set(key, { directory, name, hints, deferred });
    else {
      item.hints |= hints;
      item.deferred = Math.max(item.deferred, deferred);
    }
  }

  addEvent(event: NameEvent | RenameEvent): void {
    if (event.type === 'name') this.add(event.directory, event.name, event.hints);
    else {
      const directory = event.isDirectory ? Hint.directory : 0;
      this.add(event.fromDirectory, event.fromName, Hint.vanished | Hint.moved | directory);
      this.add(event.toDirectory, event.toName, Hint.appeared | Hint.moved | directory);
    }
  }

  /** Everything, directory by directory, each in the order of first mention; the table is empty afterwards. */
  take(): Hinted[] {
    const byDirectory = new Map<InodeId, Hinted[]>();
    for (const item of this.#items.values()) {
      const others = byDirectory.get(item.directory);
      if (others === undefined) byDirectory.set(item.directory, [item]);
      else others.push(item);
    }
    this.#items.clear();
    return [...byDirectory.values()].flat();
  }
}
