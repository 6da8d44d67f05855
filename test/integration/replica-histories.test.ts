// Random histories of one or two replicas, one step at a time: source, scan, walk, journal and agent take turns in any order while folders move
// about, connections are cut, agents killed and sources started anew. What is listed twice, or never, because it moved meanwhile arrives all
// the same. Real events, real folders, in one thread: some hundred times as many as torture does in the same time.

import { linkSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { bytesOfText } from '../../src/core/name.ts';
import type { EventSource } from '../../src/kernel/event-source.ts';
import { openEventSource } from '../../src/kernel/open-event-source.ts';
import { AT_FDCWD, check, close, O_DIRECTORY, O_RDONLY, openat } from '../../src/kernel/sys.ts';
import { type Home, openHome } from '../../src/replica/home.ts';
import { ReplicaSession } from '../../src/replica/session.ts';
import { BlockLedger } from '../../src/source/block-ledger.ts';
import { Contents } from '../../src/source/contents.ts';
import { Session, type SharedReading } from '../../src/source/session.ts';
import { nameOf } from '../../src/tree/name-of.ts';
import { Recorder } from '../../src/tree/recorder.ts';
import { admitRoot } from '../../src/tree/source-check.ts';
import { TreeStore } from '../../src/tree/store.ts';
import { decodeToAgent, decodeToSource, encode } from '../../src/wire/codec.ts';
import { inlineMaxBytes } from '../../src/wire/messages.ts';
import { compareTrees } from '../oracle/compare-trees.ts';
import { randomFrom } from '../support/random.ts';
import { tempFolder } from '../support/temp-folder.ts';

const names = ['a', 'b', 'c', 'd', 'e'] as const;
const fileNames = ['f0', 'f1', 'f2'] as const;
/** Nothing more comes of so many turns in which nothing came. */
const quietTurns = 5;
const deadlineMs = 30_000;

type Draw = (below: number) => number;

function of<T>(draw: Draw, list: readonly T[]): T {
  const one = list[draw(list.length)];
  if (one === undefined) throw new Error('nothing to choose from');
  return one;
}

/** Somebody who moves folders most of the time. What cannot be done is left. */
class User {
  readonly done: string[] = [];
  readonly #root: string;
  readonly #draw: Draw;

  constructor(root: string, draw: Draw) {
    this.#root = root;
    this.#draw = draw;
  }

  act(times: number): void {
    for (let n = 0; n < times; n++) {
      try {
        this.#act();
      } catch {
        // Into itself, over what is not empty, or gone.
      }
    }
  }

  #act(): void {
    const draw = this.#draw;
    const kind = draw(20);
    const folder = of(draw, this.#folders());
    const file = join(folder, of(draw, fileNames));
    const name = join(folder, of(draw, names));
    const elsewhere = of(draw, this.#folders());
    if (kind < 6) {
      this.#do(`mkdir ${name}`, () => mkdirSync(name));
      this.#write(join(name, of(draw, fileNames)));
    } else if (kind < 8) this.#write(file);
    else if (kind === 8) this.#do(`rm ${file}`, () => rmSync(file));
    else if (kind === 9) this.#do(`ln ${file} ${elsewhere}/f2`, () => linkSync(file, join(elsewhere, 'f2')));
    else if (kind === 10) {
      const to = join(elsewhere, of(draw, fileNames));
      this.#do(`mv ${file} ${to}`, () => renameSync(file, to));
    } else if (kind === 11 && dirname(folder) !== dirname(this.#root))
      this.#do(`rm -r ${folder}`, () => rmSync(folder, { recursive: true }));
    else if (folder !== this.#root) {
      const to = join(elsewhere, of(draw, names));
      this.#do(`mv ${folder} ${to}`, () => renameSync(folder, to));
    }
  }

  #write(file: string): void {
    const size = this.#draw(4) === 0 ? inlineMaxBytes + 2 : this.#draw(200);
    this.#do(`write ${file}`, () => writeFileSync(file, Buffer.alloc(size, 97 + this.#draw(26))));
  }

  #do(what: string, act: () => void): void {
    act();
    this.done.push(what.replaceAll(this.#root, ''));
  }

  #folders(folder = this.#root): string[] {
    const below = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap(({ name }) => this.#folders(join(folder, name)));
    return [folder, ...below];
  }
}

/** The source's side for as long as one process lives. */
class Source implements Disposable {
  readonly store: TreeStore;
  readonly recorder: Recorder;
  readonly contents: Contents;
  readonly shared: SharedReading;
  readonly #events: EventSource;
  readonly #ledger: BlockLedger;
  readonly #rootFd: number;

  constructor(folder: string, state: string) {
    const root = bytesOfText(folder);
    this.#rootFd = check(openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY), 'open');
    this.store = TreeStore.open(state, { sourceId: '0d8c2a60-6e7c-4d4e-9a4c-5f0a1f6b7c11' });
    const { store } = this;
    this.#events = openEventSource({ root: this.#rootFd, nameOf: nameOf(store) }).source;
    this.recorder = new Recorder({ store, rootFd: this.#rootFd, source: this.#events });
    const isFirst = admitRoot(store, this.#rootFd, root, true);
    this.recorder.startScan(isFirst, true);
    this.contents = new Contents(store, root);
    this.#ledger = new BlockLedger(state, store.epoch);
    this.shared = { batch: undefined, ledger: this.#ledger, scanning: true };
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
    this.#ledger.close();
    this.store.close();
    close(this.#rootFd);
  }
}

/** Thrown at a step of the agent: it is gone from there on, as after SIGKILL. */
class Killed extends Error {}

interface LinkOptions {
  readonly init: boolean;
  /** It begins with a first contact, whatever the replica remembers. */
  readonly compares: boolean;
  /** The agent is killed at this step, counted from 1. */
  readonly killAt: number;
}

/** A session and an agent, and the frames on their way between them. */
class Link implements Disposable {
  readonly #home: Home;
  readonly #store: TreeStore;
  readonly #session: Session;
  readonly #agent: ReplicaSession;
  readonly #toAgent: Uint8Array[] = [];
  readonly #toSource: Uint8Array[] = [];
  readonly #synced: number[] = [];
  #steps = 0;

  constructor(source: Source, replica: string, { init, compares, killAt }: LinkOptions) {
    this.#home = openHome(replica);
    this.#store = TreeStore.open(this.#home.state, { journal: false });
    this.#session = new Session(
      source.store,
      source.contents,
      source.shared,
      {
        send: (message) => {
          const frame = encode(message);
          this.#toAgent.push(frame);
          return frame;
        },
        sendFrame: (frame) => this.#toAgent.push(frame),
        event: () => undefined,
      },
      { version: 'test', init, durability: 'none', hotFileMaxDelayMs: 2000, compares },
    );
    this.#agent = new ReplicaSession(this.#home, this.#store, {
      version: 'test',
      send: (message) => this.#toSource.push(encode(message)),
      sync: (cursor) => this.#synced.push(cursor),
      step: () => {
        if (++this.#steps === killAt) throw new Killed();
      },
    });
    this.#toSource.push(encode(this.#agent.hello()));
  }

  /** Some of what is to be done, or all of it. True when there was something. */
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
    return this.#agent.work() || hasMoved;
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

interface Meeting {
  readonly root: string;
  readonly state: string;
  readonly replicas: readonly string[];
  readonly user: User;
  readonly draw: Draw;
  readonly init: boolean;
  /** They begin with a first contact, whatever they remember. */
  readonly compares: boolean;
  /** How often the user acts meanwhile. */
  readonly actions: number;
  /** How often a connection is cut, or its agent killed. */
  readonly cuts: number;
}

interface Connected {
  readonly replica: string;
  link: Link;
  turns: number;
}

/** A source's life, with further ones where it is started anew, until all is quiet. */
function meet({ root, state, replicas, user, draw, init, compares, actions, cuts }: Meeting): void {
  let source = new Source(root, state);
  let actionsLeft = actions;
  let cutsLeft = cuts;
  const connect = (replica: string, isFirst: boolean): Connected => {
    const isToEnd = cutsLeft > 0;
    const killAt = isToEnd && draw(2) === 0 ? 1 + draw(30) : Infinity;
    const link = new Link(source, replica, { init, compares: compares && isFirst, killAt });
    return { replica, link, turns: isToEnd ? 1 + draw(40) : Infinity };
  };
  let all = replicas.map((replica) => connect(replica, true));
  const cut = (one: Connected, how: string): void => {
    user.done.push(`--- ${how}: ${basename(one.replica)}`);
    cutsLeft -= 1;
    one.link[Symbol.dispose]();
    if (draw(4) > 0) {
      Object.assign(one, connect(one.replica, false));
      return;
    }
    for (const { link } of all) if (link !== one.link) link[Symbol.dispose]();
    source[Symbol.dispose]();
    user.act(draw(3));
    source = new Source(root, state);
    user.done.push('--- the source was started anew');
    all = replicas.map((replica) => connect(replica, false));
  };
  const deadline = performance.now() + deadlineMs;
  for (let quiet = 0; quiet < quietTurns; ) {
    if (performance.now() > deadline) throw new Error(`not quiet in time:\n${user.done.join('\n')}`);
    const isLively = actionsLeft > 0;
    let hasMoved = isLively;
    if (isLively && draw(3) === 0) {
      actionsLeft -= 1;
      user.act(1 + draw(3));
    }
    if (!isLively || draw(2) === 0) source.listen();
    for (let n = isLively ? draw(4) : 4; n > 0; n--) hasMoved = source.step() || hasMoved;
    for (const one of [...all]) {
      // The source was started anew meanwhile.
      if (!all.includes(one)) break;
      try {
        hasMoved = one.link.turn(draw, isLively) || hasMoved;
        if (--one.turns === 0) cut(one, 'cut');
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
        cut(one, 'killed');
        hasMoved = true;
      }
    }
    const isDone = source.isAtRest && all.every(({ link }) => link.isIdle);
    quiet = hasMoved || !isDone ? 0 : quiet + 1;
  }
  for (const { link } of all) link[Symbol.dispose]();
  source[Symbol.dispose]();
}

/** A tree and its replicas; changes while fam is down; then connections beside the scan, while the user goes on. */
function history(folder: string, seed: number): void {
  const random = randomFrom(seed);
  const draw: Draw = (below) => Math.floor(random() * below);
  const [root, state] = [join(folder, 'source'), join(folder, 'state')];
  const replicas = Array.from({ length: 1 + draw(2) }, (_, n) => join(folder, `replica-${n + 1}`));
  for (const one of [root, state, ...replicas]) mkdirSync(one);
  const user = new User(root, draw);
  user.done.push(`seed ${seed}`);
  user.act(12 + draw(20));
  const place = { root, state, replicas, user, draw };
  meet({ ...place, init: true, compares: true, actions: 0, cuts: 0 });
  user.act(draw(8));
  user.done.push('--- the second start');
  const cuts = Math.max(0, draw(6) - 2);
  meet({ ...place, init: draw(2) === 0, compares: draw(2) === 0, actions: 10 + draw(20), cuts });
  for (const replica of replicas)
    expect(compareTrees(root, replica, { owner: true }), [...user.done, replica].join('\n')).toEqual([]);
}

const first = Number(process.env['FAM_SEED'] ?? 1);
const count = Number(process.env['FAM_HISTORIES'] ?? 120);

test('whatever moves, and whoever is killed, the replica is equal in the end', {
  timeout: 1000 * deadlineMs,
}, () => {
  const folder = tempFolder('fam-replica-histories', '/dev/shm');
  for (let seed = first; seed < first + count; seed++) {
    const own = join(folder, String(seed));
    mkdirSync(own);
    history(own, seed);
    rmSync(own, { recursive: true });
  }
});
