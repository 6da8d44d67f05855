// Empties the trash of what has been in it for 30 days (I6), a little at a time.
//
// What is how old is told by the order of the trash's list, not by the times in it, which a clock had written that may have been wrong: about
// once a day the name that was listed last is marked, and when 30 days have passed since then (passed-time.ts), all that the list
// has up to that name can go.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';
import type { ByteString } from '../core/name.ts';
import {
  AT_REMOVEDIR,
  close,
  EEXIST,
  fstat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  RENAME_NOREPLACE,
  readDirectory,
  renameat2,
  Stat,
  statx,
  unlinkat,
} from '../kernel/sys.ts';
import type { Home } from './home.ts';
import { type Clocks, dayMs, passedTimeSchema, readClocks, timePassed } from './passed-time.ts';
import { isNameInTrash, TrashList } from './trash-list.ts';

const retentionMs = 30 * dayMs;
/** Agents may start many times a day: a mark for each would be no use. */
const betweenMarksMs = dayMs / 2;
/** Short beside what a batch takes. */
const sliceMs = 1;
/** Of a folder that is emptied, names that are read at a time. */
const maxNamesAtOnce = 500;

const memorySchema = z.object({
  time: z.optional(passedTimeSchema),
  /** Each with the time that had passed when it was made, the oldest first. */
  marks: z.array(z.object({ passedMs: z.number(), last: z.string() })),
});
type Memory = z.infer<typeof memorySchema>;
type Slices<Result = void> = Generator<undefined, Result>;

export class TrashRetention {
  readonly #trashFd: number;
  readonly #path: string;
  readonly #clocks: () => Clocks;
  readonly #list: TrashList;
  readonly #stat = new Stat();
  #sweep: Slices | undefined;
  /** By `performance.now()`. */
  #nextMs = 0;
  #hoisted = 0;

  constructor({ trashFd, state }: Pick<Home, 'trashFd' | 'state'>, clocks: () => Clocks = readClocks) {
    this.#trashFd = trashFd;
    this.#path = join(state, 'trash-marks');
    this.#clocks = clocks;
    this.#list = new TrashList(trashFd);
  }

