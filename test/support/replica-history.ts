// Random histories of one or two replicas, one step at a time: source, scan, walk, journal and agent take turns in any order while folders move
// about, connections are cut, agents killed, sources started anew. Replicas hand on what they get, lose their state, are restored from an older
// copy or promoted, and local users change them. What is listed twice, or never, because it moved meanwhile arrives all the same. Real events, real
// folders, in one thread: some hundred times as many as torture does in the same time.

import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { promote } from '../../src/replica/promotion.ts';
import { inlineMaxBytes } from '../../src/wire/messages.ts';
import { compareTrees } from '../oracle/compare-trees.ts';
import { digestsByPath, Keepsakes } from './keepsakes.ts';
import { LocalUsers } from './local-users.ts';
import { foldersIn, Locks } from './locks.ts';
import { randomFrom } from './random.ts';
import { homeOf, type ReplicaPlace, trashOf } from './replica-place.ts';
import { type Draw, Killed, SteppedLink, SteppedSource } from './stepped-mirror.ts';
import { tempFolder } from './temp-folder.ts';
import { contradictions, contradictionsOfReplica } from './tree/contradictions.ts';

const names = ['a', 'b', 'c', 'd', 'e'] as const;
const fileNames = ['f0', 'f1', 'f2'] as const;
/** Nothing more comes of so many turns in which nothing came. */
const quietTurns = 5;
const deadlineMs = 30_000;

function of<T>(draw: Draw, list: readonly T[]): T {
  const one = list[draw(list.length)];
  if (one === undefined) throw new Error('nothing to choose from');
  return one;
}

/** Somebody who moves folders most of the time. What cannot be done is left. */
class User {
  readonly done: string[];
  readonly #draw: Draw;
  #root: string;
  #size = 0;

  constructor(root: string, draw: Draw, done: string[]) {
    this.#root = root;
    this.#draw = draw;
    this.done = done;
  }

