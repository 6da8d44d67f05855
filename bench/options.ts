import { Command, Option } from 'commander';
import type { FileSystem } from './lab.ts';
import { isPeerName, type PeerName, peerNames } from './peers/index.ts';
import { workloads, workloadsNamed } from './workloads/index.ts';
import type { Workload } from './workloads/workload.ts';

export interface Options {
  readonly workloads: readonly Workload[];
  readonly peers: readonly PeerName[];
  /** undefined: each workload's own. */
  readonly replicas: readonly number[] | undefined;
  readonly repeats: number | undefined;
  readonly quick: boolean;
  readonly floors: boolean;
  readonly scratch: string;
  readonly fileSystem: FileSystem | undefined;
  readonly namespace: boolean;
  readonly results: string;
  readonly profile: string | undefined;
}

interface Parsed {
  workload?: string;
  peers?: string;
  replicas?: string;
  repeats?: string;
  quick?: boolean;
  floors: boolean;
  scratch?: string;
  fs?: FileSystem;
  namespace: boolean;
  results: string;
  profile?: string;
}

const benchFolder = new URL('..', import.meta.url).pathname.replace(/\/$/, '');

export function benchPath(name: string): string {
  return `${benchFolder}/${name}`;
}

export function parseOptions(argv: readonly string[]): Options {
  const program = new Command('bench')
    .description(
      'Measures fam, its peers and the floors under them in one run; writes tables, JSON and plots.',
    )
    .option(
      '--workload <list>',
      `of ${workloads.map((workload) => workload.name).join(', ')}; the start of a name will do; default: all`,
    )
    .option('--peers <list>', `of ${peerNames.join(', ')}; default: those that fit each workload`)
    .option('--replicas <list>', 'numbers of replicas; default: those that fit each workload')
    .option('--repeats <n>', 'trials of each peer and workload; default: what each workload needs')
    .option('--quick', 'a tenth of the size, one trial: shows that everything runs')
    .option('--no-floors', 'leave the physical floors out')
    .option('--scratch <dir>', 'where the trees are; default: memory (/dev/shm)')
    .addOption(
      new Option(
        '--fs <type>',
        'a file system of its own for the source and each replica, in images below the scratch',
      ).choices(['tmpfs', 'ext4', 'xfs', 'btrfs']),
    )
    .option('--no-namespace', 'stay in the name spaces of the host: counters then hold the traffic of others')
    .option('--results <dir>', 'where reports are written, and read for comparison', benchPath('results'))
    .option(
      '--profile <name>',
      'run one workload with fam only, and leave CPU profiles and flame graphs of source and agent in bench/profiles/NAME',
    )
    .parse([...argv], { from: 'user' });
  const parsed = program.opts<Parsed>();
  const names = [
    ...list(parsed.workload),
    ...(parsed.profile === undefined || parsed.workload !== undefined ? [] : [parsed.profile]),
  ];
  const unknown = list(parsed.peers).find((name) => !isPeerName(name));
  if (unknown !== undefined) program.error(`no peer ${unknown}; there are ${peerNames.join(', ')}`);
  return {
    workloads: workloadsNamed(names),
    peers:
      parsed.profile !== undefined
        ? ['fam']
        : parsed.peers === undefined
          ? peerNames
          : list(parsed.peers).filter(isPeerName),
    replicas: parsed.replicas === undefined ? undefined : list(parsed.replicas).map(Number),
    repeats: parsed.repeats === undefined ? undefined : Number(parsed.repeats),
    quick: parsed.quick === true,
    floors: parsed.floors && parsed.profile === undefined,
    scratch: parsed.scratch ?? '/dev/shm',
    // In memory each host gets a file system of its own; on a disk that is only wanted when asked for.
    fileSystem: parsed.fs ?? (parsed.scratch === undefined ? 'tmpfs' : undefined),
    namespace: parsed.namespace,
    results: parsed.results,
    profile: parsed.profile,
  };
}

function list(text: string | undefined): string[] {
  return (text ?? '').split(',').filter((part) => part !== '');
}
