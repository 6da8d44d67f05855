// What streams are built from besides what is sent: contents that are here already. A base is held open for its stream, looked at
// for digests in small slices, and copied from inside the kernel, which shares the blocks where the file system can (reflink).
//
// A base is only as good as it was when it was opened: whenever it has been read or copied from and its times have moved, the stream
// is given up and the source told. What was taken from it before had been checked in the same way.

import type { InodeId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import {
  close,
  copyFileRange,
  EINVAL,
  EIO,
  ENOSYS,
  ENXIO,
  EOPNOTSUPP,
  ESTALE,
  EXDEV,
  fstat,
  lseek,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  openat,
  pread,
  SEEK_DATA,
  Stat,
  startWriting,
  writeAll,
} from '../kernel/sys.ts';
import { KeyedDigest } from '../runtime/keyed-digest.ts';
import type { LocalIdentity } from '../tree/records.ts';
import type { Base, BaseWanted, Digests, DigestsWanted } from '../wire/messages.ts';
import type { KnownContents } from './known-contents.ts';
import { isSameIdentity } from './local-identity.ts';

/** Bases held open; more than a source sends streams at once. */
const maxHeld = 32;
/** Read for digests between two looks for messages: about two milliseconds. */
const sliceBytes = 4 * 1024 * 1024;
/** Digests of so much of a base are sent at once. */
const answerBytes = 16 * 1024 * 1024;

interface Held {
  readonly base: InodeId;
  readonly attempt: number;
  readonly fd: number;
  readonly stat: Stat;
}

interface Job {
  readonly id: InodeId;
  readonly end: number;
  readonly blockBytes: number;
  readonly digest: KeyedDigest;
  /** Start of the digests that are gathered, and of the next block. */
  from: number;
  at: number;
  digests: Buffer[];
  /** Digest of a whole block that is a hole, once there was one. */
  zeros: Buffer | undefined;
}

export interface BasesOptions {
  /** Where the file is that an inode's content can be read from: a directory and a name, or undefined. */
  readonly locate: (id: InodeId) => { readonly dirfd: number; readonly name: ByteString } | undefined;
  readonly known: Pick<KnownContents, 'version'>;
  readonly send: (message: Base | Digests) => void;
}

export class Bases {
  readonly #options: BasesOptions;
  readonly #held = new Map<InodeId, Held>();
  readonly #jobs: Job[] = [];
  readonly #stat = new Stat();

  constructor(options: BasesOptions) {
    this.#options = options;
  }

  /** Looks for a base, holds it and says what it is. */
  hold({ id, base, attempt }: BaseWanted): void {
    this.drop(id);
    const nothing: Base = { type: 'base', id, attempt, size: 0, version: noBytes };
    const at = this.#options.locate(base);
    // RACE: the name may be a FIFO, a device or a link by now: neither followed nor waited for, and looked at once open.
    const fd = at === undefined ? -ESTALE : openat(at.dirfd, at.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const stat = new Stat();
    if (fd < 0 || fstat(fd, stat) < 0 || !stat.isFile || stat.size === 0) {
      if (fd >= 0) close(fd);
      this.#options.send(nothing);
      return;
    }
    for (const other of this.#held.keys()) {
      if (this.#held.size < maxHeld) break;
      this.#refuse(other);
    }
    this.#held.set(id, { base, attempt, fd, stat });
    this.#options.send({ ...nothing, size: stat.size, version: this.#options.known.version(base, stat) });
  }

  wantDigests({ id, offset, length, blockBytes, key }: DigestsWanted): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    if (offset + length > held.stat.size) {
      this.#refuse(id);
      return;
    }
    const digest = new KeyedDigest(key);
    const end = offset + length;
    const job: Job = { id, end, blockBytes, digest, from: offset, at: offset, digests: [], zeros: undefined };
    // A short stretch is what a stream waits for at its very position.
    if (length <= sliceBytes) this.#jobs.unshift(job);
    else this.#jobs.push(job);
  }

  /** Makes digests for about two milliseconds. Returns whether there is more to do. */
  work(): boolean {
    const job = this.#jobs[0];
    if (job === undefined) return false;
    const held = this.#held.get(job.id);
    if (held === undefined) this.#jobs.shift();
    else if (this.#digest(job, held) && this.#isUntouched(held)) this.#answer(job);
    else this.#refuse(job.id);
    return this.#jobs.length > 0;
  }

  /**
   * Copies from the base to the same place in a staged file.
   * @returns 0; -ESTALE when there is no such base any more (the source has been told); or -errno of the staged file
   */
  copy(id: InodeId, toFd: number, offset: number, length: number): number {
    const held = this.#held.get(id);
    if (held === undefined) return -ESTALE;
    let result = 0;
    for (let at = offset; at < offset + length && result >= 0; at += result) {
      result = copySome(held.fd, toFd, at, offset + length - at);
      if (result === 0) result = -ESTALE;
    }
    // ext4 writes out a file that takes another one's name before it takes it: what has gone by then is not waited for.
    if (result > 0) startWriting(toFd, offset, length);
    // RACE: looked at after the copy, so that nothing can have changed under it without being seen. A kill between the two
    // leaves the copy unseen; it would take a local writer in the same moment to matter.
    if (result !== -ESTALE && this.#isUntouched(held)) return Math.min(result, 0);
    this.#refuse(id);
    return -ESTALE;
  }

  /** Whether the stream's base is this very inode as it was when it was opened: then everything said of it holds. Ends the stream. */
  isItself(id: InodeId, record: LocalIdentity): boolean {
    const held = this.#held.get(id);
    const isSo =
      held?.base === id &&
      isSameIdentity(record, held.stat) &&
      fstat(held.fd, this.#stat) === 0 &&
      isSameState(this.#stat, held.stat);
    this.drop(id);
    return isSo;
  }

  drop(id: InodeId): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    close(held.fd);
    this.#held.delete(id);
    for (let index = this.#jobs.length - 1; index >= 0; index--) {
      if (this.#jobs[index]?.id === id) this.#jobs.splice(index, 1);
    }
  }

  close(): void {
    for (const id of [...this.#held.keys()]) this.drop(id);
  }

  #refuse(id: InodeId): void {
    const attempt = this.#held.get(id)?.attempt ?? 0;
    this.drop(id);
    this.#options.send({ type: 'base', id, attempt, size: 0, version: noBytes });
  }

  /** One slice. False when the file cannot be read as far as it should. */
  #digest(job: Job, held: Held): boolean {
    const until = Math.min(job.at + Math.max(sliceBytes, job.blockBytes), job.end);
    while (job.at < until) {
      const end = Math.min(job.at + job.blockBytes, job.end);
      if (end - job.at === job.blockBytes && isHole(held, job.at, end)) {
        job.zeros ??= digestOfZeros(job);
        job.digests.push(job.zeros);
        job.at = end;
        continue;
      }
      for (let at = job.at; at < end; ) {
        const got = pread(held.fd, room, 0, Math.min(room.length, end - at), at);
        if (got <= 0) return false;
        job.digest.update(room.subarray(0, got));
        at += got;
      }
      job.digests.push(job.digest.digest());
      job.at = end;
    }
    return true;
  }

  #answer(job: Job): void {
    const isDone = job.at >= job.end;
    if (!isDone && job.at - job.from < answerBytes) return;
    const { id, from: offset, blockBytes } = job;
    this.#options.send({ type: 'digests', id, offset, blockBytes, digests: Buffer.concat(job.digests) });
    job.from = job.at;
    job.digests = [];
    if (isDone) this.#jobs.splice(this.#jobs.indexOf(job), 1);
  }

  #isUntouched({ fd, stat }: Held): boolean {
    const now = this.#stat;
    return fstat(fd, now) === 0 && isSameState(now, stat);
  }
}

function isSameState(a: Stat, b: Stat): boolean {
  return (
    a.size === b.size &&
    a.mtimeS === b.mtimeS &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeS === b.ctimeS &&
    a.ctimeNs === b.ctimeNs
  );
}

/** RACE: what is written there meanwhile shows in its times, which are looked at afterwards. */
function isHole({ fd, stat }: Held, from: number, to: number): boolean {
  if (stat.blocks * 512 >= stat.size) return false;
  const data = lseek(fd, from, SEEK_DATA);
  return data === -ENXIO || data >= to;
}

function digestOfZeros({ digest, blockBytes }: Job): Buffer {
  for (let at = 0; at < blockBytes; at += zeros.length)
    digest.update(zeros.subarray(0, Math.min(zeros.length, blockBytes - at)));
  return digest.digest();
}

const noBytes = new Uint8Array();
/** Small enough to stay in a processor's second cache between read and digest. */
const room = Buffer.allocUnsafeSlow(256 * 1024);
const zeros = Buffer.alloc(room.length);

/** Copies at the same offset in both. The bytes copied (0: the base ends here) or -errno. */
function copySome(fromFd: number, toFd: number, offset: number, length: number): number {
  const copied = copyFileRange(fromFd, offset, toFd, offset, length);
  if (copied >= 0) return copied;
  if (copied !== -EXDEV && copied !== -EINVAL && copied !== -EOPNOTSUPP && copied !== -ENOSYS) return copied;
  const got = pread(fromFd, room, 0, Math.min(room.length, length), offset);
  if (got <= 0) return got === -EIO ? -ESTALE : got;
  return writeAll(toFd, room, 0, got, offset);
}
