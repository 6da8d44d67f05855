// Large contents on their way: staging/<id>.<contentSeq>, grown piece by piece. The file's size is how much has been received (a
// hole is a longer size), so that nothing else has to be remembered to go on after a lost connection or a kill.

import type { InodeId, Seq } from '../core/attributes.ts';
import type { Ids } from '../core/plan-operation.ts';
import {
  check,
  close,
  EFBIG,
  ENOENT,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  fallocate,
  fstat,
  ftruncate,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  openat,
  readDirectory,
  Stat,
  unlinkat,
  writeAll,
} from '../kernel/sys.ts';
import type { StreamPiece } from '../wire/messages.ts';

interface Staged {
  readonly contentSeq: Seq;
  received: number;
  fd: number;
  /** The file system has no files that are so long: this version is not to be had. */
  isTooLong: boolean;
}

/** More streams at once than sources send; the least recently written one is closed, not lost. */
const maxOpen = 32;

export class StagedStreams {
  readonly #stagingFd: number;
  readonly #staged = new Map<InodeId, Staged>();

  constructor(stagingFd: number) {
    this.#stagingFd = stagingFd;
    const fd = openat(stagingFd, '.', O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    const stat = new Stat();
    readDirectory(fd, (name) => {
      const [, id, contentSeq] = /^([1-9]\d*)\.([1-9]\d*)$/.exec(name) ?? [];
      if (id === undefined || contentSeq === undefined) return;
      const file = openat(stagingFd, name, O_RDONLY | O_NOFOLLOW);
      if (file >= 0 && fstat(file, stat) === 0 && stat.isFile) {
        this.#staged.set(Number(id), {
          contentSeq: Number(contentSeq),
          received: stat.size,
          fd: -1,
          isTooLong: false,
        });
      }
      if (file >= 0) close(file);
    });
    close(fd);
  }

  /** How much of the id's content is here, and of which version. */
  received(id: InodeId): { readonly contentSeq: Seq; readonly received: number } | undefined {
    return this.#staged.get(id);
  }

  /** The staged file's name, for whoever consumes it; undefined when that version is not here in full. */
  take(id: InodeId, contentSeq: Seq, size: number): string | undefined {
    const staged = this.#staged.get(id);
    if (staged === undefined || staged.contentSeq !== contentSeq || staged.received !== size)
      return undefined;
    this.#close(staged);
    this.#staged.delete(id);
    return fileName(id, contentSeq);
  }

  /** That version came, and is longer than any file can be here. */
  isTooLong(id: InodeId, contentSeq: Seq): boolean {
    const staged = this.#staged.get(id);
    return staged?.contentSeq === contentSeq && staged.isTooLong;
  }

  /**
   * @param copy copies what the piece says from its base into the descriptor: 0 or -errno
   * @returns 0 or -errno; a piece that does not continue what is here is dropped (the source starts over)
   */
  write(piece: StreamPiece, copy: (fd: number) => number): number {
    let staged = this.#staged.get(piece.id);
    if (staged === undefined || staged.contentSeq !== piece.contentSeq || piece.offset === 0) {
      this.discard(piece.id);
      staged = { contentSeq: piece.contentSeq, received: 0, fd: -1, isTooLong: false };
      this.#staged.set(piece.id, staged);
    }
    if (piece.offset !== staged.received || staged.isTooLong) return 0;
    const fd = this.#open(piece.id, staged);
    if (fd < 0) return fd;
    const end = piece.offset + piece.hole + piece.copy + piece.bytes.length;
    let result: number;
    if (piece.hole > 0) {
      result = ftruncate(fd, end);
      // XFS reserves blocks behind what is appended, which would fill the hole. Where nothing is reserved this does nothing.
      if (result === 0) fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, piece.offset, piece.hole);
    } else if (piece.copy > 0) result = copy(fd);
    else result = writeAll(fd, piece.bytes, 0, piece.bytes.length, piece.offset);
    // The path's problem, for whoever is to place it: what else comes by this link can be written.
    if (result === -EFBIG) {
      staged.isTooLong = true;
      return 0;
    }
    if (result < 0) return result;
    staged.received = end;
    if (piece.last) this.#close(staged);
    return 0;
  }

  discard(id: InodeId): void {
    const staged = this.#staged.get(id);
    if (staged === undefined) return;
    this.#close(staged);
    this.#staged.delete(id);
    const result = unlinkat(this.#stagingFd, fileName(id, staged.contentSeq));
    if (result !== -ENOENT) check(result, 'remove staged content');
  }

  discardAll(): void {
    for (const id of [...this.#staged.keys()]) this.discard(id);
  }

  /** Of files that are complete by now, or gone: their content came another way, or is wanted no more. */
  discardExcept(pending: Ids): void {
    for (const id of [...this.#staged.keys()]) if (!pending.has(id)) this.discard(id);
  }

  /** Whether there is more than what is waited for. */
  hasMoreThan(pending: Ids): boolean {
    for (const id of this.#staged.keys()) if (!pending.has(id)) return true;
    return false;
  }

  close(): void {
    for (const staged of this.#staged.values()) this.#close(staged);
  }

  #open(id: InodeId, staged: Staged): number {
    if (staged.fd >= 0) return staged.fd;
    let open = 0;
    for (const other of this.#staged.values()) if (other.fd >= 0 && ++open >= maxOpen) this.#close(other);
    staged.fd = openat(
      this.#stagingFd,
      fileName(id, staged.contentSeq),
      O_RDWR | O_CREAT | O_NOFOLLOW,
      0o600,
    );
    return staged.fd;
  }

  #close(staged: Staged): void {
    if (staged.fd >= 0) close(staged.fd);
    staged.fd = -1;
  }
}

function fileName(id: InodeId, contentSeq: Seq): string {
  return `${id}.${contentSeq}`;
}
