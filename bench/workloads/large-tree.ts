import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { probeName, scan, waitEqual } from '../compare.ts';
import { memory } from '../counters.ts';
import { pause } from '../pause.ts';
import type { PeerName } from '../peers/index.ts';
import { below, round, seeded } from '../stats.ts';
import type { Figure, Trial } from '../trial.ts';
import { measureLatency, seedPages } from './page-latency.ts';
import { equalityNote, type Workload } from './workload.ts';

const changedFiles = 10;

/** Idle cost and restart share their set-up: a tree of a million files takes longer to build than to measure. */
function largeTree(name: string, files: number, peers: readonly PeerName[], repeats: number): Workload {
  return {
    name,
    title: `Latency, idle cost, and restart with ${changedFiles} changed, at ${files.toLocaleString('en')} files`,
    method:
      'First pages as in `latency`. Idle: CPU of all its processes while nothing happens, and their memory. Restart: from the start of the command to the newest inode change in the replica, ' +
      `after ${changedFiles} files changed while it was down. Trees of a million files hold empty files.`,
    peers,
    replicas: [1],
    repeats,
    limitSeconds: 400,
    score: 'seconds',
    better: 'lower',
    also: [
      'p50Ms',
      'p99Ms',
      'idleCpuSecondsPerMinute',
      'largestRssMiB',
      'largestAnonymousMiB',
      'sumPssMiB',
      'cpuSeconds',
    ],
    reference: 'rsync',

    async run(trial: Trial): Promise<Figure[]> {
      const scaled = trial.scaled(files);
      const job = await trial.seed({ kind: 'small', files: scaled }, { seeded: true, reuse: true });
      const paths = seedPages(job, 60);
      const liveSeconds = await trial.begin(job, 180_000);
      const figures: Figure[] = [];
      if (!trial.peer.oneShot) {
        // A comparison of the trees may still be going on behind the probe: the first page waits for its end.
        const [first = '', ...others] = paths;
        const patienceMs = 180_000;
        const variant = 'in place';
        await measureLatency(trial, job, {
          variant,
          paths: [first],
          budgetMs: patienceMs,
          lostAfterMs: patienceMs,
        });
        figures.push(await measureLatency(trial, job, { variant, paths: others, budgetMs: 15_000 }));
        figures.push(await idle(trial, liveSeconds));
      }
      await trial.peer.stop();
      const manifest = scan(job.source);
      const changed = pick(
        [...manifest.entries].filter(([, entry]) => entry.type === 'file').map(([path]) => path),
      );
      for (const path of changed) writeFileSync(`${job.source}/${path}`, randomBytes(600));
      const expected = scan(job.source);
      trial.mark();
      const since = Date.now();
      await trial.peer.start(job);
      const equality = await waitEqual({
        ...job,
        since,
        timeoutMs: trial.within(120_000),
        contentSample: 200,
        suspects: changed,
        manifest: expected,
        tickMs: 20,
      });
      const timed = equality.seconds === undefined ? {} : { seconds: equality.seconds };
      figures.push({
        variant: 'restart',
        ok: equality.ok,
        metrics: { ...timed, ...trial.cost() },
        ...equalityNote(equality),
      });
      await trial.peer.stop();
      for (const root of [job.source, ...job.replicas]) rmSync(`${root}/${probeName}`, { force: true });
      return figures;
    },
  };
}

async function idle(trial: Trial, liveSeconds: number): Promise<Figure> {
  const seconds = trial.scale.quick ? 5 : 30;
  // V8 tidies up for some 20 s after work has ended, which is part of the work.
  await pause(trial.scale.quick ? 5000 : 30_000);
  trial.mark();
  await pause(seconds * 1000);
  const cost = trial.cost();
  const processes = memory().filter((one) => !one.command.includes('/usr/sbin/sshd -D'));
  const largest = processes[0];
  return {
    variant: 'idle',
    ok: true,
    metrics: {
      idleCpuSecondsPerMinute: round((cost.cpuSeconds * 60) / seconds, 2),
      wireBytes: cost.wireBytes,
      largestRssMiB: round(largest?.rssMiB ?? 0, 1),
      largestAnonymousMiB: round(Math.max(0, ...processes.map((one) => one.anonymousMiB)), 1),
      sumPssMiB: round(
        processes.reduce((sum, one) => sum + one.pssMiB, 0),
        1,
      ),
      liveSeconds,
    },
    note: processes
      .slice(0, 4)
      .map(
        (one) =>
          `${shortCommand(one.command)}: RSS ${one.rssMiB.toFixed(0)}, anonymous ${one.anonymousMiB.toFixed(0)} MiB`,
      )
      .join('; '),
  };
}

/** Without the folders, which are this machine's own affair. */
function shortCommand(command: string): string {
  return command.replaceAll(/\/\S*\//g, '').slice(0, 60);
}

function pick(paths: readonly string[]): string[] {
  const random = seeded(Date.now());
  return Array.from({ length: changedFiles }, () => paths[below(random, paths.length)] ?? '').filter(
    (path, index, all) => path !== '' && all.indexOf(path) === index,
  );
}

export const largeTrees: readonly Workload[] = [
  largeTree('idle-restart-20k', 20_000, ['fam', 'rsync', 'lsyncd', 'syncthing', 'unison'], 2),
  largeTree('idle-restart-200k', 200_000, ['fam', 'rsync', 'lsyncd', 'syncthing', 'unison'], 2),
  largeTree('idle-restart-1m', 1_000_000, ['fam', 'rsync'], 1),
];
