// Names whose look has to be repeated: what the disk shows and what the events say do not agree yet. They are looked at when the
// queue is empty, and where that does not help, again after longer and longer.

import type { Name } from '../core/name.ts';
import type { Directory } from './shadow.ts';

/** A rename shows on disk a moment before its event is in the queue: names are compared again after this long. */
const verifyDelayMs = 2;
/** So often, after longer and longer: 2 s in all. Then it is gone for us: too long a path, no right to look, or no descriptor left. */
const maxTries = 9;

/** A name to look at again when the queue is empty. */
interface Doubt {
  readonly directory: Directory;
  readonly name: Name;
  hints: number;
  readonly pid: number;
  readonly due: number;
  tries: number;
}

/** Times are milliseconds of `performance.now()`. */
export class Doubts {
  readonly #doubts = new Map<string, Doubt>();

  get isEmpty(): boolean {
    return this.#doubts.size === 0;
  }

  /** When `verify` should be called next; undefined: no name is in doubt. */
  get deadline(): number | undefined {
    let at: number | undefined;
    for (const { due } of this.#doubts.values()) at = at === undefined ? due : Math.min(at, due);
    return at;
  }

  add(directory: Directory, name: Name, hints: number, pid: number): void {
    const key = keyOf(directory, name);
    const known = this.#doubts.get(key);
    if (known !== undefined && known.directory === directory) known.hints |= hints;
    else {
      const due = performance.now() + verifyDelayMs;
      this.#doubts.set(key, { directory, name, hints, pid, due, tries: 0 });
    }
  }

  /**
   * Has those looked at whose time has come.
   * @param look false: the directory could not be opened; it may have added doubts, this one too
   * @param givenUp the directory could not be opened for so long that its names are not looked at again
   */
  verify(
    now: number,
    look: (directory: Directory, name: Name, hints: number, pid: number) => boolean,
    givenUp: (directory: Directory) => void,
  ): void {
    if (this.#doubts.size === 0) return;
    for (const [key, doubt] of [...this.#doubts]) {
      if (doubt.due > now) continue;
      this.#doubts.delete(key);
      const { directory, name, hints, pid } = doubt;
      if (!directory.isLive) continue;
      if (look(directory, name, hints, pid)) continue;
      this.#doubts.delete(key);
      if (!directory.isLive) continue;
      if (doubt.tries >= maxTries) {
        givenUp(directory);
        continue;
      }
      // Its directory is not where it was, and no event has said so yet: look at that one, and at the name again after it.
      const { parent, name: directoryName } = directory;
      if (parent !== undefined && directoryName !== '') this.add(parent, directoryName, 0, 0);
      const due = now + verifyDelayMs * 2 ** doubt.tries;
      this.#doubts.set(key, { directory, name, hints, pid, due, tries: doubt.tries + 1 });
    }
  }
}

function keyOf(directory: Directory, name: Name): string {
  return `${directory.tag}/${name}`;
}
