// Memory and descriptors of processes, and whether they grow from round to round.

import { readdirSync, readFileSync } from 'node:fs';

export interface Usage {
  readonly rssMiB: number;
  readonly descriptors: number;
}

export function usageOf(pid: number): Usage | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const rssKiB = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    return { rssMiB: rssKiB / 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return undefined;
  }
}

/** Quiet moments that a process is given before what it holds counts as its level: heaps grow until they are first collected. */
const warmUpRounds = 8;
/** Above the level: a garbage-collected heap breathes, an agent keeps up to 400 folders open. */
const slackMiB = 96;
const slackDescriptors = 420;

/** Compares each process with itself, at quiet moments. */
export class GrowthWatch {
  readonly #samples = new Map<number, Usage[]>();

  /** What grew, in words; [] when nothing did. */
  sample(name: string, pid: number): string[] {
    const usage = usageOf(pid);
    if (usage === undefined) return [];
    const samples = this.#samples.get(pid) ?? [];
    this.#samples.set(pid, samples);
    samples.push(usage);
    if (samples.length <= warmUpRounds) return [];
    const before = samples.slice(0, warmUpRounds);
    const level = (of: (usage: Usage) => number): number => Math.max(...before.map(of));
    const grown: string[] = [];
    const check = (what: string, of: (usage: Usage) => number, slack: number): void => {
      if (of(usage) > level(of) + slack)
        grown.push(`${name} (${pid}): ${what} ${samples.map((one) => Math.round(of(one))).join(' ')}`);
    };
    check('RSS in MiB', (one) => one.rssMiB, slackMiB);
    check('descriptors', (one) => one.descriptors, slackDescriptors);
    return grown;
  }
}
