import { waitEqual } from '../compare.ts';
import type { PeerName } from '../peers/index.ts';
import { round } from '../stats.ts';
import { type Tree, treeName } from '../trees.ts';
import type { Figure, Trial } from '../trial.ts';
import { equalityNote, type Workload } from './workload.ts';

function firstSync(
  name: string,
  tree: Tree,
  peers: readonly PeerName[],
  reference: PeerName,
  repeats: number,
): Workload {
  return {
    name,
    title: `First sync of ${treeName(tree)} to an empty replica`,
    method:
      'From the start of the command to the newest inode change in the replica, confirmed by a full comparison (content: 500 files, or the large one).',
    peers,
    replicas: [1],
    repeats,
    limitSeconds: 240,
    score: 'seconds',
    better: 'lower',
    also: tree.kind === 'file' ? ['MiBPerSecond', 'cpuSeconds'] : ['cpuSeconds', 'wireBytes'],
    reference,

    async run(trial: Trial): Promise<Figure[]> {
      const scaledTree: Tree =
        tree.kind === 'file'
          ? { ...tree, bytes: trial.scaled(tree.bytes) }
          : { ...tree, files: trial.scaled(tree.files) };
      const job = await trial.seed(scaledTree, { seeded: false, reuse: true });
      trial.mark();
      const since = Date.now();
      await trial.peer.start(job);
      const equality = await waitEqual({
        ...job,
        since,
        timeoutMs: trial.within(150_000),
        contentSample: 500,
        tickMs: 150,
      });
      const rate =
        scaledTree.kind === 'file' && equality.seconds !== undefined
          ? { MiBPerSecond: round(scaledTree.bytes / 2 ** 20 / equality.seconds, 1) }
          : {};
      const timed = equality.seconds === undefined ? {} : { seconds: equality.seconds };
      return [
        {
          variant: treeName(scaledTree),
          ok: equality.ok,
          metrics: { ...timed, ...rate, ...trial.cost() },
          ...equalityNote(equality),
        },
      ];
    },
  };
}

const everyone = ['fam', 'rsync', 'tar', 'cp', 'lsyncd', 'inotify-rsync', 'syncthing', 'unison'] as const;

export const firstSyncs: readonly Workload[] = [
  firstSync('first-sync-20k', { kind: 'small', files: 20_000 }, everyone, 'rsync', 3),
  firstSync(
    'first-sync-200k',
    { kind: 'small', files: 200_000 },
    ['fam', 'rsync', 'tar', 'cp', 'lsyncd'],
    'rsync',
    3,
  ),
  firstSync(
    'first-sync-2g',
    { kind: 'file', bytes: 2 ** 31 },
    ['fam', 'rsync', 'tar', 'cp', 'lsyncd', 'syncthing'],
    'rsync',
    3,
  ),
];
