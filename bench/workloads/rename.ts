import { existsSync, renameSync } from 'node:fs';
import { pollUntil, waitEqual } from '../compare.ts';
import { loopbackBytes } from '../counters.ts';
import { pause, sleepBlocking } from '../pause.ts';
import { median, percentile, round } from '../stats.ts';
import type { Figure, Trial } from '../trial.ts';
import { equalityNote, type Workload } from './workload.ts';

export const rename: Workload = {
  name: 'rename',
  title: 'Rename of a folder of 5,000 files, 500 MB',
  method:
    'The folder is renamed to and fro; each time runs until every replica has the last file under the new name and nothing under the old one, ' +
    'polled every 0.1 ms. Wire bytes: loopback traffic of one rename until the replica is equal and for 50 ms after.',
  peers: ['fam', 'lsyncd-shared', 'lsyncd', 'rsync', 'inotify-rsync', 'syncthing', 'unison'],
  replicas: [1],
  repeats: 2,
  limitSeconds: 120,
  score: 'p50Ms',
  better: 'lower',
  also: ['p95Ms', 'wireBytes'],
  reference: 'lsyncd-shared',

  async run(trial: Trial): Promise<Figure[]> {
    const files = trial.scaled(5000);
    const job = await trial.seed({ kind: 'folder', files, fileBytes: 100_000 }, { seeded: true });
    await trial.begin(job);
    const last = `k${String(Math.ceil(files / 100) - 1).padStart(2, '0')}/f${String((files - 1) % 100).padStart(3, '0')}`;
    const names = ['before', 'after'] as const;
    const times: number[] = [];
    const bytes: number[] = [];
    const end = Date.now() + 30_000;
    trial.mark();
    for (let round = 0; round < 40 && Date.now() < end; round++) {
      const [from, to] = round % 2 === 0 ? names : ([names[1], names[0]] as const);
      const before = loopbackBytes();
      const began = performance.now();
      renameSync(`${job.source}/${from}`, `${job.source}/${to}`);
      await trial.peer.kick();
      const moved = (): boolean =>
        job.replicas.every(
          (replica) => existsSync(`${replica}/${to}/${last}`) && !existsSync(`${replica}/${from}`),
        );
      if ((await pollUntil(moved, trial.within(60_000), sleepBlocking)) === undefined) break;
      times.push(performance.now() - began);
      await pause(50);
      bytes.push(loopbackBytes() - before);
    }
    const equality = await waitEqual({
      ...job,
      since: Date.now(),
      timeoutMs: trial.within(60_000),
      contentSample: 100,
    });
    const metrics = {
      p50Ms: round(percentile(times, 0.5)),
      p95Ms: round(percentile(times, 0.95)),
      renamesCount: times.length,
      cpuSeconds: trial.cost().cpuSeconds,
      wireBytes: median(bytes),
    };
    return [
      {
        variant: `${files.toLocaleString('en')} files`,
        ok: equality.ok && times.length > 0,
        metrics,
        ...equalityNote(equality),
      },
    ];
  },
};
