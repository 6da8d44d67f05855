// Files that are not whole yet: new (or empty so far) or cut short, and still open. An upload is held back until it is closed (I2); a log, which is
// written to at its end and never closed, is not.

import type { InodeId } from '../core/attributes.ts';
import { dropOldest } from '../core/drop-oldest.ts';
import type { Name } from '../core/name.ts';
import { Hint, type KernelEvent } from '../kernel/event-source.ts';
import { isOpenForWriting, writerOf } from '../kernel/open-files.ts';
import * as sys from '../kernel/sys.ts';
import type { Directories } from './directories.ts';
import type { HotFile } from './hot-files.ts';

/** An upload that stalls for so long is shown as far as it has come. */
const stalledMs = 60_000;
/** ... and one that lasts so long: it may be a database. */
const longestMs = 3_600_000;
/** The same where it cannot be told who writes (other users' processes, other containers'): it may be a log. */
const unknownStalledMs = 10_000;
const unknownLongestMs = 600_000;

/** Asked again after a quarter of what it has lasted; being closed is told by an event. */
const maxPauseMs = 5000;
const minPauseMs = 100;

/** The search for whoever writes, where the kernel does not tell, ends after so many descriptors: some 60 ms. */
const maxDescriptors = 20_000;
const maxWriters = 64;

/** Not younger, in seconds: what a listing finds may be in somebody's hands (`isInHands`). */
const recentS = 60;
/** The same in a first scan, which asks for each file that is so young. */
const recentAtFirstS = 2;

/** The size tells that a file which was recorded with another one is being written anew: it was cut short, or is not empty any more. */
export function isBegunAnew(size: number, recorded: number): boolean {
  return size < recorded || (recorded === 0 && size > 0);
}

/** One thread's. */
export class Uploads {
  readonly #directories: Pick<Directories, 'open'>;
  readonly #stat = new sys.Stat();
  /** Processes that have written lately, the last one last. */
  readonly #writers = new Set<number>();
  #lastWriter = 0;

  constructor(directories: Pick<Directories, 'open'>) {
    this.#directories = directories;
  }

  /** Remembers who writes, where the kernel tells. */
  note(event: KernelEvent): void {
    if (event.type !== 'name' || event.pid === 0 || event.pid === this.#lastWriter) return;
    if ((event.hints & (Hint.appeared | Hint.modified)) !== 0) this.#remember(event.pid);
  }

  #remember(pid: number): void {
    this.#lastWriter = pid;
    this.#writers.delete(pid);
    this.#writers.add(pid);
    dropOldest(this.#writers, maxWriters);
  }

  /** Until when (ms) a file that has been quiet is held back all the same; undefined: it is recorded as it is. Inside a transaction. */
  heldUntil(file: HotFile, now: number): number | undefined {
    if (!file.isUnfinished || file.closed) return undefined;
    const quiet = now - file.last;
    const lasted = now - file.since;
    if (quiet >= stalledMs || lasted >= longestMs) return undefined;
    const dirfd = this.#directories.open(file.directory);
    if (dirfd < 0 || sys.statx(dirfd, file.name, this.#stat) < 0) return undefined;
    if (isOpenForWriting(dirfd, file.name) === false) return undefined;
    const pids = [...this.#writers].reverse();
    const writer = writerOf(this.#stat, file.name, pids, maxDescriptors);
    if (writer !== undefined) this.#remember(writer.pid);
    if (writer?.mode === 'append') return undefined;
    if (writer === undefined && (quiet >= unknownStalledMs || lasted >= unknownLongestMs)) return undefined;
    return now + Math.min(Math.max(lasted / 4, minPauseMs), maxPauseMs);
  }

  /** Whether a file that a listing has found, of which no event has told, is open for writing at this moment. */
  isInHands(dirfd: number, name: Name, mtimeS: number, isFirstScan: boolean): boolean {
    const age = Date.now() / 1000 - mtimeS;
    if (age > (isFirstScan ? recentAtFirstS : recentS)) return false;
    return isOpenForWriting(dirfd, name) === true;
  }

  /** Whether anybody has a file open for writing at this moment; undefined: that cannot be told. */
  isOpen(directory: InodeId, name: Name): boolean | undefined {
    const dirfd = this.#directories.open(directory);
    return dirfd < 0 ? undefined : isOpenForWriting(dirfd, name);
  }
}
