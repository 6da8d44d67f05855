// Random histories of one replica, one step at a time: source, scan, walk, journal and agent take turns in any order while folders move
// about, connections are cut, agents killed and sources started anew. What is listed twice, or never, because it moved meanwhile arrives all
// the same. Real events, real folders, in one thread: some hundred times as many as torture does in the same time.

import { linkSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { bytesOfText } from '../../src/core/name.ts';
import type { EventSource } from '../../src/kernel/event-source.ts';
import { openEventSource } from '../../src/kernel/open-event-source.ts';
import { AT_FDCWD, check, close, O_DIRECTORY, O_RDONLY, openat } from '../../src/kernel/sys.ts';
import { openHome } from '../../src/replica/home.ts';
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

interface Meeting {
  readonly root: string;
  readonly state: string;
  readonly replica: string;
  readonly user: User;
  readonly draw: Draw;
  readonly init: boolean;
  /** It begins with a first contact, whatever the replica remembers. */
  readonly compares: boolean;
  /** How often the user acts meanwhile. */
  readonly actions: number;
  /** How often the connection is cut, or the agent killed. */
  readonly cuts: number;
}

/** A source's life, with further ones where it is started anew, until all is quiet. */
function meet({ root, state, replica, user, draw, init, compares, actions, cuts }: Meeting): void {
  let source = new Source(root, state);
  let left = actions;
  const deadline = performance.now() + deadlineMs;
  for (let cut = 0; ; cut++) {
    const isLast = cut === cuts;
    const turns = isLast ? Infinity : 1 + draw(40);
    const killAt = isLast || draw(2) === 0 ? Infinity : 1 + draw(30);
    try {
      if (connect(turns, killAt, compares && cut === 0)) break;
      user.done.push('--- cut');
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      user.done.push('--- killed');
    }
    if (draw(3) > 0) continue;
    source[Symbol.dispose]();
    user.act(draw(3));
    source = new Source(root, state);
    user.done.push('--- started anew');
  }
  source[Symbol.dispose]();

  /** True when all is quiet, false when it was cut. */
  function connect(turns: number, killAt: number, isFirst: boolean): boolean {
    const home = openHome(replica);
    const agentStore = TreeStore.open(home.state, { journal: false });
    const toAgent: Uint8Array[] = [];
    const toSource: Uint8Array[] = [];
    const session = new Session(
      source.store,
      source.contents,
      source.shared,
      {
        send: (message) => {
          const frame = encode(message);
          toAgent.push(frame);
          return frame;
        },
        sendFrame: (frame) => toAgent.push(frame),
        event: () => undefined,
      },
      { version: 'test', init, durability: 'none', hotFileMaxDelayMs: 2000, compares: isFirst },
    );
    const synced: number[] = [];
    let steps = 0;
    let agent: ReplicaSession | undefined;
    try {
      agent = new ReplicaSession(home, agentStore, {
        version: 'test',
        send: (message) => toSource.push(encode(message)),
        sync: (cursor) => synced.push(cursor),
        step: () => {
          if (++steps === killAt) throw new Killed();
        },
      });
      toSource.push(encode(agent.hello()));
      for (let quiet = 0, turn = 0; quiet < quietTurns; turn++) {
        if (turn >= turns) return false;
        if (performance.now() > deadline) throw new Error(`not quiet in time:\n${user.done.join('\n')}`);
        const isLively = left > 0;
        let hasMoved = isLively;
        if (isLively && draw(3) === 0) {
          left -= 1;
          user.act(1 + draw(3));
        }
        if (!isLively || draw(2) === 0) source.listen();
        for (let n = isLively ? draw(4) : 4; n > 0; n--) hasMoved = source.step() || hasMoved;
        for (const frame of toSource.splice(0, isLively ? 1 + draw(3) : Infinity)) {
          session.receive(decodeToSource(frame));
          hasMoved = true;
        }
        for (let n = isLively ? 1 + draw(3) : 9; n > 0; n--)
          hasMoved = session.pump(performance.now()) || hasMoved;
        for (const frame of toAgent.splice(0, isLively ? draw(4) : Infinity)) {
          agent.receive(decodeToAgent(frame), frame.length);
          hasMoved = true;
        }
        for (const cursor of synced.splice(0)) agent.synced(cursor);
        agent.flush(true);
        hasMoved = agent.work() || hasMoved;
        const isDone =
          toSource.length + toAgent.length === 0 && source.isAtRest && session.wakeAt === undefined;
        quiet = hasMoved || !isDone ? 0 : quiet + 1;
      }
      return true;
    } finally {
      session.close();
      agent?.close();
      agentStore.close();
      home.close();
    }
  }
}

/** A tree and its replica; changes while fam is down; then a connection beside the scan, while the user goes on. */
function history(folder: string, seed: number): void {
  const random = randomFrom(seed);
  const draw: Draw = (below) => Math.floor(random() * below);
  const [root, replica, state] = [join(folder, 'source'), join(folder, 'replica'), join(folder, 'state')];
  for (const one of [root, replica, state]) mkdirSync(one);
  const user = new User(root, draw);
  user.done.push(`seed ${seed}`);
  user.act(12 + draw(20));
  const place = { root, state, replica, user, draw };
  meet({ ...place, init: true, compares: true, actions: 0, cuts: 0 });
  user.act(draw(8));
  user.done.push('--- the second start');
  const cuts = Math.max(0, draw(6) - 2);
  meet({ ...place, init: draw(2) === 0, compares: draw(2) === 0, actions: 10 + draw(20), cuts });
  const differences = compareTrees(root, replica, { owner: true });
  expect(differences, user.done.join('\n')).toEqual([]);
}

/** Beyond those that always run: each found something. */
const further = [1355, 100008, 200631];
const first = Number(process.env['FAM_SEED'] ?? 1);
const count = Number(process.env['FAM_HISTORIES'] ?? 120);

test('whatever moves, and whoever is killed, the replica is equal in the end', {
  timeout: 1000 * deadlineMs,
}, () => {
  const folder = tempFolder('fam-replica-histories', '/dev/shm');
  for (const seed of [...Array.from({ length: count }, (_, n) => first + n), ...further]) {
    const own = join(folder, String(seed));
    mkdirSync(own);
    history(own, seed);
    rmSync(own, { recursive: true });
  }
});
