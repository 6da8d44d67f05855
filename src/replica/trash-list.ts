// The trash's list as it is read and shortened when the trash is emptied: one JSON line for each thing that was moved there (trash.ts).

import * as z from 'zod/mini';
import type { ByteString } from '../core/name.ts';
import {
  close,
  fstat,
  O_CREAT,
  O_NOFOLLOW,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  openat,
  pread,
  renameat2,
  Stat,
  unlinkat,
  writeAll,
} from '../kernel/sys.ts';

export const listName = 'list.jsonl';
const newListName = 'list.jsonl.new';
/** Some hundred lines. */
const chunkBytes = 64 * 1024;

const lineSchema = z.object({ kept: z.string() });

export interface TrashListLine {
  /** One character for each byte, with its end. */
  readonly text: string;
  /** Where the line ends in the file. */
  readonly end: number;
  /** Which name in the trash is told of, or which path below one; undefined: the line was cut off. */
  readonly kept: ByteString | undefined;
}

/** As `Trash.keep` gives them: nothing else is removed, whatever the list says. */
export function isNameInTrash(kept: ByteString): boolean {
  return /^\d+-\d+-\d+$/.test(kept);
}

export class TrashList {
  readonly #trashFd: number;

  constructor(trashFd: number) {
    this.#trashFd = trashFd;
  }

  /** From the start up to an offset. A last line that has no end is not among them. */
  *lines(until = Number.POSITIVE_INFINITY): Generator<TrashListLine, void> {
    const fd = this.#open();
    if (fd < 0) return;
    try {
      const chunk = Buffer.allocUnsafeSlow(chunkBytes);
      let rest = '';
      let end = 0;
      for (let at = 0; ; ) {
        const got = pread(fd, chunk, 0, chunk.length, at);
        if (got <= 0) return;
        at += got;
        const texts = (rest + chunk.toString('latin1', 0, got)).split(/(?<=\n)/);
        rest = texts.at(-1)?.endsWith('\n') === true ? '' : (texts.pop() ?? '');
        for (const text of texts) {
          end += text.length;
          if (end > until) return;
          yield { text, end, kept: keptIn(text) };
        }
      }
    } finally {
      close(fd);
    }
  }

  /** What was listed last, as far as the end of the file tells. */
  lastName(): ByteString | undefined {
    const fd = this.#open();
    if (fd < 0) return undefined;
    const size = sizeOf(fd);
    const chunk = Buffer.alloc(Math.min(size, chunkBytes));
    const got = pread(fd, chunk, 0, chunk.length, size - chunk.length);
    close(fd);
    const texts = chunk.toString('latin1', 0, Math.max(0, got)).split('\n');
    return texts
      .reverse()
      .map(keptIn)
      .find((kept) => kept !== undefined && isNameInTrash(kept));
  }

  /** Puts lines in place of what the list has up to `end`. Where that fails it stays as it is. */
  replaceStart(end: number, lines: readonly string[]): void {
    const fd = this.#open();
    const flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW;
    const newFd = openat(this.#trashFd, newListName, flags, 0o600);
    const isWhole = fd >= 0 && newFd >= 0 && copyTo(newFd, Buffer.from(lines.join(''), 'latin1'), fd, end);
    for (const one of [fd, newFd]) if (one >= 0) close(one);
    if (isWhole) renameat2(this.#trashFd, newListName, this.#trashFd, listName);
    else unlinkat(this.#trashFd, newListName);
  }

  #open(): number {
    return openat(this.#trashFd, listName, O_RDONLY | O_NOFOLLOW);
  }
}

function keptIn(text: string): ByteString | undefined {
  try {
    return lineSchema.parse(JSON.parse(text)).kept;
  } catch {
    return undefined;
  }
}

/** Writes `start`, and behind it what the other file has from an offset on. */
function copyTo(toFd: number, start: Uint8Array, fromFd: number, from: number): boolean {
  if (writeAll(toFd, start) < 0) return false;
  const chunk = Buffer.allocUnsafeSlow(chunkBytes);
  for (let at = from; ; ) {
    const got = pread(fromFd, chunk, 0, chunk.length, at);
    if (got <= 0) return got === 0;
    if (writeAll(toFd, chunk, 0, got) < 0) return false;
    at += got;
  }
}

function sizeOf(fd: number): number {
  const stat = new Stat();
  return fstat(fd, stat) < 0 ? 0 : stat.size;
}
