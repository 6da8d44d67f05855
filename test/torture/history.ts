// One history: a tree, its mirror and its replicas from the first sync through all rounds. After each round everything
// is equal to the letter, or the history has failed.

import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { compareTrees, type Difference } from '../oracle/compare-trees.ts';
import { Keepsakes } from '../support/keepsakes.ts';
import { kill } from '../support/processes.ts';
import { randomFrom } from '../support/random.ts';
import { homeOf } from '../support/replica-place.ts';
import { contradictions, contradictionsOfReplica } from '../support/tree/contradictions.ts';
import { Records } from './autopsy.ts';
import { isExcused, type Room, roomOf } from './excuses.ts';
import { FamProcess } from './fam-process.ts';
import { faults, type PlannedFault, type Scene, takeSnapshot } from './faults.ts';
import { type HistoryPlan, type RoundPlan, writersOf } from './plan.ts';
import { Reader } from './reader.ts';
import { GrowthWatch } from './resources.ts';
import { usesInotify } from './rows.ts';
import { scenarios } from './scenarios/scenario.ts';
import { SshHost } from './ssh-host.ts';
import { describeThreads } from './threads.ts';
import { World } from './world.ts';
import { Writer } from './writer.ts';

export interface Failure {
  readonly round: number;
  readonly kind:
    | 'differences'
    | 'not in time'
    | 'contradiction'
    | 'seen by a reader'
    | "a local user's"
    | 'crash'
    | 'growth';
  readonly details: readonly string[];
}

export interface HistoryResult {
  readonly failure: Failure | undefined;
  readonly rounds: number;
  readonly operations: number;
  readonly reads: number;
  /** Faults that really ran, by name. */
  readonly faults: Readonly<Record<string, number>>;
  /** Everything that fam logged. */
  readonly log: string;
}

/** For `fam wait`: what a heartbeat, a backoff and a rescan together may take, and a busy machine. */
const waitS = 90;
/** An agent to which nothing is said looks every five seconds for what has been mended. */
const mendedS = 20;
const maxPrinted = 25;
/** Exit codes after which a supervisor would start the mirror again: nobody could be reached, a replica was busy or full. */
const startAgainCodes = /fam mirror ended with (20|21|24|32|33)$/;
/** What no log of ours should hold. */
const crashLine =
  /internal error|"code":"INTERNAL"|TypeError|RangeError|ReferenceError|AssertionError|unhandled|Warning:/i;

let running: History | undefined;

/** Runs a plan once, one at a time. Never throws for what fam does. */
export async function runHistory(plan: HistoryPlan, onRound: (line: string) => void): Promise<HistoryResult> {
  const history = new History(plan, onRound);
  running = history;
  try {
    return await history.run();
  } finally {
    running = undefined;
    await history.close();
  }
}

/** Ends what runs at this moment, unmounts and removes it: for a signal. */
export async function abandonHistory(): Promise<void> {
  await running?.close();
}

class History {
  readonly #plan: HistoryPlan;
  readonly #onRound: (line: string) => void;
  readonly #world: World;
  readonly #growth = new GrowthWatch();
  readonly #keepsakes = new Keepsakes();
  /** Of each replica, where they differ. */
  readonly #rooms: readonly Room[] = [];
  readonly #faultsRun: Record<string, number> = {};
  readonly #closers: (() => Promise<void> | void)[] = [];
  #writers: Writer[] = [];
  #readers: Reader[] = [];
  #operations = 0;
  #reads = 0;
  #seenSurprises = 0;

