// What the kernel has hinted at and nobody has looked at yet: per directory and name once, flags merged.

import type { InodeId } from '../core/attributes.ts';
import { dropOldest } from '../core/drop-oldest.ts';
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

/** What was done to the object itself, whatever its name is. */
const objectHints = Hint.modified | Hint.closedWrite | Hint.attributes;

const movedIn = Hint.appeared | Hint.moved;

/** The next event of the name comes soon, if there is one; the oldest are forgotten first. */
const maxUnclaimed = 4096;

/** Pure. */
export class HintTable {
  #items = new Map<string, Hinted>();
  /** By directory and name. */
  readonly #unclaimed = new Map<string, number>();

  get size(): number {
    return this.#items.size;
  }

  add(directory: InodeId, name: Name | '', hints: number, deferred = 0): void {
    const key = keyOf(directory, name);
    if ((hints & (Hint.appeared | Hint.vanished)) !== 0) this.#unclaimed.delete(key);
    const item = this.#items.get(key);
    if (item === undefined) this.#items.set(key, { directory, name, hints, deferred });
    else {
      item.hints |= hints;
      item.deferred = Math.max(item.deferred, deferred);
    }
  }

  addEvent(event: NameEvent | RenameEvent): void {
    if (event.type === 'name') {
      // It comes from outside of the tree, where what was done to it is not told.
      const isMovedIn = (event.hints & movedIn) === movedIn;
      this.add(event.directory, event.name, event.hints | (isMovedIn ? Hint.attributes : 0));
    } else {
      const from = keyOf(event.fromDirectory, event.fromName);
      const directory = event.isDirectory ? Hint.directory : 0;
      // They stay with the old name, too: of an exchange two events tell, and what the first one takes along is not the second one's.
      const known = (this.#items.get(from)?.hints ?? 0) | (this.#unclaimed.get(from) ?? 0);
      this.add(event.fromDirectory, event.fromName, Hint.vanished | Hint.moved | directory);
      this.add(
        event.toDirectory,
        event.toName,
        Hint.appeared | Hint.moved | directory | (known & objectHints),
      );
    }
  }

  /**
   * What was hinted at under a name that had gone before anybody looked. The records may never have had it under that name: what was done
   * to the object goes along with it when its next name is told.
   */
  leaveUnclaimed(directory: InodeId, name: Name, hints: number): void {
    if ((hints & objectHints) === 0) return;
    this.#unclaimed.set(keyOf(directory, name), hints);
    dropOldest(this.#unclaimed, maxUnclaimed);
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

function keyOf(directory: InodeId, name: Name | ''): string {
  return `${directory}/${name}`;
}