  /** Does a little, if there is something to do today. Returns whether there is more of it. */
  work(): boolean {
    const now = performance.now();
    if (this.#sweep === undefined) {
      if (now < this.#nextMs) return false;
      this.#nextMs = now + dayMs;
      this.#sweep = this.#sweepOnce();
    }
    do {
      if (this.#sweep.next().done !== true) continue;
      this.#sweep = undefined;
      return false;
    } while (performance.now() - now < sliceMs);
    return true;
  }

  close(): void {
    this.#sweep?.return();
    this.#sweep = undefined;
  }

  *#sweepOnce(): Slices {
    const memory = this.#read();
    const time = timePassed(memory.time, this.#clocks());
    const marks = [...memory.marks];
    const latest = marks.at(-1);
    const last = this.#list.lastName();
    const isTime = latest === undefined || time.passedMs - latest.passedMs >= betweenMarksMs;
    if (last !== undefined && isTime && last !== latest?.last) marks.push({ passedMs: time.passedMs, last });
    // Before anything is removed: killed meanwhile, the next agent goes on with it.
    this.#write({ time, marks });
    const due = marks.filter(({ passedMs }) => time.passedMs - passedMs >= retentionMs).at(-1);
    if (due === undefined) return;
    yield* this.#removeUntil(due.last);
    this.#write({ time, marks: marks.slice(marks.indexOf(due) + 1) });
  }

  /** Nothing where the name is not listed any more: somebody else has been at the list. */
  *#removeUntil(last: string): Slices {
    const end = yield* this.#endOf(last);
    if (end === undefined) return;
    for (const name of this.#leftovers()) yield* this.#remove(name);
    const stay: string[] = [];
    for (const { text, kept } of this.#list.lines(end)) {
      yield;
      const name = kept !== undefined && isNameInTrash(kept) ? kept : undefined;
      if (name !== undefined) yield* this.#remove(name);
      const isStillThere = name !== undefined && statx(this.#trashFd, name, this.#stat) === 0;
      if (isStillThere || kept === undefined) stay.push(text);
    }
    this.#list.replaceStart(end, stay);
  }

  /** Where in the list the first line of a name ends. */
  *#endOf(last: string): Slices<number | undefined> {
    for (const { kept, end } of this.#list.lines()) {
      yield;
      if (kept === last) return end;
    }
    return undefined;
  }

  /**
   * Removes a name in the trash, with all that is below it, as far as that can be removed. Folders in it are moved up to the trash itself
   * first, so that one descriptor suffices however deep they are.
   */
  *#remove(name: ByteString): Slices {
    const todo = [name];
    for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
      yield;
      if (unlinkat(this.#trashFd, at) === 0) continue;
      const hoisted = yield* this.#emptySome(at);
      if (hoisted !== undefined) todo.push(at, ...hoisted);
      else unlinkat(this.#trashFd, at, AT_REMOVEDIR);
    }
  }

  /** Takes some names out of a folder. Returns what the folders among them are called now; undefined: no name could be taken. */
  *#emptySome(folder: ByteString): Slices<ByteString[] | undefined> {
    // RACE: whatever has the name by now, a link is not followed, and a folder is emptied through its descriptor.
    const fd = openat(this.#trashFd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return undefined;
    try {
      const hoisted: ByteString[] = [];
      let removed = 0;
      for (const name of this.#isOnTrashMount(fd) ? someNames(fd) : []) {
        yield;
        if (unlinkat(fd, name) === 0) removed += 1;
        else hoisted.push(...this.#hoist(fd, name));
      }
      return removed + hoisted.length === 0 ? undefined : hoisted;
    } finally {
      close(fd);
    }
  }

  /** Its new name; none for what something is mounted on, which stays. */
  #hoist(fd: number, name: ByteString): ByteString[] {
    for (;;) {
      const own = `${hoistedPrefix}${this.#hoisted++}`;
      const result = renameat2(fd, name, this.#trashFd, own, RENAME_NOREPLACE);
      if (result === 0) return [own];
      // Left by an agent that was killed.
      if (result !== -EEXIST) return [];
    }
  }

  #isOnTrashMount(fd: number): boolean {
    const stat = this.#stat;
    if (fstat(this.#trashFd, stat) < 0) return false;
    const { mountId, dev } = stat;
    return fstat(fd, stat) === 0 && stat.mountId === mountId && stat.dev === dev;
  }

  /** What an agent that was killed, or could not remove it, had moved up. */
  #leftovers(): ByteString[] {
    const names: ByteString[] = [];
    visitNames(this.#trashFd, (name) => {
      if (name.startsWith(hoistedPrefix)) names.push(name);
    });
    return names;
  }

  /** What says nothing is begun anew: everything is kept for longer. */
  #read(): Memory {
    try {
      return memorySchema.parse(JSON.parse(readFileSync(this.#path, 'utf8')));
    } catch {
      return { marks: [] };
    }
  }

  /** Where that fails (a full disk) everything is kept for longer. */
  #write(memory: Memory): void {
    try {
      writeFileSync(`${this.#path}.new`, JSON.stringify(memory), { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    } catch {
      // As said above.
    }
  }
}

const hoistedPrefix = 'old-';

function someNames(folderFd: number): ByteString[] {
  const names: ByteString[] = [];
  visitNames(folderFd, (name) => names.push(name) < maxNamesAtOnce);
  return names;
}

function visitNames(folderFd: number, visit: (name: ByteString) => unknown): void {
  const fd = openat(folderFd, '.', O_RDONLY | O_DIRECTORY);
  if (fd < 0) return;
  readDirectory(fd, visit);
  close(fd);
}
