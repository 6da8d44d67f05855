// What has happened and has not been taken yet. While the consumer keeps up, events in their order; when it does not, the
// last state of each path, so that memory is bounded by the number of paths and nothing is lost at the level of state. Pure.

import type { ByteString, Name } from '../core/name.ts';
import { EntryKind, isDirectoryCode, kindName, kindOf } from './entry-code.ts';
import type { FileKind, RescanReason, WatchEventType } from './event.ts';
import type { Shadow } from './shadow.ts';

/** An event inside the thread; paths are relative to the tree's root, '' is the root. */
export interface TreeEvent {
  readonly type: WatchEventType;
  readonly path: ByteString;
  readonly kind: FileKind;
  readonly from?: ByteString;
  /** Of `moved`: the consumer knew something under the new name. */
  readonly replaced?: boolean;
  readonly pid?: number;
  readonly command?: string;
  readonly why?: RescanReason;
}

/** So many events wait in their order before they are merged. */
const defaultMaxInOrder = 8192;
/** So many states are not worth a look at what of them is needed. */
const defaultMinCompacted = 8192;

/** What a consumer that has seen nothing of the backlog yet must be told of one path, and why. */
interface PathState {
  /** The consumer knows the path, as this. undefined: it does not. */
  readonly before: FileKind | undefined;
  /** What it knew has been deleted or moved away, whatever is there now. */
  gone: boolean;
  content: boolean;
  attributes: boolean;
  /** A directory came here by a rename, with whatever is below it. */
  arrived: boolean;
  pid: number | undefined;
  command: string | undefined;
}

export class Outbox {
  readonly #shadow: Shadow;
  readonly #isTold: (path: ByteString, isDirectory: boolean) => boolean;
  readonly #maxInOrder: number;
  readonly #minCompacted: number;
  #inOrder: TreeEvent[] = [];
  #states: Map<ByteString, PathState> | undefined;
  /** When there are so many states, `compact` looks for some that are not needed. */
  #compactAt: number;
  #rescans = new Map<string, TreeEvent>();
  #executions: TreeEvent[] = [];
  /** Being handed out; complete in itself, and older than everything above. */
  #leaving: TreeEvent[] = [];
  #left = 0;
  /**
   * Files (and links) whose content the consumer may not have looked at yet, each with the number of the event that told of it. A
   * consumer looks late: by then the name may mean another file. So one that is renamed before is told as changed again.
   */
  readonly #unseen = new Map<ByteString, number>();
  #added = 0;
  #refilledAt = 0;
  #given = 0;
  #confirmed = 0;
  #isHeld = false;

  /** @param isTold whether the request is about a path */
  constructor(
    shadow: Shadow,
    isTold: (path: ByteString, isDirectory: boolean) => boolean,
    maxInOrder = defaultMaxInOrder,
    minCompacted = defaultMinCompacted,
  ) {
    this.#shadow = shadow;
    this.#isTold = isTold;
    this.#maxInOrder = maxInOrder;
    this.#minCompacted = minCompacted;
    this.#compactAt = minCompacted;
  }

  get isEmpty(): boolean {
    return (
      this.#leaving.length === 0 &&
      this.#inOrder.length === 0 &&
      this.#states === undefined &&
      this.#rescans.size === 0 &&
      this.#executions.length === 0
    );
  }

  /** While something else is told first (the initial listing), moves are told as deletions and creations. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
  }

  /** Passed to `confirm` when all that `take` has given out until now has been consumed. */
  get given(): number {
    return this.#given;
  }

