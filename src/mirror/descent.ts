// What a source's tree comes from, as long as its mirror runs: it may become a replica, or another one's, at any time, and whoever gets
// its tree from this one is to know before a circle is closed (I9).

import { stat } from 'node:fs/promises';
import { bytesOfText } from '../core/name.ts';
import { findHome, homesOf } from '../replica/home.ts';
import { readSuccession, successionIn } from '../replica/succession-file.ts';
import { sourceIdOf } from '../tree/source-id.ts';

/** Nobody hands a tree on so often. */
const maxTrees = 100;

export class Descent {
  readonly #source: string;
  readonly #own: string;
  #trees: readonly string[];
  #seen = '';
  #isLooking = false;

  /** @param source the source's real path */
  constructor(source: string) {
    this.#source = source;
    this.#own = sourceIdOf(bytesOfText(source));
    this.#trees = this.#read();
  }

  /** As in `Welcome.descent`. */
  get trees(): readonly string[] {
    return this.#trees;
  }

  /** Looks whether it has changed. Never blocks while nothing has. */
  async hasChanged(): Promise<boolean> {
    // A file system that does not answer is asked once.
    if (this.#isLooking) return false;
    this.#isLooking = true;
    const seen = (await Promise.all(homesOf(this.#source).map((home) => lookOf(successionIn(home))))).join();
    this.#isLooking = false;
    if (seen === this.#seen) return false;
    this.#seen = seen;
    const former = this.#trees.join();
    try {
      this.#trees = this.#read();
    } catch {
      // What cannot be read says nothing new.
    }
    return this.#trees.join() !== former;
  }

  #read(): readonly string[] {
    const succession = readSuccession(findHome(this.#source)?.path);
    if (succession === undefined || succession.isMain) return [this.#own];
    const { sourceId, promotedAt, descent } = succession;
    // An earlier fam noted the line, which is its first main.
    return [this.#own, ...(descent ?? (promotedAt === 0 ? [sourceId] : []))].slice(0, maxTrees);
  }
}

/** Another one whenever the file is another one. */
async function lookOf(path: string): Promise<string> {
  try {
    const { ino, mtimeNs } = await stat(path, { bigint: true });
    return `${ino} ${mtimeNs}`;
  } catch {
    return '';
  }
}
