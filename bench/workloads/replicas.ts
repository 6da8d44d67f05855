import { waitEqual } from '../compare.ts';
import { round } from '../stats.ts';
import type { Figure, Trial } from '../trial.ts';
import { writeBurst } from './burst.ts';
import { measureLatency, seedPages } from './page-latency.ts';
import { equalityNote, type Workload } from './workload.ts';

export const replicas: Workload = {
  name: 'replicas',
  title: 'Growth with the number of replicas: pages, and a burst of 2,000 files',
  method:
    'Pages as in `latency`, the last replica counts; then a burst as in `burst`, with the CPU of all processes and the bytes of all links.',
  peers: ['fam', 'lsyncd-shared'],
  replicas: [1, 2, 4, 8, 16],
  repeats: 1,
  limitSeconds: 120,
  score: 'seconds',
  better: 'lower',
  also: ['p50Ms', 'p99Ms', 'cpuSeconds', 'wireBytes'],
  reference: 'lsyncd-shared',

  async run(trial: Trial): Promise<Figure[]> {
    const job = await trial.seed({ kind: 'small', files: 2000 }, { seeded: true });
    const paths = seedPages(job, trial.scale.quick ? 20 : 100);
    await trial.begin(job);
    const pages = await measureLatency(trial, job, { variant: 'in place', paths, budgetMs: 20_000 });
    trial.mark();
    const since = Date.now();
    writeBurst(`${job.source}/burst`, 2000);
    const equality = await waitEqual({ ...job, since, timeoutMs: trial.within(60_000), contentSample: 200 });
    const metrics = {
      p50Ms: round(pages.metrics['p50Ms'] ?? Number.NaN),
      p99Ms: round(pages.metrics['p99Ms'] ?? Number.NaN),
      ...(equality.seconds === undefined ? {} : { seconds: equality.seconds }),
      ...trial.cost(),
    };
    return [{ variant: 'pages and burst', ok: pages.ok && equality.ok, metrics, ...equalityNote(equality) }];
  },
};
