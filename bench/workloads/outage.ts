import { randomBytes } from 'node:crypto';
import { closeSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { scan, waitEqual } from '../compare.ts';
import { pause } from '../pause.ts';
import { below, seeded } from '../stats.ts';
import type { Figure, Trial } from '../trial.ts';
import { equalityNote, type Workload } from './workload.ts';

export const outage: Workload = {
  name: 'outage',
  title: 'One of two replicas away for 20 s; time until equal after its return',
  method:
    'Its sshd and every session die at once; ten small changes a second go on, then a folder is renamed. From the moment its sshd listens again.',
  peers: ['fam', 'lsyncd-shared', 'syncthing', 'unison'],
  replicas: [2],
  repeats: 2,
  limitSeconds: 180,
  score: 'seconds',
  better: 'lower',
  also: ['healthySeconds', 'wireBytes'],
  reference: 'lsyncd-shared',

  async run(trial: Trial): Promise<Figure[]> {
    const job = await trial.seed({ kind: 'small', files: trial.scaled(20_000) }, { seeded: true });
    await trial.begin(job);
    const away = job.replicas.length - 1;
    const awayMs = trial.scale.quick ? 6000 : 20_000;
    const files = [...scan(job.source).entries]
      .filter(([, entry]) => entry.type === 'file')
      .map(([path]) => path);
    trial.mark();
    await trial.peer.replicaDown(away);
    const downAt = Date.now();
    const changesCount = await changeSlowly(job.source, files, downAt + awayMs * 0.7);
    const lastChange = Date.now();
    const healthy = await waitEqual({
      ...job,
      replicas: job.replicas.slice(0, away),
      since: lastChange,
      timeoutMs: Math.max(1000, downAt + awayMs - lastChange),
      contentSample: 100,
    });
    await pause(Math.max(0, downAt + awayMs - Date.now()));
    await trial.peer.replicaUp(away);
    const since = Date.now();
    const equality = await waitEqual({
      ...job,
      replicas: job.replicas.slice(away),
      since,
      timeoutMs: trial.within(100_000),
      contentSample: 300,
      tickMs: 50,
    });
    const metrics = {
      ...(equality.seconds === undefined ? {} : { seconds: equality.seconds }),
      ...(healthy.seconds === undefined ? {} : { healthySeconds: Math.max(0, healthy.seconds) }),
      changesCount,
      ...trial.cost(),
    };
    const stalled = healthy.ok ? {} : { note: 'the healthy replica stalled meanwhile' };
    return [
      { variant: `${awayMs / 1000} s`, ok: equality.ok, metrics, ...stalled, ...equalityNote(equality) },
    ];
  },
};

async function changeSlowly(source: string, files: readonly string[], until: number): Promise<number> {
  const random = seeded(5);
  let count = 0;
  for (; Date.now() < until; count++) {
    const path = `${source}/${files[below(random, files.length)] ?? ''}`;
    if (count % 5 === 0) writeFileSync(`${dirname(path)}/new${count}`, randomBytes(2000));
    else {
      const fd = openSync(path, 'r+');
      writeSync(fd, randomBytes(512));
      closeSync(fd);
    }
    await pause(100);
  }
  renameSync(`${source}/d000/s0003`, `${source}/d000/s0003moved`);
  return count + 1;
}
