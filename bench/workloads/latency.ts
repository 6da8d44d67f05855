import type { Figure, Trial } from '../trial.ts';
import { measureLatency, seedPages } from './page-latency.ts';
import type { Workload } from './workload.ts';

const variants = ['in place', 'save by rename'] as const;

export const latency: Workload = {
  name: 'latency',
  title: 'Close to visible, one 4 KiB page at a time in a tree of 20,000 files',
  method:
    'Pages are written one at a time with 15 to 75 ms between them; the time runs from just before the close (or the rename) at the source ' +
    'until the last replica shows exactly the new content, polled every 0.1 ms.',
  peers: ['fam', 'lsyncd-shared', 'lsyncd', 'inotify-rsync', 'syncthing', 'unison'],
  replicas: [1, 4],
  repeats: 2,
  limitSeconds: 200,
  score: 'p50Ms',
  better: 'lower',
  also: ['p95Ms', 'p99Ms', 'lostCount'],
  reference: 'lsyncd-shared',

  async run(trial: Trial): Promise<Figure[]> {
    const job = await trial.seed({ kind: 'small', files: trial.scaled(20_000) }, { seeded: true });
    const count = trial.scale.quick ? 60 : 400;
    const pages = seedPages(job, count * variants.length);
    await trial.begin(job);
    const budgetMs = trial.scale.quick ? 8000 : 40_000;
    const figures: Figure[] = [];
    for (const variant of variants) {
      figures.push(await measureLatency(trial, job, { variant, paths: pages.splice(0, count), budgetMs }));
    }
    return figures;
  },
};
