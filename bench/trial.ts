import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { probeName } from './compare.ts';
import { cpuSeconds, loopbackBytes } from './counters.ts';
import type { Lab } from './lab.ts';
import { pause } from './pause.ts';
import type { Job, Peer } from './peers/peer.ts';
import { round } from './stats.ts';
import { buildTree, copyTree, removeTree, repairTree, type Tree } from './trees.ts';

/** Names end in their unit: Ms, Seconds, Bytes, MiB, Count, MiBPerSecond. */
export type Metrics = Record<string, number>;

/** What one trial found out about one variant of its workload. */
export interface Figure {
  readonly variant: string;
  readonly ok: boolean;
  readonly metrics: Metrics;
  /** Why not ok, or what a reader has to know. */
  readonly note?: string;
  /** Raw latencies in ms, for the plots. */
  readonly samples?: readonly number[];
}

/** A peer that ended this often before it had copied anything will not come to life. */
const mostRestarts = 5;

export class TooLong extends Error {}

/** How large and how long; `quick` proves that everything runs, its figures are not for comparison. */
export interface Scale {
  readonly quick: boolean;
  readonly factor: number;
}

export interface SeedOptions {
  /** Replicas start equal to the source. */
  readonly seeded: boolean;
  /** Keep the source that an earlier trial left, where this one does not change it by more than a few files. */
  readonly reuse?: boolean;
}

/** One peer, one workload, once. */
export class Trial {
  readonly lab: Lab;
  readonly peer: Peer;
  readonly replicas: number;
  readonly scale: Scale;
  readonly #deadline: number;
  #bytesBefore = 0;
  #cpuBefore = 0;

  constructor(lab: Lab, peer: Peer, replicas: number, scale: Scale, limitSeconds: number) {
    this.lab = lab;
    this.peer = peer;
    this.replicas = replicas;
    this.scale = scale;
    this.#deadline = Date.now() + limitSeconds * 1000;
  }

  /** `full` at full scale, a tenth or less of it in a quick run. */
  scaled(full: number): number {
    return Math.max(1, Math.round(full * this.scale.factor));
  }

  /** `wantedMs`, or what is left of the trial's time; throws TooLong when that is nothing. */
  within(wantedMs: number): number {
    const left = this.#deadline - Date.now();
    if (left <= 0) throw new TooLong('the trial has used up its time');
    return Math.min(wantedMs, left);
  }

  async seed(tree: Tree, options: SeedOptions): Promise<Job> {
    const state = `${this.lab.scratch}/state`;
    removeTree(state);
    mkdirSync(state);
    buildTree(this.lab.source, tree, options.reuse === true);
    const replicas = Array.from({ length: this.replicas }, (_, index) => this.lab.replica(index));
    for (const replica of replicas) {
      if (options.seeded && options.reuse === true) repairTree(this.lab.source, replica);
      else {
        removeTree(replica);
        mkdirSync(replica, { recursive: true });
        if (options.seeded) copyTree(this.lab.source, replica);
      }
    }
    await this.lab.startServers(this.replicas);
    return { source: this.lab.source, replicas, state };
  }

  /** Starts the peer and waits until a probe file arrives everywhere; the seconds that took. */
  async begin(job: Job, timeoutMs = 90_000): Promise<number> {
    const start = Date.now();
    await this.peer.start(job);
    if (!this.peer.oneShot && !(await this.#probe(job, this.within(timeoutMs)))) {
      throw new Error(`${this.peer.name} never became live: the probe did not arrive`);
    }
    const live = (Date.now() - start) / 1000;
    await pause(this.peer.oneShot ? 0 : 1000);
    return round(live, 2);
  }

  mark(): void {
    this.#bytesBefore = loopbackBytes();
    this.#cpuBefore = cpuSeconds();
  }

  /** What the network and the processors had to do since mark(). */
  cost(): { wireBytes: number; cpuSeconds: number } {
    return {
      wireBytes: loopbackBytes() - this.#bytesBefore,
      cpuSeconds: round(cpuSeconds() - this.#cpuBefore, 2),
    };
  }

  /** Writes the probe again each 10 s: a peer that was not watching yet may miss the first one. */
  async #probe(job: Job, timeoutMs: number): Promise<boolean> {
    const end = Date.now() + timeoutMs;
    for (let attempt = 0; Date.now() < end; attempt++) {
      const token = `probe ${attempt} ${Date.now()}`;
      writeFileSync(`${job.source}/${probeName}`, token);
      const again = Date.now() + 10_000;
      while (Date.now() < Math.min(again, end)) {
        if (this.peer.restarts() >= mostRestarts) return false;
        if (job.replicas.every((replica) => readOrEmpty(`${replica}/${probeName}`) === token)) return true;
        await pause(20);
      }
    }
    return false;
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
