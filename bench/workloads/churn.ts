import { Worker } from 'node:worker_threads';
import { waitEqual } from '../compare.ts';
import type { Figure, Trial } from '../trial.ts';
import type { ChurnOrder } from './churn-writer.ts';
import { equalityNote, type Workload } from './workload.ts';

export const churn: Workload = {
  name: 'churn',
  title: 'Two writers at full speed for 30 s, then the time until equal',
  method:
    'Two threads create, write, rename, replace and delete files and folders in one tree; from their end to the newest inode change in the replica, all content compared.',
  peers: ['fam', 'lsyncd-shared', 'inotify-rsync', 'syncthing', 'unison'],
  replicas: [1],
  repeats: 2,
  limitSeconds: 230,
  score: 'seconds',
  better: 'lower',
  also: ['operationsCount', 'cpuSeconds'],
  reference: 'lsyncd-shared',

  async run(trial: Trial): Promise<Figure[]> {
    const job = await trial.seed({ kind: 'small', files: trial.scaled(20_000) }, { seeded: true });
    await trial.begin(job);
    const seconds = trial.scale.quick ? 5 : 30;
    trial.mark();
    const operations = await Promise.all(
      [0, 1].map((writer) => runWriter({ source: job.source, writer, seconds })),
    );
    const since = Date.now();
    const equality = await waitEqual({ ...job, since, timeoutMs: trial.within(120_000), tickMs: 200 });
    const operationsCount = operations.reduce((sum, count) => sum + count, 0);
    // Equal before the first look: the newest change is older than the end of the churn, and the time is nothing.
    const timed = equality.seconds === undefined ? {} : { seconds: equality.seconds };
    return [
      {
        variant: 'full speed',
        ok: equality.ok,
        metrics: { ...timed, operationsCount, ...trial.cost() },
        ...equalityNote(equality),
      },
    ];
  },
};

function runWriter(order: ChurnOrder): Promise<number> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./churn-writer.js', import.meta.url), { workerData: order });
    worker.once('message', (count) => {
      resolve(Number(count));
    });
    worker.once('error', reject);
  });
}
