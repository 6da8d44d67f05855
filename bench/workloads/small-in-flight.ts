import { mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { sameContent } from '../compare.ts';
import { pause } from '../pause.ts';
import { round } from '../stats.ts';
import { writeRandomFile } from '../trees.ts';
import type { Figure, Trial } from '../trial.ts';
import { measureLatency, seedPages } from './page-latency.ts';
import type { Workload } from './workload.ts';

export const smallInFlight: Workload = {
  name: 'small-in-flight',
  title: 'Close to visible, 4 KiB pages while a file of 4 GiB is in flight',
  method:
    'The large file is renamed into the tree; pages are then measured as in `latency` until it has arrived. The large file is compared in the end.',
  peers: ['fam', 'lsyncd-shared', 'syncthing'],
  replicas: [1],
  repeats: 2,
  limitSeconds: 200,
  score: 'p99Ms',
  better: 'lower',
  also: ['p50Ms', 'samplesCount', 'largeMiBPerSecond'],
  reference: 'lsyncd-shared',

  async run(trial: Trial): Promise<Figure[]> {
    const job = await trial.seed({ kind: 'small', files: trial.scaled(20_000) }, { seeded: true });
    const bytes = (trial.scale.quick ? 256 : 4096) * 2 ** 20;
    const paths = seedPages(job, 2000);
    const outside = `${job.source}.large`;
    mkdirSync(outside, { recursive: true });
    writeRandomFile(`${outside}/large.bin`, bytes);
    await trial.begin(job);
    const arrived = (): boolean =>
      job.replicas.every(
        (replica) => statSync(`${replica}/large.bin`, { throwIfNoEntry: false })?.size === bytes,
      );
    const began = Date.now();
    let arrivedAt = 0;
    renameSync(`${outside}/large.bin`, `${job.source}/large.bin`);
    const until = (): boolean => {
      if (arrivedAt === 0 && arrived()) arrivedAt = Date.now();
      return arrivedAt > 0;
    };
    const budgetMs = trial.within(90_000);
    const figure = await measureLatency(trial, job, { variant: 'in place', paths, budgetMs, until });
    while (!until()) await pause(Math.min(50, trial.within(50)));
    const whole = job.replicas.every((replica) =>
      sameContent(`${job.source}/large.bin`, `${replica}/large.bin`),
    );
    rmSync(outside, { recursive: true, force: true });
    const largeMiBPerSecond = round(bytes / 2 ** 20 / ((arrivedAt - began) / 1000), 1);
    const metrics = { ...figure.metrics, largeMiBPerSecond };
    return [
      {
        ...figure,
        variant: 'while in flight',
        ok: figure.ok && whole,
        metrics,
        ...(whole ? {} : { note: 'the large file differs' }),
      },
    ];
  },
};