  /** To the server that has taken over. */
  moveTo(root: string): void {
    this.#root = root;
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
    const folder = of(draw, foldersIn(this.#root));
    const file = join(folder, of(draw, fileNames));
    const name = join(folder, of(draw, names));
    const elsewhere = of(draw, foldersIn(this.#root));
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
    // Never the same twice: by size and time of the machine's clock tick two contents could be taken for one.
    this.#size += 1 + this.#draw(3);
    const size = this.#size + (this.#draw(4) === 0 ? inlineMaxBytes : 0);
    this.#do(`write ${file}`, () => writeFileSync(file, Buffer.alloc(size, 97 + this.#draw(26))));
  }

  #do(what: string, act: () => void): void {
    act();
    this.done.push(what.replaceAll(this.#root, ''));
  }
}

interface Server {
  readonly place: ReplicaPlace;
  /** Of its mirror, when it is the main. */
  readonly state: string;
  readonly localUsers: LocalUsers | undefined;
  readonly locks: Locks | undefined;
  /** The source may remove what this replica cannot tell that it is fam's. */
  hasConsent: boolean;
}

interface Scene {
  readonly main: Server;
  readonly replicas: readonly Server[];
  /** Gets what the first replica gets, from there. */
  readonly last: Server | undefined;
  readonly user: User;
  readonly keepsakes: Keepsakes;
  readonly draw: Draw;
}

interface Meeting {
  readonly init: boolean;
  /** They begin with a first contact, whatever they remember. */
  readonly compares: boolean;
  /** How often the user acts meanwhile. */
  readonly actions: number;
  /** How often a connection is cut, or its agent killed. */
  readonly cuts: number;
  /** What is lost, or comes back as an older one, while a connection is cut. */
  readonly hasMishaps: boolean;
  /** After so many turns the main and all agents die, whatever they are at. */
  readonly diesAfter: number;
}

interface Connected {
  readonly replica: Server;
  link: SteppedLink;
  turns: number;
}

/** The first replica hands on what it gets. */
class HandingOn implements Disposable {
  readonly #source: SteppedSource;
  readonly #connect: () => SteppedLink;
  #link: SteppedLink;

  constructor({ replicas, last, user, draw }: Scene) {
    const [first] = replicas;
    if (first === undefined || last === undefined) throw new Error('nobody hands on');
    this.#source = new SteppedSource(first.place.root, first.state);
    this.#connect = () =>
      new SteppedLink(this.#source, last.place.root, {
        init: true,
        trusted: true,
        compares: draw(4) === 0,
        killAt: draw(3) === 0 ? 1 + draw(60) : Infinity,
        trace: isTraced ? (line) => user.done.push(`${nameOf(last)} ${line()}`) : undefined,
      });
    this.#link = this.#connect();
  }

  turn(draw: Draw, isLively: boolean): boolean {
    let hasMoved = false;
    if (!isLively || draw(2) === 0) this.#source.listen();
    for (let n = isLively ? draw(4) : 4; n > 0; n--) hasMoved = this.#source.step() || hasMoved;
    try {
      return this.#link.turn(draw, isLively) || hasMoved;
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      this.#link[Symbol.dispose]();
      this.#link = this.#connect();
      return true;
    }
  }

  get isDone(): boolean {
    return this.#source.isAtRest && this.#link.isIdle;
  }

  [Symbol.dispose](): void {
    this.#link[Symbol.dispose]();
    this.#source[Symbol.dispose]();
  }
}

/** A source's life, with further ones where it is started anew, until all is quiet. */
class Meet {
  readonly #scene: Scene;
  readonly #meeting: Meeting;
  #source: SteppedSource;
  #hasLostState = false;
  #cutsLeft: number;
  #all: Connected[];
  readonly #handingOn: HandingOn | undefined;

  constructor(scene: Scene, meeting: Meeting) {
    this.#scene = scene;
    this.#meeting = meeting;
    this.#source = new SteppedSource(scene.main.place.root, scene.main.state);
    this.#cutsLeft = meeting.cuts;
    this.#all = scene.replicas.map((replica) => this.#connect(replica, true));
    this.#handingOn = scene.last === undefined ? undefined : new HandingOn(scene);
  }

  run(): void {
    const { user, draw, replicas } = this.#scene;
    const deadline = performance.now() + deadlineMs;
    let actionsLeft = this.#meeting.actions;
    let turns = 0;
    for (let quiet = 0; quiet < quietTurns && turns++ < this.#meeting.diesAfter; ) {
      if (performance.now() > deadline) throw new Error('not quiet in time');
      const isLively = actionsLeft > 0;
      if (isLively && draw(3) === 0) {
        actionsLeft -= 1;
        user.act(1 + draw(3));
        for (const replica of replicas) if (draw(3) === 0) this.#letLocalUsersAct(replica);
        for (const { locks } of replicas) if (draw(3) === 0) locks?.act();
        if (actionsLeft === 0) for (const { locks } of replicas) locks?.openAll();
      }
      const hasMoved = this.#turn(isLively);
      const isIdle = this.#source.isAtRest && this.#all.every(({ link }) => link.isIdle);
      const isDone = isIdle && this.#handingOn?.isDone !== false;
      quiet = isLively || hasMoved || !isDone ? 0 : quiet + 1;
    }
    this.#end();
    this.#handingOn?.[Symbol.dispose]();
  }

  #turn(isLively: boolean): boolean {
    const { draw } = this.#scene;
    let hasMoved = false;
    if (!isLively || draw(2) === 0) this.#source.listen();
    for (let n = isLively ? draw(4) : 4; n > 0; n--) hasMoved = this.#source.step() || hasMoved;
    for (const one of [...this.#all]) {
      // The source was started anew meanwhile.
      if (!this.#all.includes(one)) break;
      try {
        hasMoved = one.link.turn(draw, isLively) || hasMoved;
        if (--one.turns === 0) this.#cut(one, 'cut');
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
        this.#cut(one, 'killed');
        hasMoved = true;
      }
    }
    return this.#handingOn?.turn(draw, isLively) === true || hasMoved;
  }

  #connect(replica: Server, isFirst: boolean): Connected {
    const { draw, user, main } = this.#scene;
    const { init, compares } = this.#meeting;
    const isToEnd = this.#cutsLeft > 0;
    const link = new SteppedLink(this.#source, replica.place.root, {
      init: init || replica.hasConsent,
      // A replica that was empty when it took over has no records of its own, either (I4).
      trusted: this.#hasLostState || readdirSync(main.place.root).length === 0,
      compares: compares && isFirst,
      killAt: isToEnd && draw(2) === 0 ? 1 + draw(30) : Infinity,
      trace: isTraced ? (line) => user.done.push(`${nameOf(replica)} ${line()}`) : undefined,
    });
    return { replica, link, turns: isToEnd ? 1 + draw(40) : Infinity };
  }

  #cut(one: Connected, how: string): void {
    const { draw, user, main } = this.#scene;
    user.done.push(`--- ${how}: ${nameOf(one.replica)}`);
    this.#cutsLeft -= 1;
    one.link[Symbol.dispose]();
    if (this.#meeting.hasMishaps) this.#mishap(one.replica);
    if (draw(4) > 0) {
      Object.assign(one, this.#connect(one.replica, false));
      return;
    }
    this.#all = this.#all.filter((other) => other !== one);
    this.#end();
    user.act(draw(3));
    if (this.#meeting.hasMishaps && draw(4) === 0) {
      rmSync(main.state, { recursive: true });
      mkdirSync(main.state);
      this.#hasLostState = true;
      user.done.push("--- the source's state was lost");
    }
    this.#source = new SteppedSource(main.place.root, main.state);
    user.done.push('--- the source was started anew');
    this.#all = this.#scene.replicas.map((replica) => this.#connect(replica, false));
  }

  /** What befalls a replica while no agent runs. */
  #mishap(replica: Server): void {
    const { draw, user, keepsakes } = this.#scene;
    const { place } = replica;
    const older = join(place.mount, 'older');
    for (let n = draw(3); n > 0; n--) this.#letLocalUsersAct(replica);
    switch (draw(8)) {
      case 0:
        rmSync(join(homeOf(place), 'state'), { recursive: true, force: true });
        user.done.push(`--- ${nameOf(replica)} has lost its state`);
        break;
      case 1: {
        if (!existsSync(older)) return;
        const withState = draw(2) === 0;
        for (const [kept, to] of [
          ['root', place.root],
          ...(withState ? [['home', homeOf(place)] as const] : []),
        ] as const) {
          rmSync(to, { recursive: true, force: true });
          execFileSync('cp', ['-a', join(older, kept), to]);
        }
        keepsakes.forgetTrash(trashOf(place));
        user.done.push(`--- ${nameOf(replica)} was restored ${withState ? 'with' : 'without'} its state`);
        break;
      }
      case 2:
        rmSync(older, { recursive: true, force: true });
        mkdirSync(older);
        execFileSync('cp', ['-a', place.root, join(older, 'root')]);
        execFileSync('cp', ['-a', homeOf(place), join(older, 'home')]);
        user.done.push(`--- ${nameOf(replica)} was copied`);
        return;
      default:
        return;
    }
    replica.hasConsent = true;
  }

  #letLocalUsersAct({ localUsers, place }: Server): void {
    localUsers?.act(true);
    localUsers?.settle(trashOf(place));
  }

  #end(): void {
    for (const { link } of this.#all) link[Symbol.dispose]();
    this.#source[Symbol.dispose]();
  }
}

function nameOf({ place }: Server): string {
  return basename(place.mount);
}

/**
 * A tree and its replicas; changes while fam is down; then connections beside the scan, while the user goes on.
 * @param done what happens is added to it
 * @returns what is not as it should be in the end
 */
async function history(folder: string, seed: number, done: string[]): Promise<string[]> {
  const random = randomFrom(seed);
  const draw: Draw = (below) => Math.floor(random() * below);
  const keepsakes = new Keepsakes();
  const hasMishaps = draw(3) === 0;
  const hasLocalUsers = draw(4) === 0;
  const takeovers = hasMishaps || hasLocalUsers || draw(2) === 0 ? 0 : 1 + draw(2);
  const hasLocks = !hasMishaps && !hasLocalUsers && takeovers === 0 && draw(2) === 0;
  const say = (what: string): void => {
    done.push(`local user: ${what.replaceAll(folder, '')}`);
  };
  const makeServer = (name: string): Server => {
    const mount = join(folder, name);
    const place = { mount, root: join(mount, 'root') };
    const state = join(mount, 'mirror');
    for (const one of [place.root, state]) mkdirSync(one, { recursive: true });
    const localUsers = hasLocalUsers ? new LocalUsers(place, 0, keepsakes, draw, say) : undefined;
    const locks = hasLocks ? new Locks(place.root, draw, say) : undefined;
    onTestFinished(() => locks?.openAll());
    return { place, state, localUsers, locks, hasConsent: false };
  };
  const main = makeServer('main');
  const replicas = Array.from({ length: 1 + draw(2) }, (_, n) => makeServer(`replica-${n + 1}`));
  const user = new User(main.place.root, draw, done);
  const isChain = !hasMishaps && !hasLocalUsers && takeovers === 0 && draw(2) === 0;
  const last = isChain ? makeServer('last') : undefined;
  let scene: Scene = { main, replicas, last, user, keepsakes, draw };
  const calm = { actions: 0, cuts: 0, hasMishaps: false, diesAfter: Infinity };
  user.act(12 + draw(20));
  new Meet(scene, { ...calm, init: true, compares: true }).run();
  for (let n = 0; n < takeovers; n++) {
    scene = await takeOver(scene);
    new Meet(scene, { ...calm, init: true, compares: true }).run();
  }
  user.act(draw(8));
  done.push('--- the second start');
  const cuts = draw(4) === 0 ? 4 + draw(6) : Math.max(0, draw(6) - 2);
  const [init, compares] = [draw(2) === 0, draw(2) === 0];
  new Meet(scene, { ...calm, init, compares, actions: 10 + draw(20), cuts, hasMishaps }).run();
  // What could not go to the trash is for the next comparison, which is due then.
  if (hasLocks) new Meet(scene, { ...calm, init: true, compares: false }).run();
  if (hasLocalUsers || takeovers > 0) new Meet(scene, { ...calm, init: true, compares: true }).run();
  const { place, state } = scene.main;
  const followers = last === undefined ? scene.replicas : [...scene.replicas, last];
  return [
    ...contradictions(state),
    ...followers.flatMap((one) => contradictionsOfReplica(join(homeOf(one.place), 'state'), one.place.root)),
    ...keepsakes.violations(),
    ...followers.flatMap((one) =>
      compareTrees(place.root, one.place.root, { owner: true })
        // The time of a root that was locked comes with the next change at the top (docs/open-work.md).
        .filter(({ path, what }) => !hasLocks || path !== '' || !what.startsWith('mtime'))
        .map(({ path, what }) => `${nameOf(one)}: ${path}: ${what}`),
    ),
  ];
}

/** The main dies in the middle of its work, and another server takes its place. Whatever only the old one has is kept when it comes back. */
async function takeOver(scene: Scene): Promise<Scene> {
  const { main, replicas, user, draw, keepsakes } = scene;
  const init = draw(2) === 0;
  new Meet(scene, {
    init,
    compares: false,
    actions: 10,
    cuts: 0,
    hasMishaps: false,
    diesAfter: draw(40),
  }).run();
  user.done.push('--- the main died');
  user.act(draw(3));
  const [next, ...others] = replicas;
  if (next === undefined) throw new Error('nobody can take over');
  await promote(next.place.root, { force: false });
  // What had lost its name there, and was to get another one, is in its trash.
  const arrived = new Set(
    [next.place.root, trashOf(next.place)].flatMap((at) => [...digestsByPath(at).values()]),
  );
  const onlyThere = [...digestsByPath(main.place.root)].filter(([, content]) => !arrived.has(content));
  keepsakes.expectInTrash(
    trashOf(main.place),
    onlyThere.map(([path, digest]) => ({ path, digest })),
  );
  user.done.push(`--- ${nameOf(next)} took over`);
  user.moveTo(next.place.root);
  return { ...scene, main: next, replicas: [...others, main] };
}

/** Each message and each step among what a failure prints. */
const isTraced = process.env['FAM_TRACE'] === '1';

/**
 * One history after another, each in a folder of its own.
 * @param count how many; the environment (`FAM_HISTORIES`) may say otherwise, and with which seed they begin (`FAM_SEED`)
 */
export async function runHistories(count: number): Promise<void> {
  const first = Number(process.env['FAM_SEED'] ?? 1);
  const last = first + Number(process.env['FAM_HISTORIES'] ?? count) - 1;
  const folder = tempFolder('fam-replica-histories', '/dev/shm');
  for (let seed = first; seed <= last; seed++) {
    const own = join(folder, String(seed));
    mkdirSync(own);
    const done = [`seed ${seed}`];
    const found = await history(own, seed, done).catch((error: unknown) => {
      throw new Error(done.join('\n'), { cause: error });
    });
    expect(found, done.join('\n')).toEqual([]);
    rmSync(own, { recursive: true });
  }
}

/** Milliseconds for a test that runs some: far above what they take. */
export const historiesTimeout = 1000 * deadlineMs;
