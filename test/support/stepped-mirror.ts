// A source and its replicas in one thread, each step of each in a test's hands: recorder with real events, session, frames, agent, real folders.

import { bytesOfText } from '../../src/core/name.ts';
import type { Inheritance } from '../../src/core/succession.ts';
import type { EventSource } from '../../src/kernel/event-source.ts';
import { openEventSource } from '../../src/kernel/open-event-source.ts';
import { AT_FDCWD, check, close, O_DIRECTORY, O_RDONLY, openat } from '../../src/kernel/sys.ts';
import { inheritanceOf } from '../../src/mirror/inheritance.ts';
import { type Home, openHome } from '../../src/replica/home.ts';
import { ReplicaSession } from '../../src/replica/session.ts';
import { BlockLedger } from '../../src/source/block-ledger.ts';
import { Contents } from '../../src/source/contents.ts';
import { FormerNames } from '../../src/source/former-names.ts';
import { Session, type SessionEvent, type SharedReading } from '../../src/source/session.ts';
import { nameOf } from '../../src/tree/name-of.ts';
import { Recorder } from '../../src/tree/recorder.ts';
import { admitRoot } from '../../src/tree/source-check.ts';
import { sourceIdOf } from '../../src/tree/source-id.ts';
import { TreeStore } from '../../src/tree/store.ts';
import { succeed } from '../../src/tree/succeed.ts';
import { decodeToAgent, decodeToSource, encode } from '../../src/wire/codec.ts';
import { orphans } from './tree/contradictions.ts';

/** A number of 0 to one less than this. */
export type Draw = (below: number) => number;

/** Thrown at a step of the agent: it is gone from there on, as after SIGKILL. */
export class Killed extends Error {}

/** The source's side for as long as one process lives. */
export class SteppedSource implements Disposable {
  readonly store: TreeStore;
  readonly recorder: Recorder;
  readonly contents: Contents;
  readonly shared: SharedReading;
  readonly #events: EventSource;
  readonly #ledger: BlockLedger;
  readonly #rootFd: number;
  readonly inherited: Inheritance | undefined;

