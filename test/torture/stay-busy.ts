// Files that are not at rest: a writer keeps them open, or opens them again and again, for as long as a round lasts.

import { closeSync, constants, fdatasyncSync, fstatSync, ftruncateSync, writeSync } from 'node:fs';
import { contentOf } from './content.ts';
import { mkdirs, openFile, sleep } from './file-access.ts';
import type { BusyFile, Operation } from './operation.ts';

const { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND } = constants;

const flags: Readonly<Record<BusyFile['how'], number>> = {
  append: O_WRONLY | O_CREAT | O_APPEND,
  'in-place': O_RDWR | O_CREAT,
  reopen: O_WRONLY | O_CREAT | O_APPEND,
  overwrite: O_WRONLY | O_CREAT,
  upload: O_WRONLY | O_CREAT | O_TRUNC,
  recreate: O_WRONLY | O_CREAT | O_TRUNC,
};
/** An upload and a file that is written over come in so many pieces. */
const pieces = 40;
const pageBytes = 4096;

class Writing {
  readonly #file: BusyFile;
  readonly #seed: number;
  #fd: number | undefined;
  #piece = 0;

  constructor(file: BusyFile, seed: number) {
    this.#file = file;
    this.#seed = seed;
  }

  /** @param n which step it is: what is written depends on it */
  step(n: number): void {
    const { how, size } = this.#file;
    const fd = this.#open();
    const seed = this.#seed + n;
    switch (how) {
      case 'append':
        writeSync(fd, contentOf(seed, 100 + (seed % 4000)));
        break;
      case 'in-place':
        writeSync(
          fd,
          contentOf(seed, pageBytes),
          0,
          null,
          ((Math.imul(seed, 31) >>> 1) % size) & ~(pageBytes - 1),
        );
        if (n % 16 === 0) fdatasyncSync(fd);
        break;
      case 'reopen':
        writeSync(fd, contentOf(seed, 100 + (seed % 4000)));
        this.close();
        break;
      case 'overwrite':
        if (!this.#nextPiece(fd, seed)) this.close();
        break;
      case 'upload':
        this.#nextPiece(fd, seed);
        break;
      case 'recreate':
        writeSync(fd, contentOf(seed, size));
        this.close();
        break;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): number {
    if (this.#fd !== undefined) return this.#fd;
    const { path, how, size } = this.#file;
    mkdirs(path.slice(0, path.lastIndexOf('/')));
    const fd = openFile(path, flags[how]);
    this.#fd = fd;
    this.#piece = 0;
    const isGrown = how === 'append' || how === 'in-place' || how === 'reopen';
    if (isGrown && fstatSync(fd).size < size) {
      ftruncateSync(fd, 0);
      writeSync(fd, contentOf(this.#seed, size), 0, size, how === 'in-place' ? 0 : null);
    }
    return fd;
  }

  /** False: it was the last one, or all have been written. */
  #nextPiece(fd: number, seed: number): boolean {
    const bytes = Math.ceil(this.#file.size / pieces);
    if (this.#piece < pieces) writeSync(fd, contentOf(seed, bytes), 0, bytes, this.#piece * bytes);
    this.#piece += 1;
    return this.#piece < pieces;
  }
}

export function stayBusy({ files, forMs, everyMs, seed }: Extract<Operation, { do: 'busy' }>): void {
  const writings = files.map((file, n) => new Writing(file, seed + n * 1_000_003));
  const until = performance.now() + forMs;
  for (let n = 1; performance.now() < until; n++) {
    for (const writing of writings) {
      try {
        writing.step(n);
      } catch {
        // Another writer took its folder away, or the file system is full: the next step opens it anew.
        writing.close();
      }
    }
    sleep(everyMs);
  }
  for (const writing of writings) writing.close();
}
