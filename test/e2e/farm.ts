// A source and its replicas on this machine: the first ones behind a real sshd, the others as local paths.

import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { expectEqualTrees } from '../oracle/compare-trees.ts';
import { entriesBelow } from '../support/entries-below.ts';
import { Mirror, type MirrorSetup } from '../support/fam.ts';
import { makeTree } from '../support/make-tree.ts';
import { agentsOf } from '../support/processes.ts';
import { type Sshd, startSshd } from '../support/sshd.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { lookAt, type Place } from './change-kinds.ts';

export interface FarmSetup {
  /** Replicas that are reached by ssh, and replicas that are local paths. */
  readonly ssh: number;
  readonly local?: number;
  /** Files in the source. Default 150. */
  readonly files?: number;
}

export class Farm {
  readonly folder = tempFolder('farm');
  readonly source = join(this.folder, 'source');
  readonly outside = join(this.folder, 'outside');
  readonly state = join(this.folder, 'state');
  /** The replicas' roots as this machine sees them, and as `fam mirror` is told. */
  readonly replicas: readonly string[];
  readonly dests: readonly string[];
  /** Where the remote replicas are; it can go down and come back. */
  readonly sshd: Sshd | undefined;

  constructor({ ssh, local = 0, files = 150 }: FarmSetup, sshd: Sshd | undefined) {
    this.sshd = sshd;
    this.replicas = Array.from({ length: ssh + local }, (_, n) => join(this.folder, `replica-${n + 1}`));
    this.dests = this.replicas.map((root, n) => (n < ssh ? `web${n + 1}:${root}` : root));
    for (const root of [this.outside, ...this.replicas]) mkdirSync(root);
    makeTree(this.source, 1, files);
  }

  start(setup: Partial<MirrorSetup> = {}): Mirror {
    const { source, dests, state, sshd } = this;
    return new Mirror({ source, dests, state, ...(sshd && { rsh: sshd.rsh }), ...setup });
  }

  /** What the next change works on. */
  look(): Place {
    return lookAt(this.source, this.outside);
  }

  /** @param which replicas, counted from 0; default all */
  expectEqual(which: readonly number[] = [...this.replicas.keys()]): void {
    for (const n of which) expectEqualTrees(this.source, this.replicas[n] ?? '', { ignore: ['.fam'] });
  }
}

export async function startFarm(setup: FarmSetup): Promise<Farm> {
  // The agent is installed anew for each farm: no test depends on what another one left.
  const env = { XDG_CACHE_HOME: tempFolder('agent-cache') };
  const farm = new Farm(setup, setup.ssh > 0 ? await startSshd({ env }) : undefined);
  // Before their folders are removed; whatever the test has killed, they see that their source has gone.
  onTestFinished(async () => {
    const agents = () => farm.replicas.flatMap(agentsOf);
    await waitFor(() => agents().length === 0, {
      describe: 'the agents to end after their source',
      deadlineMs: 20_000,
    });
  });
  return farm;
}

/** The inode number of each file below `root`: one that was copied again has another. */
export function inodeNumbers(root: string): Map<string, bigint> {
  const numbers = new Map<string, bigint>();
  for (const entry of entriesBelow(root)) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) numbers.set(path, lstatSync(path, { bigint: true }).ino);
  }
  return numbers;
}
