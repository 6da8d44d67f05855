// Somebody who locks folders of a replica, as by `chattr +i`, and opens them again, wherever they are by then.

import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export class Locks {
  readonly #root: string;
  readonly #draw: (below: number) => number;
  readonly #say: (what: string) => void;
  readonly #spared: readonly string[];
  readonly #locked = new Map<string, number>();

  /** @param spared names at the top that stay open, with what is in them */
  constructor(
    root: string,
    draw: (below: number) => number,
    say: (what: string) => void,
    spared: readonly string[] = [],
  ) {
    this.#root = root;
    this.#draw = draw;
    this.#say = say;
    this.#spared = spared;
  }

  /** Locks one, or opens one. */
  act(): void {
    const locked = [...this.#locked.keys()];
    if (locked.length > 0 && this.#draw(2) === 0) this.#open(locked[this.#draw(locked.length)] ?? '');
    else this.lock();
  }

  lock(): void {
    const folders = this.#spared.length === 0 ? foldersIn(this.#root) : this.#unspared();
    const folder = folders[this.#draw(folders.length)];
    if (folder === undefined || this.#locked.has(folder)) return;
    let fd: number;
    try {
      fd = openSync(Buffer.from(folder, 'latin1'), constants.O_RDONLY | constants.O_DIRECTORY);
    } catch {
      // It has gone since it was seen.
      return;
    }
    // A file system may not know it.
    if (!change(fd, '+i')) {
      closeSync(fd);
      return;
    }
    this.#locked.set(folder, fd);
    this.#say(`locked ${folder}`);
  }

  openAll(): void {
    for (const folder of [...this.#locked.keys()]) this.#open(folder);
  }

  #open(folder: string): void {
    const fd = this.#locked.get(folder);
    if (fd === undefined) return;
    this.#locked.delete(folder);
    change(fd, '-i');
    closeSync(fd);
    this.#say(`opened what was ${folder}`);
  }

  #unspared(): string[] {
    return foldersIn(this.#root).filter((folder) => {
      const [top = ''] = folder.slice(this.#root.length + 1).split('/');
      return top !== '' && !this.#spared.includes(top);
    });
  }
}

/** A folder and all that are in it: paths as byte strings. */
export function foldersIn(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(Buffer.from(folder, 'latin1'), { withFileTypes: true, encoding: 'latin1' })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
  return [folder, ...names.flatMap((name) => foldersIn(join(folder, name)))];
}

function change(fd: number, how: string): boolean {
  return spawnSync('chattr', [how, `/proc/${process.pid}/fd/${fd}/.`]).status === 0;
}