  /** The consumer is done with the events up to a number that `given` was. */
  confirm(given: number): void {
    this.#confirmed = given;
    for (const [path, number] of this.#unseen) if (number <= given) this.#unseen.delete(path);
  }

  add(event: TreeEvent): void {
    this.#append(event);
    if (event.type === 'deleted') this.#unseen.delete(event.path);
    if (this.#states !== undefined) return;
    if (isContent(event)) this.#unseen.set(event.path, this.#added);
    else if (event.type === 'moved' && event.from !== undefined) this.#tellUnseenAgain(event, event.from);
  }

  #tellUnseenAgain(event: TreeEvent, from: ByteString): void {
    for (const [path, number] of [...this.#unseen]) {
      if (number <= this.#confirmed || (path !== from && !path.startsWith(`${from}/`))) continue;
      this.#unseen.delete(path);
      const newPath = `${event.path}${path.slice(from.length)}`;
      // It may have been deleted since, or be something else by now.
      const code = this.#shadow.lookup(newPath);
      if (code === undefined || isDirectoryCode(code) || !this.#isTold(newPath, false)) continue;
      const { from: _, replaced: __, ...rest } = event;
      this.add({ ...rest, type: 'changed', path: newPath, kind: kindName(kindOf(code)) });
    }
  }

  #append(event: TreeEvent): void {
    this.#added++;
    if (this.#isHeld) this.#states ??= new Map();
    if (this.#states !== undefined) this.#absorb(event, this.#states);
    else if (this.#inOrder.length < this.#maxInOrder) this.#inOrder.push(event);
    else {
      this.#states = new Map();
      for (const earlier of this.#inOrder) this.#absorb(earlier, this.#states);
      this.#inOrder = [];
      this.#absorb(event, this.#states);
    }
  }

  /** Forgets names that came and went. To be called now and then, when the shadow shows all that was added. */
  compact(): void {
    if (this.#states === undefined || this.#states.size < this.#compactAt) return;
    for (const [path, { before }] of this.#states) {
      if (before === undefined && this.#shadow.lookup(path) === undefined) this.#states.delete(path);
    }
    this.#compactAt = Math.max(this.#minCompacted, 2 * this.#states.size);
  }

  /** The next events, oldest first; [] when there are none. */
  take(max: number): TreeEvent[] {
    if (this.#left >= this.#leaving.length) this.#refill();
    const taken = this.#leaving.slice(this.#left, this.#left + max);
    this.#left += taken.length;
    if (this.#left >= this.#leaving.length) {
      this.#leaving = [];
      this.#left = 0;
      this.#given = this.#refilledAt;
    }
    return taken;
  }

  #refill(): void {
    this.#left = 0;
    this.#refilledAt = this.#added;
    if (this.#states === undefined) {
      this.#leaving = this.#inOrder;
      this.#inOrder = [];
      return;
    }
    this.#leaving = this.#resolve(this.#states);
    this.#states = undefined;
    this.#compactAt = this.#minCompacted;
    for (const event of this.#leaving) if (isContent(event)) this.#unseen.set(event.path, this.#added);
  }

  #absorb(event: TreeEvent, states: Map<ByteString, PathState>): void {
    switch (event.type) {
      case 'created':
        this.#state(states, event, undefined).content = true;
        return;
      case 'changed':
        this.#state(states, event, event.kind).content = true;
        return;
      case 'attributes':
        this.#state(states, event, event.kind).attributes = true;
        return;
      case 'deleted':
        this.#state(states, event, event.kind).gone = true;
        return;
      case 'moved': {
        const from = this.#state(states, { ...event, path: event.from ?? event.path }, event.kind);
        from.gone = true;
        const to = this.#state(states, event, event.replaced === true ? event.kind : undefined);
        to.content = true;
        if (event.kind === 'directory') {
          to.gone = true;
          to.arrived = true;
        }
        return;
      }
      case 'rescan':
        this.#rescans.set(`${event.why} ${event.path}`, event);
        return;
      case 'executionStarted':
        this.#executions.push(event);
        return;
      case 'executionStopped': {
        const started = this.#executions.findIndex(
          ({ type, pid, path }) => type === 'executionStarted' && pid === event.pid && path === event.path,
        );
        if (started < 0) this.#executions.push(event);
        else this.#executions.splice(started, 1);
        return;
      }
      case 'exists':
      case 'endExist':
        return;
    }
  }

  #state(states: Map<ByteString, PathState>, event: TreeEvent, before: FileKind | undefined): PathState {
    let state = states.get(event.path);
    if (state === undefined) {
      state = {
        before,
        gone: false,
        content: false,
        attributes: false,
        arrived: false,
        pid: undefined,
        command: undefined,
      };
      states.set(event.path, state);
    }
    state.pid = event.pid;
    state.command = event.command;
    return state;
  }

  /** From what the consumer knows to what is there now: deletions first, then parents before children. */
  #resolve(states: Map<ByteString, PathState>): TreeEvent[] {
    const deletions: TreeEvent[] = [];
    const rest: TreeEvent[] = [];
    // Below these the consumer knows nothing any more; below those everything has been told.
    const gone = new Ancestors();
    const listed = new Ancestors();
    const paths = [...states.keys()].sort(byPath);
    for (const path of paths) {
      const state = states.get(path);
      if (state === undefined) continue;
      const by = byOf(state);
      const before = gone.covers(path) ? undefined : state.before;
      const code = this.#shadow.lookup(path);
      const now = code === undefined ? undefined : kindName(kindOf(code));
      const isGone = before !== undefined && (now !== before || (state.gone && before === 'directory'));
      if (isGone) {
        deletions.push({ type: 'deleted', path, kind: before, ...by });
        if (before === 'directory') gone.add(path);
      }
      if (now === undefined || code === undefined || listed.covers(path)) continue;
      const isTold = this.#isTold(path, isDirectoryCode(code));
      if (before === undefined || isGone) {
        if (isTold) tellNew(rest, path, now, by);
      } else if (isTold) {
        if (state.content || state.gone) rest.push({ type: 'changed', path, kind: now, ...by });
        if (state.attributes) rest.push({ type: 'attributes', path, kind: now, ...by });
      }
      if (state.arrived && now === 'directory') {
        listed.add(path);
        this.#list(path, rest);
      }
    }
    const extra = [...this.#rescans.values()];
    const executions = this.#executions;
    this.#rescans = new Map();
    this.#executions = [];
    return [...extra, ...deletions, ...rest, ...executions];
  }

  /** Tells everything below a directory. */
  #list(path: ByteString, out: TreeEvent[]): void {
    const top = this.#shadow.entered(this.#shadow.lookup(path));
    if (top === undefined) return;
    for (const directory of this.#shadow.below(top)) {
      directory.each((name: Name, code) => {
        const child = directory.pathOf(name);
        if (this.#isTold(child, isDirectoryCode(code))) tellNew(out, child, kindName(kindOf(code)), {});
      });
    }
  }
}

/** Told so that the consumer looks at a file's content, or where a link points. */
function isContent({ type, kind }: TreeEvent): boolean {
  return (kind === 'file' || kind === 'symlink') && (type === 'created' || type === 'changed');
}

type By = Pick<TreeEvent, 'pid' | 'command'>;

function byOf({ pid, command }: PathState): By {
  if (pid === undefined) return {};
  return command === undefined ? { pid } : { pid, command };
}

function tellNew(out: TreeEvent[], path: ByteString, kind: FileKind, by: By): void {
  out.push({ type: 'created', path, kind, ...by });
  if (kind === kindName(EntryKind.file)) out.push({ type: 'changed', path, kind, ...by });
}

/** Parents right before what is below them: '/' sorts before every other byte. */
function byPath(a: ByteString, b: ByteString): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    if (x === 0x2f) return -1;
    if (y === 0x2f) return 1;
    return x - y;
  }
  return a.length - b.length;
}

/** Whether a path lies below one of those added, for paths that come in the order of `byPath`. */
class Ancestors {
  #last: ByteString | undefined;

  add(path: ByteString): void {
    this.#last = path === '' ? '' : `${path}/`;
  }

  covers(path: ByteString): boolean {
    return this.#last !== undefined && path.startsWith(this.#last);
  }
}
