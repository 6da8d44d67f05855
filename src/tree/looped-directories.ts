// Directories that are recorded below themselves, as folders that trade places with what is around them are for a moment. Of their names
// one at least is not true any more, and no way leads there to look.

import type { InodeId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import type { Directories } from './directories.ts';
import type { TreeEditor } from './editor.ts';

/** How often a directory is sought in one round: it may move on for as long as somebody likes. */
const maxTraces = 8;

interface LoopedDirectoriesOptions {
  readonly editor: TreeEditor;
  readonly directories: Directories;
  /** Looks at each name of a path, from the root on. */
  readonly lookAlong: (path: ByteString, now: number) => void;
}

/** Of one round of the recorder, but for which of them a comparison of everything has met. */
export class LoopedDirectories {
  readonly #editor: TreeEditor;
  readonly #directories: Directories;
  readonly #lookAlong: (path: ByteString, now: number) => void;
  /** Those that there were when the comparison of everything began. */
  #before = new Set<InodeId>();
  /** How often each was sought in this round. */
  readonly #traced = new Map<InodeId, number>();

  constructor({ editor, directories, lookAlong }: LoopedDirectoriesOptions) {
    this.#editor = editor;
    this.#directories = directories;
    this.#lookAlong = lookAlong;
  }

  /** Everything is compared from here on. */
  comparisonBegins(): void {
    this.#before = new Set(this.#editor.looped);
  }

  /**
   * Seeks them where the kernel has them. Where it does not say, a comparison of everything that began since has found them, or they
   * have gone.
   * @param isCompared that comparison has come to its end
   * @returns false when some are left
   */
  break(isCompared: boolean, now: number): boolean {
    if (this.#directories.areFoundByHandle) {
      for (const id of this.#editor.looped) this.#trace(id, now);
    }
    if (isCompared) {
      for (const id of this.#editor.looped) if (this.#before.has(id)) this.#unlinkOne(id);
    }
    return this.#editor.looped.length === 0;
  }

  #trace(id: InodeId, now: number): void {
    const times = this.#traced.get(id) ?? 0;
    if (times >= maxTraces) return;
    this.#traced.set(id, times + 1);
    const where = this.#directories.whereIs(id);
    if (where === undefined) this.#unlinkOne(id);
    else this.#lookAlong(where, now);
  }

  #unlinkOne(id: InodeId): void {
    const record = this.#editor.inode(id);
    if (record !== undefined && record.name !== '') this.#editor.unlink(record.parent, record.name);
  }

  endRound(): void {
    this.#traced.clear();
  }
}
