// What a tree held at one moment, handed out bit by bit. Packed tables are strings that nobody changes, so this keeps
// the moment without copying it.

import type { ByteString } from '../core/name.ts';
import { isDirectoryCode } from './entry-code.ts';
import { Interest, type InterestFilter } from './interest.ts';
import { packEntry } from './packed-entries.ts';
import type { Shadow } from './shadow.ts';

/** Characters of packed entries in one page: some 4,000 entries. */
const maxPageLength = 128 * 1024;

export class TreeListing {
  /** Alternating: the path of a directory and its packed entries. */
  readonly #parts: ByteString[] = [];
  #next = 0;

  constructor(shadow: Shadow, filter: InterestFilter) {
    for (const directory of shadow.below(shadow.root)) {
      const packed = directory.pack();
      if (filter.tellsEverything) this.#parts.push(directory.path, packed);
      else {
        const told: string[] = [];
        directory.each((name, code) => {
          if (filter.of(directory, name, isDirectoryCode(code)) === Interest.told)
            told.push(packEntry(name, code));
        });
        this.#parts.push(directory.path, told.join(''));
      }
    }
  }

  /** The next directories, alternating path and entries; [] at the end. */
  take(): ByteString[] {
    const page: ByteString[] = [];
    for (let length = 0; length < maxPageLength && this.#next < this.#parts.length; this.#next += 2) {
      const packed = this.#parts[this.#next + 1] ?? '';
      if (packed === '') continue;
      page.push(this.#parts[this.#next] ?? '', packed);
      length += packed.length;
    }
    return page;
  }
}
