// What a scenario has to choose from: the random numbers and the model of the writer whose operations it adds to.

import type { ByteString } from '../../../src/core/name.ts';
import type { Operation } from '../operation.ts';

export interface Ground {
  /** False: only what anybody may do. */
  readonly isRoot: boolean;
  draw(below: number): number;
  of<T>(list: readonly [T, ...T[]]): T;
  seed(): number;
  /** Where something new may be made. */
  folder(): ByteString;
  newPath(isFolder: boolean): ByteString;
  /** A file that there probably is. */
  file(): ByteString;
  /** A folder that may be moved or removed. */
  movable(): ByteString;
  /** Files that this writer made, whose names begin so. */
  named(prefix: string): readonly ByteString[];
  /** Keep the model true. */
  made(path: ByteString, kind: 'file' | 'folder'): void;
  moved(from: ByteString, to: ByteString): void;
  removed(path: ByteString): void;
}

/** Operations that belong together, in the order in which they are performed. */
export type Choose = (ground: Ground) => Operation[];