  constructor(plan: HistoryPlan, onRound: (line: string) => void) {
    this.#plan = plan;
    this.#onRound = onRound;
    const scenario = plan.scenario === undefined ? {} : scenarios[plan.scenario];
    this.#world = new World(plan.options, scenario);
    // A source on ext4 holds no more than a replica there.
    if (scenario.isLastSmaller && plan.options.fs !== 'ext4')
      this.#rooms = this.#world.replicas.map(({ mount }) => roomOf(mount));
    this.#closers.push(() => this.#world.close());
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  async run(): Promise<HistoryResult> {
    const { rounds, options } = this.#plan;
    const host = options.transport === 'ssh' ? await SshHost.start() : undefined;
    if (host) this.#closers.push(() => host.close());
    for (let n = 0; n < writersOf(this.#plan); n++) this.#writers.push(await this.#writer('operations', n));
    const publisher = await this.#writer('publisher', 50);
    const burster = await this.#writer('operations', 51);
    await publisher.begin();
    const [first, ...others] = rounds;
    await this.#perform(first);
    const fam = this.#fam(host);
    this.#closers.push(() => this.#endFam(fam));
    fam.start();
    let failure = await this.#check(0, fam);
    this.#readers = this.#world.replicas.map(({ root }) => new Reader(root, this.#world.versions));
    for (const reader of this.#readers) this.#closers.push(() => reader.close());
    let done = 0;
    for (const [index, round] of others.entries()) {
      if (failure) break;
      for (const reader of this.#readers) reader.watch();
      publisher.publish();
      const writers = [...this.#writers, publisher, burster];
      await Promise.all([this.#perform(round), this.#goWrong(round.faults, { fam, host, burster, writers })]);
      await publisher.stopPublishing();
      failure = await this.#check(index + 1, fam);
      fam.mayEndWith([]);
      if (round.snapshot) for (const place of this.#world.replicas) takeSnapshot(place);
      done += 1;
    }
    for (const reader of this.#readers) this.#reads += await reader.rest();
    return {
      failure,
      rounds: done,
      operations: this.#operations,
      reads: this.#reads,
      faults: this.#faultsRun,
      log: fam.log,
    };
  }

  async #writer(mode: 'operations' | 'publisher', n: number): Promise<Writer> {
    const { path, uid, versions } = this.#world;
    const { seed, options } = this.#plan;
    const outerNames = !usesInotify(options);
    const writer = await Writer.start({ world: path, uid, mode, seed: seed + n, versions, outerNames });
    this.#closers.push(() => writer.close());
    return writer;
  }

  #fam(host: SshHost | undefined): FamProcess {
    const { source, state, replicas, uid } = this.#world;
    const roots = replicas.map(({ root }) => root);
    return new FamProcess({
      source,
      state,
      uid,
      roots,
      destinations: host === undefined ? roots : roots.map((root, n) => `web${n + 1}:${root}`),
      rsh: host?.rsh,
      monitor: this.#plan.options.monitor,
    });
  }

  async #endFam(fam: FamProcess): Promise<void> {
    await fam.close();
    kill(fam.agents(), 'SIGKILL');
    await fam.agentsGone();
  }

  async #perform(round: RoundPlan | undefined): Promise<void> {
    const lists = round?.operations ?? [];
    await Promise.all(this.#writers.map(async (writer, n) => writer.perform(lists[n] ?? [])));
    this.#operations += lists.reduce((sum, list) => sum + list.length, 0);
  }

  async #goWrong(
    planned: readonly PlannedFault[],
    scene: Pick<Scene, 'fam' | 'host' | 'burster' | 'writers'>,
  ): Promise<void> {
    const from = performance.now();
    for (const { name, atMs, seed } of planned) {
      await delay(Math.max(0, atMs - (performance.now() - from)));
      const random = randomFrom(seed);
      scene.fam.log += `--- fault ${Date.now()} ${name}\n`;
      await faults[name]?.run({
        ...scene,
        world: this.#world,
        keepsakes: this.#keepsakes,
        readers: this.#readers,
        draw: (n) => Math.floor(random() * n),
      });
      this.#faultsRun[name] = (this.#faultsRun[name] ?? 0) + 1;
    }
  }

  /** After a round: all quiet, the barrier, and then I1 to the letter. */
  async #check(round: number, fam: FamProcess): Promise<Failure | undefined> {
    const from = performance.now();
    const late = (await this.#barrier(fam)) ?? (await this.#mended(fam));
    if (late !== undefined) {
      const pids = [fam.pid ?? -1, ...fam.agents().map(({ pid }) => pid)];
      const threads = await describeThreads(pids);
      const differing = this.#differences();
      const contradicting = this.#contradictions().slice(0, maxPrinted);
      const autopsy = await this.#autopsy(fam, differing);
      const details = [...late, ...threads, ...contradicting, ...describe(differing), ...autopsy];
      return { round, kind: 'not in time', details };
    }
    const waitedMs = performance.now() - from;
    const differing = this.#differences();
    if (differing.length > 0) {
      await delay(3000);
      const stay = this.#differences().length;
      return {
        round,
        kind: 'differences',
        details: [
          `(${stay} of them stay after 3 s)`,
          ...describe(differing),
          ...(await this.#autopsy(fam, differing)),
        ],
      };
    }
    const violations = this.#readers.flatMap(({ violations: seen }, n) =>
      seen.map(({ name, what, at }) => `replica ${n + 1}: ${name}: ${what} (at ${at})`),
    );
    if (violations.length > 0) return { round, kind: 'seen by a reader', details: violations };
    const touched = this.#keepsakes.violations();
    if (touched.length > 0) return { round, kind: "a local user's", details: touched.slice(0, maxPrinted) };
    const contradicting = this.#contradictions();
    if (contradicting.length > 0)
      return { round, kind: 'contradiction', details: contradicting.slice(0, maxPrinted) };
    const crashes = fam.log.split('\n').filter((line) => crashLine.test(line));
    if (crashes.length > 0) return { round, kind: 'crash', details: crashes.slice(0, maxPrinted) };
    const grown = [
      ...(fam.pid === undefined ? [] : this.#growth.sample('source', fam.pid)),
      ...fam.agents().flatMap(({ pid }) => this.#growth.sample('agent', pid)),
    ];
    if (grown.length > 0) return { round, kind: 'growth', details: grown };
    this.#onRound(`round ${round}: equal, waited ${Math.round(waitedMs)} ms`);
    return undefined;
  }

  /** Why the barrier was not reached, or undefined when it was. */
  async #barrier(fam: FamProcess): Promise<string[] | undefined> {
    const deadline = performance.now() + (waitS + 30) * 1000;
    for (;;) {
      const surprise = fam.surprises.slice(this.#seenSurprises).find((one) => !startAgainCodes.test(one));
      this.#seenSurprises = fam.surprises.length;
      if (surprise !== undefined) return [surprise, ...fam.log.split('\n').slice(-15)];
      if (!fam.isRunning) fam.start();
      const { code, output } = await fam.control('wait', '--timeout', String(waitS));
      if (code === 0) return undefined;
      const notRunning = code === 41;
      if (!notRunning || performance.now() > deadline) {
        const status = await fam.control('status', '--json');
        return [
          `fam wait ended with ${code}: ${output.trim()}`,
          status.output.trim(),
          ...fam.log.split('\n').slice(-15),
        ];
      }
      await delay(100);
    }
  }

  /**
   * What had failed in locked folders comes in a moment; what only a comparison brings, with the next connection. Why it has not, or
   * undefined.
   */
  async #mended(fam: FamProcess): Promise<string[] | undefined> {
    if (this.#plan.scenario !== 'locked-folders') return undefined;
    for (let tries = 0; tries < 2; tries++) {
      const deadline = performance.now() + mendedS * 1000;
      for (;;) {
        const { output } = await fam.control('status', '--json');
        if (!/"failed":[1-9]/.test(output)) return this.#barrier(fam);
        if (performance.now() > deadline) break;
        await delay(200);
      }
      await fam.end('SIGTERM');
      await fam.agentsGone();
      const late = await this.#barrier(fam);
      if (late !== undefined) return late;
    }
    const { output } = await fam.control('status', '--json');
    return ['something stays failed', output.trim(), ...fam.log.split('\n').slice(-15)];
  }

  /** In the records of either side. */
  #contradictions(): string[] {
    const { state, replicas } = this.#world;
    return [
      ...contradictions(state),
      ...replicas.flatMap((place, n) =>
        contradictionsOfReplica(join(homeOf(place), 'state'), place.root).map(
          (what) => `replica ${n + 1}: ${what}`,
        ),
      ),
    ];
  }

  #differences(): ReplicaDifference[] {
    const { source, replicas } = this.#world;
    const isRoot = this.#plan.options.user === 'root';
    return replicas.flatMap(({ root }, replica) => {
      let found: Difference[];
      try {
        found = compareTrees(source, root, { ignore: ['.fam'], owner: isRoot });
      } catch (error) {
        found = [{ path: '', what: `cannot be compared: ${String(error)}` }];
      }
      const room = this.#rooms[replica];
      if (room !== undefined)
        found = found.filter((difference) => !isExcused(difference, source, room, root));
      return found.slice(0, maxPrinted).map((difference) => ({ ...difference, replica }));
    });
  }

  /** What both sides' records say of the first few paths that differ. Ends the mirror. */
  async #autopsy(fam: FamProcess, differing: readonly ReplicaDifference[]): Promise<string[]> {
    await fam.end('SIGTERM');
    await fam.agentsGone();
    try {
      using tree = new Records(this.#world.state);
      return differing.slice(0, 4).flatMap(({ replica, path }) => {
        const place = this.#world.replicas[replica];
        if (place === undefined) return [];
        using mirrored = new Records(join(homeOf(place), 'state'));
        return [
          `records of ${show(path)}:`,
          `  source:    ${tree.describe(path)}`,
          `  replica ${replica + 1}: ${mirrored.describe(path)}`,
          `  left behind there: ${leftBehind(homeOf(place)).slice(0, 20).map(show).join(' ') || 'nothing'}`,
          ...namesOutside(homeOf(place), `${place.root}/${path}`),
        ];
      });
    } catch (error) {
      return [`no autopsy: ${String(error)}`];
    }
  }
}

/** What is in a replica's own folders when all is quiet: nothing should be. */
function leftBehind(home: string): string[] {
  return ['staging', 'limbo'].flatMap((folder) =>
    readdirSync(join(home, folder), { recursive: true, encoding: 'latin1' }).map(
      (name) => `${folder}/${name}`,
    ),
  );
}

/** Where a replica's own folders have the inode too, and what the trash's list says of it. */
function namesOutside(home: string, path: string): string[] {
  const inodeAt = (bytes: string): number | undefined =>
    lstatSync(Buffer.from(bytes, 'latin1'), { throwIfNoEntry: false })?.ino;
  const inode = inodeAt(path);
  const names = readdirSync(home, { recursive: true, encoding: 'latin1' }).filter(
    (name) => lstatSync(Buffer.from(`${home}/${name}`, 'latin1'), { throwIfNoEntry: false })?.ino === inode,
  );
  const list = join(home, 'trash/list.jsonl');
  const lines = existsSync(list) ? readFileSync(list, 'utf8').split('\n') : [];
  return names.flatMap((name) => [
    `  the same inode: ${show(name)}`,
    ...lines
      .filter((line) => line.includes(`"kept":"${name.split('/')[1]}"`))
      .map((line) => `    ${line.slice(0, 300)}`),
  ]);
}

interface ReplicaDifference extends Difference {
  readonly replica: number;
}

function describe(differing: readonly ReplicaDifference[]): string[] {
  return differing.map(
    ({ replica, path, what }) => `replica ${replica + 1}: ${show(path)}: ${show(what).slice(0, 300)}`,
  );
}

function show(bytes: string): string {
  return JSON.stringify(bytes);
}