  constructor(folder: string, state: string) {
    const root = bytesOfText(folder);
    this.inherited = inheritanceOf(folder);
    const { sourceId = sourceIdOf(root), promotedAt = 0, formerState } = this.inherited ?? {};
    this.#rootFd = check(openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY), 'open');
    this.store = TreeStore.open(state, { sourceId });
    const { store } = this;
    succeed(store, promotedAt);
    this.#events = openEventSource({ root: this.#rootFd, nameOf: nameOf(store) }).source;
    this.recorder = new Recorder({
      store,
      rootFd: this.#rootFd,
      source: this.#events,
      hidden: this.inherited?.hidden,
    });
    const isFirst = admitRoot(store, this.#rootFd, root, true);
    this.recorder.startScan(isFirst, true);
    this.contents = new Contents(store, root);
    this.#ledger = new BlockLedger(state, store.epoch);
    const former = formerState === undefined ? undefined : FormerNames.open(formerState);
    this.shared = { batch: undefined, ledger: this.#ledger, former, scanning: true };
  }

  listen(): void {
    this.recorder.feed(this.#events.read());
  }

  /** True when there was something to do. */
  step(): boolean {
    const { recorder } = this;
    const isDue = (recorder.deadline ?? Infinity) <= performance.now();
    if (!recorder.busy && !recorder.scanning && !isDue) return false;
    recorder.step();
    this.shared.scanning = recorder.scanning;
    return true;
  }

  get isAtRest(): boolean {
    const { recorder, store } = this;
    const isWaiting = recorder.deadline !== undefined || this.#events.pendingUntil !== undefined;
    return !recorder.busy && !recorder.scanning && !isWaiting && store.isSettled;
  }

  [Symbol.dispose](): void {
    this.recorder.close();
    this.#events.close();
    this.contents.closeAll();
    this.shared.former?.close();
    this.#ledger.close();
    this.store.close();
    close(this.#rootFd);
  }
}

export interface LinkOptions {
  readonly init: boolean;
  readonly trusted: boolean;
  /** It begins with a first contact, whatever the replica remembers. */
  readonly compares: boolean;
  /** The agent is killed at this step, counted from 1. */
  readonly killAt: number;
  /** Told each message and each step. */
  readonly trace: ((line: () => string) => void) | undefined;
}

/** A session and an agent, and the frames on their way between them. */
export class SteppedLink implements Disposable {
  readonly #home: Home;
  readonly #store: TreeStore;
  readonly #session: Session;
  readonly #agent: ReplicaSession;
  readonly #toAgent: Uint8Array[] = [];
  readonly #toSource: Uint8Array[] = [];
  readonly #synced: number[] = [];
  readonly #events: SessionEvent[] = [];
  #steps = 0;

  constructor(source: SteppedSource, replica: string, options: LinkOptions) {
    const { init, trusted, compares, killAt, trace } = options;
    this.#home = openHome(replica);
    this.#store = TreeStore.open(this.#home.state, { journal: false });
    this.#session = new Session(
      source.store,
      source.contents,
      source.shared,
      {
        send: (message) => {
          trace?.(() => `-> ${describe(message)}`);
          const frame = encode(message);
          this.#toAgent.push(frame);
          return frame;
        },
        sendFrame: (frame) => {
          trace?.(() => `-> ${describe(decodeToAgent(frame))}`);
          this.#toAgent.push(frame);
        },
        event: (event) => {
          if (event.type === 'failed') throw new Error(JSON.stringify(event));
          if (event.type !== 'progress') this.#events.push(event);
        },
      },
      {
        version: 'test',
        init,
        trusted,
        durability: 'none',
        hotFileMaxDelayMs: 2000,
        compares,
        promotedAt: source.inherited?.promotedAt,
        follows: source.inherited?.follows,
      },
    );
    this.#agent = new ReplicaSession(this.#home, this.#store, {
      version: 'test',
      send: (message) => {
        trace?.(() => `<- ${describe(message)}`);
        this.#toSource.push(encode(message));
      },
      sync: (cursor) => this.#synced.push(cursor),
      step: (name) => {
        trace?.(() => `step ${name}`);
        if (++this.#steps === killAt) throw new Killed();
      },
    });
    this.#toSource.push(encode(this.#agent.hello()));
  }

  /**
   * Some of what is to be done, or all of it. True when there was something.
   * @throws Error the replica's records hold what is nowhere
   */
  turn(draw: Draw, isLively: boolean): boolean {
    let hasMoved = false;
    for (const frame of this.#toSource.splice(0, isLively ? 1 + draw(3) : Infinity)) {
      this.#session.receive(decodeToSource(frame));
      hasMoved = true;
    }
    for (let n = isLively ? 1 + draw(3) : 9; n > 0; n--)
      hasMoved = this.#session.pump(performance.now()) || hasMoved;
    for (const frame of this.#toAgent.splice(0, isLively ? draw(4) : Infinity)) {
      this.#agent.receive(decodeToAgent(frame), frame.length);
      hasMoved = true;
    }
    for (const cursor of this.#synced.splice(0)) this.#agent.synced(cursor);
    this.#agent.flush(true);
    hasMoved = this.#agent.work() || hasMoved;
    this.#store.refresh();
    const found = orphans(this.#store);
    if (found.length > 0) throw new Error(found.join('\n'));
    return hasMoved;
  }

  /** What the source was told of the replica, but for how far it is. */
  get events(): readonly SessionEvent[] {
    return this.#events;
  }

  get isIdle(): boolean {
    return this.#toSource.length + this.#toAgent.length === 0 && this.#session.wakeAt === undefined;
  }

  [Symbol.dispose](): void {
    this.#session.close();
    this.#agent.close();
    this.#store.close();
    this.#home.close();
  }
}

/** Without what is long and says little. */
function describe(message: object): string {
  return JSON.stringify(message, (key, value: unknown) => {
    if (key === 'attributes' || key === 'room') return undefined;
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    // A Buffer has been turned into this already.
    const isBuffer = typeof value === 'object' && value !== null && 'data' in value;
    return isBuffer && Array.isArray(value.data) ? `${value.data.length} bytes` : value;
  });
}
