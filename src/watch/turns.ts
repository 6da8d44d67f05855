// Whose turn it is: what each member of a watch thread waits for, so that only those are looked at that have something to do.

import { Epoll, maxEvents } from '../kernel/epoll.ts';
import type { FdList } from './fd-list.ts';

export interface Member {
  /** To poll for reading. A descriptor that several have is read by one of them for all; the others are called for. */
  readonly fdLists: readonly FdList[];
  /** When it wants a turn though nothing is readable, in ms of `performance.now()`. */
  readonly deadline: number | undefined;
}

/** So many descriptors that are readable are seen at once; there may be more. */
export const mostReady = maxEvents;

/** No more than this is a system call that found something at once. */
const shortestSleepMs = 1;

/** For one thread. `close` is idempotent. */
export class Turns<T extends Member> implements Disposable {
  readonly #epoll = new Epoll();
  readonly #wakeFd: number;
  readonly #holders = new Map<number, Set<T>>();
  readonly #lists = new Map<T, readonly FdList[]>();
  readonly #deadlines = new Map<T, number>();
  readonly #due = new Set<T>();
  #sleptUntil = -Infinity;

  /** @param wakeFd is waited for besides */
  constructor(wakeFd: number) {
    this.#wakeFd = wakeFd;
    this.#epoll.add(wakeFd);
  }

  /** In ms since 1970: nobody had anything to read at this moment, and nobody was due. */
  get sleptUntil(): number {
    return this.#sleptUntil;
  }

  /** Looks again at what it waits for: to be called after anything that it has done. */
  update(member: T): void {
    const lists = member.fdLists;
    const known = this.#lists.get(member);
    if (known?.length !== lists.length || lists.some((list, i) => list !== known[i])) {
      this.#leave(member);
      this.#lists.set(member, lists);
      for (const fd of lists.flat()) this.#hold(fd, member);
    }
    const { deadline } = member;
    if (deadline === undefined) this.#deadlines.delete(member);
    else this.#deadlines.set(member, deadline);
  }

  /** It waits for nothing any more. */
  remove(member: T): void {
    this.#leave(member);
    this.#deadlines.delete(member);
    this.#due.delete(member);
  }

  /** It has something to do, whatever it waits for. */
  call(member: T): void {
    this.#due.add(member);
  }

  get areAnyDue(): boolean {
    return this.#due.size > 0;
  }

  /** Those whose turn it is: for each the caller has to do it, and to `update` it. */
  take(): T[] {
    const taken = [...this.#due];
    this.#due.clear();
    return taken;
  }

  isDue(member: T): boolean {
    return this.#due.has(member);
  }

  /**
   * Waits until somebody has something to do, who is due then; not at all where somebody is. The descriptors that are readable, `mostReady` at most.
   * @param isInHurry only looks
   */
  wait(isInHurry: boolean): number[] {
    const isIdle = this.#due.size === 0;
    const began = performance.now();
    const ready = this.#epoll.wait(isIdle && !isInHurry ? this.#timeout(began) : 0);
    const now = performance.now();
    if (isIdle && (ready.length === 0 || now - began > shortestSleepMs)) this.#sleptUntil = Date.now();
    for (const fd of ready) {
      const [holder] = this.#holders.get(fd) ?? [];
      if (holder !== undefined) this.#due.add(holder);
    }
    for (const [member, deadline] of this.#deadlines) if (deadline <= now) this.#due.add(member);
    return ready;
  }

  #timeout(now: number): number | undefined {
    let first = Infinity;
    for (const deadline of this.#deadlines.values()) if (deadline < first) first = deadline;
    return first === Infinity ? undefined : Math.max(0, first - now);
  }

  #hold(fd: number, member: T): void {
    const holders = this.#holders.get(fd) ?? new Set<T>();
    this.#holders.set(fd, holders.add(member));
    // Also where it is held: one that was closed has left the set, and another may bear its number since.
    this.#epoll.add(fd);
  }

  #leave(member: T): void {
    for (const fd of this.#lists.get(member)?.flat() ?? []) {
      const holders = this.#holders.get(fd);
      if (holders?.delete(member) !== true || holders.size > 0) continue;
      this.#holders.delete(fd);
      if (fd !== this.#wakeFd) this.#epoll.remove(fd);
    }
    this.#lists.delete(member);
  }

  close(): void {
    this.#epoll.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
