import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { pause } from '../pause.ts';
import type { Job } from '../peers/peer.ts';
import { round } from '../stats.ts';
import type { Figure, Trial } from '../trial.ts';
import type { Workload } from './workload.ts';

const trials = 12;
const pageBytes = 4096;

export const sameSecond: Workload = {
  name: 'same-second',
  title: 'Two writes of one size within one second: how often the second one is lost',
  method: `${trials} trials: a page is written at the start of a second and, once it has arrived, written again within that second with other content of the same size. Stale: still the old content 12 s after the last trial.`,
  peers: ['fam', 'lsyncd-shared', 'lsyncd', 'inotify-rsync', 'syncthing', 'unison'],
  replicas: [1],
  repeats: 1,
  limitSeconds: 130,
  score: 'staleCount',
  better: 'lower',
  also: ['eligibleCount'],
  reference: 'lsyncd-shared',

  async run(trial: Trial): Promise<Figure[]> {
    const job = await trial.seed({ kind: 'small', files: trial.scaled(20_000) }, { seeded: true });
    await trial.begin(job);
    trial.mark();
    const second = new Map<string, Buffer>();
    for (let index = 0; index < (trial.scale.quick ? 3 : trials); index++) {
      const path = `d000/s0001/same${index}.html`;
      const written = await twiceInOneSecond(job, path);
      if (written) second.set(path, written);
    }
    const eligibleCount = second.size;
    const end = Date.now() + (trial.scale.quick ? 4000 : 12_000);
    while (second.size > 0 && Date.now() < end) {
      for (const [path, content] of second) if (everywhere(job, path, content)) second.delete(path);
      await pause(50);
    }
    const note = eligibleCount === 0 ? { note: 'slower than a second: no trial counts' } : {};
    return [
      {
        variant: 'same size',
        ok: second.size === 0,
        metrics: { staleCount: eligibleCount === 0 ? Number.NaN : round(second.size), eligibleCount },
        ...note,
      },
    ];
  },
};

/** The second content, or undefined when the first did not arrive early enough for the second to fall into the same second. */
async function twiceInOneSecond(job: Job, path: string): Promise<Buffer | undefined> {
  const first = randomBytes(pageBytes);
  const second = randomBytes(pageBytes);
  await pause(1020 - (Date.now() % 1000));
  const started = Math.floor(Date.now() / 1000);
  writeFileSync(`${job.source}/${path}`, first);
  while (Date.now() < started * 1000 + 850 && !everywhere(job, path, first)) await pause(2);
  const arrived = everywhere(job, path, first);
  writeFileSync(`${job.source}/${path}`, second);
  return arrived && Math.floor(statSync(`${job.source}/${path}`).mtimeMs / 1000) === started
    ? second
    : undefined;
}

function everywhere(job: Job, path: string, content: Buffer): boolean {
  return job.replicas.every((replica) => {
    try {
      return readFileSync(`${replica}/${path}`).equals(content);
    } catch {
      return false;
    }
  });
}
