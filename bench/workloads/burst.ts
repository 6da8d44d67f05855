import { randomBytes } from 'node:crypto';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { waitEqual } from '../compare.ts';
import { below, round, seeded } from '../stats.ts';
import type { Figure, Trial } from '../trial.ts';
import { equalityNote, type Workload } from './workload.ts';

const filesPerFolder = 100;

/** Writes `files` files of 1 B to 8 KiB in folders of a hundred, with mtimes set as tar would; the seconds that took. */
export function writeBurst(root: string, files: number): number {
  const random = seeded(9);
  const pool = randomBytes(1 << 16);
  const start = performance.now();
  for (let index = 0; index < files; index++) {
    const folder = `${root}/b${Math.floor(index / filesPerFolder)}`;
    if (index % filesPerFolder === 0) mkdirSync(folder, { recursive: true });
    const path = `${folder}/f${index % filesPerFolder}`;
    const offset = below(random, 32_768);
    writeFileSync(path, pool.subarray(offset, offset + 1 + below(random, 8192)));
    utimesSync(path, 1_650_000_000 + index, 1_650_000_000 + index);
  }
  return round((performance.now() - start) / 1000);
}

export const burst: Workload = {
  name: 'burst',
  title: 'Burst of 10,000 files into a live tree',
  method:
    'From the first write at the source to the newest inode change in the last replica, confirmed by a full comparison.',
  peers: ['fam', 'lsyncd-shared', 'lsyncd', 'rsync', 'inotify-rsync', 'syncthing', 'unison'],
  replicas: [1, 4],
  repeats: 3,
  limitSeconds: 150,
  score: 'seconds',
  better: 'lower',
  also: ['writeSeconds', 'cpuSeconds'],
  reference: 'lsyncd-shared',

  async run(trial: Trial): Promise<Figure[]> {
    const job = await trial.seed({ kind: 'small', files: trial.scaled(20_000) }, { seeded: true });
    await trial.begin(job);
    const files = trial.scaled(10_000);
    trial.mark();
    const since = Date.now();
    const writeSeconds = writeBurst(`${job.source}/burst`, files);
    await trial.peer.kick();
    const equality = await waitEqual({
      ...job,
      since,
      timeoutMs: trial.within(100_000),
      contentSample: 1000,
      tickMs: 100,
    });
    const timed = equality.seconds === undefined ? {} : { seconds: equality.seconds };
    return [
      {
        variant: `${files.toLocaleString('en')} files`,
        ok: equality.ok,
        metrics: { ...timed, writeSeconds, ...trial.cost() },
        ...equalityNote(equality),
      },
    ];
  },
};
