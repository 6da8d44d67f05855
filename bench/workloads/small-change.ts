import { randomBytes } from 'node:crypto';
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { waitEqual } from '../compare.ts';
import { pause } from '../pause.ts';
import { median, round } from '../stats.ts';
import type { Figure, Metrics, Trial } from '../trial.ts';
import { equalityNote, type Workload } from './workload.ts';

const changeBytes = 4096;

export const smallChange: Workload = {
  name: 'small-change',
  title: '4 KiB appended to, or changed inside, a file of 1 GiB',
  method:
    'From the write to the newest inode change in the replica, confirmed by comparing the whole file; the median of three changes of each kind.',
  peers: ['fam', 'rsync', 'lsyncd', 'syncthing', 'unison'],
  replicas: [1],
  repeats: 2,
  limitSeconds: 220,
  score: 'seconds',
  better: 'lower',
  also: ['wireBytes', 'cpuSeconds'],
  reference: 'rsync',

  async run(trial: Trial): Promise<Figure[]> {
    const job = await trial.seed({ kind: 'file', bytes: trial.scaled(2 ** 30) }, { seeded: true });
    await trial.begin(job, 120_000);
    const path = `${job.source}/big.bin`;
    const figures: Figure[] = [];
    for (const variant of ['appended', 'changed inside'] as const) {
      const rounds: Metrics[] = [];
      let failure: { note?: string } = {};
      for (let round = 0; round < 3 && failure.note === undefined; round++) {
        // File times are compared to the second: each change has to fall into one of its own.
        await pause(1100 - (Date.now() % 1000));
        const size = statSync(path).size;
        trial.mark();
        const since = Date.now();
        writeAt(path, variant === 'appended' ? size : Math.floor(size / 2) + round * 10_000);
        await trial.peer.kick();
        const equality = await waitEqual({ ...job, since, timeoutMs: trial.within(60_000), tickMs: 10 });
        failure = equalityNote(equality);
        if (equality.seconds !== undefined) rounds.push({ seconds: equality.seconds, ...trial.cost() });
      }
      const metrics = Object.fromEntries(
        ['seconds', 'wireBytes', 'cpuSeconds'].map((name) => [
          name,
          round(median(rounds.map((one) => one[name] ?? Number.NaN))),
        ]),
      );
      figures.push({ variant, ok: failure.note === undefined, metrics, ...failure });
    }
    return figures;
  },
};

function writeAt(path: string, position: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, randomBytes(changeBytes), 0, changeBytes, position);
  closeSync(fd);
}
