// What goes wrong during a round. Each fault mends itself before it returns, so that a round ends with everything running.

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Keepsakes } from '../support/keepsakes.ts';
import { LocalUsers } from '../support/local-users.ts';
import { Locks } from '../support/locks.ts';
import { kill } from '../support/processes.ts';
import { homeOf, type ReplicaPlace, trashOf } from '../support/replica-place.ts';
import type { FamProcess } from './fam-process.ts';
import type { Operation } from './operation.ts';
import type { Reader } from './reader.ts';
import type { SshHost } from './ssh-host.ts';
import { alwaysFolder } from './verified.ts';
import type { World } from './world.ts';
import type { Writer } from './writer.ts';

/** What a fault works on. */
export interface Scene {
  readonly fam: FamProcess;
  readonly world: World;
  readonly readers: readonly Reader[];
  /** Idle: for bursts. */
  readonly burster: Writer;
  readonly host: SshHost | undefined;
  /** Everybody who writes to the source. */
  readonly writers: readonly Writer[];
  readonly keepsakes: Keepsakes;
  /** Below `n`. */
  draw(n: number): number;
}

export interface PlannedFault {
  readonly name: string;
  /** From the start of the round. */
  readonly atMs: number;
  readonly seed: number;
}

interface Fault {
  /** Needs a network. */
  readonly ssh?: boolean;
  /** How often it is chosen, compared with others. Default 4; 0: only where a scenario asks for it. */
  readonly weight?: number;
  run(scene: Scene): Promise<void>;
}

async function killEverything({ fam }: Scene): Promise<void> {
  await fam.end('SIGKILL');
  kill(fam.agents(), 'SIGKILL');
  await fam.agentsGone();
}

function replicaOf({ world, draw }: Scene): { readonly index: number; readonly place: ReplicaPlace } {
  const index = draw(world.replicas.length);
  const place = world.replicas[index];
  if (place === undefined) throw new Error('no replica');
  return { index, place };
}

async function frozen(pids: readonly { pid: number }[], ms: number): Promise<void> {
  kill(pids, 'SIGSTOP');
  await delay(ms);
  kill(pids, 'SIGCONT');
}

/** More events than an inotify queue holds by default (16,384). */
const burstFiles = 6000;

function burst(): Operation[] {
  const operations: Operation[] = [{ do: 'mkdirs', path: '/tree/burst' }];
  for (let n = 0; n < burstFiles; n++)
    operations.push({ do: 'create', path: `/tree/burst/${n % 2000}`, size: n % 50, seed: n });
  for (let n = 0; n < 2000; n += 2) operations.push({ do: 'unlink', path: `/tree/burst/${n}` });
  operations.push({ do: 'rename', from: '/tree/burst', path: '/tree/burst-over', how: 'replace' });
  operations.push({ do: 'rmtree', path: '/tree/burst-over' });
  return operations;
}

/** Steps at which an agent can be told to die: src/replica/kill-step.ts and core/plan-operation.ts. */
const steps = [
  'build',
  'buildContent',
  'setAttributes',
  'rename',
  'exchange',
  'link',
  'unlink',
  'rmdir',
  'setTimes',
  'before-commit',
  'committed',
  'limbo-emptied',
  'reconciled',
] as const;

const snapshotName = '.torture-snapshot';

/**
 * The wall clock as source and local agents see it, `seconds` off; monotonic time goes on. The kernel's own clock, which stamps the
 * files, stays: writers set times back and ahead themselves.
 */
function clockOff(seconds: number): Readonly<Record<string, string>> {
  const library = readdirSync('/usr/lib')
    .map((architecture) => `/usr/lib/${architecture}/faketime/libfaketime.so.1`)
    .find((path) => existsSync(path));
  if (library === undefined) throw new Error('libfaketime is missing: bash scripts/install-test-tools.sh');
  return { LD_PRELOAD: library, FAKETIME: `${seconds < 0 ? '' : '+'}${seconds}s`, DONT_FAKE_MONOTONIC: '1' };
}

export const faults: Readonly<Record<string, Fault>> = {
  'kill-source': {
    weight: 8,
    async run({ fam, draw }) {
      await fam.end('SIGKILL');
      await delay(draw(300));
      fam.start();
    },
  },
  'end-source': {
    async run({ fam, draw }) {
      await fam.end('SIGTERM');
      await delay(draw(300));
      fam.start();
    },
  },
  'kill-agent': {
    weight: 8,
    async run(scene) {
      kill(scene.fam.agents(replicaOf(scene).index), 'SIGKILL');
    },
  },
  'kill-agents-repeatedly': {
    async run({ fam, draw }) {
      for (let n = 0; n < 4; n++) {
        kill(fam.agents(), 'SIGKILL');
        await delay(100 + draw(500));
      }
    },
  },
  'kill-all': {
    async run(scene) {
      await killEverything(scene);
      scene.fam.start();
    },
  },
  'kill-at-step': {
    weight: 10,
    async run(scene) {
      const { fam, draw } = scene;
      await fam.end('SIGKILL');
      const step = steps[draw(steps.length)] ?? steps[0];
      fam.start({ FAM_KILL_AT: `${step}:${1 + draw(draw(2) === 0 ? 3 : 40)}` });
      await delay(1500 + draw(1500));
      await killEverything(scene);
      fam.start();
    },
  },
  'restart-in-scan': {
    async run({ fam, draw }) {
      for (let n = 0; n < 3; n++) {
        await fam.end('SIGKILL');
        fam.start();
        await delay(100 + draw(500));
      }
      await fam.end('SIGKILL');
      fam.start();
    },
  },
  'freeze-agents': {
    async run({ fam, draw }) {
      await frozen(fam.agents(), 200 + draw(1500));
    },
  },
  // Longer than the heartbeat allows: the source gives the link up, and the agent wakes up to find it gone.
  'freeze-agents-long': {
    weight: 1,
    async run({ fam }) {
      await frozen(fam.agents(), 18_000);
    },
  },
  'freeze-source': {
    async run({ fam, draw }) {
      if (fam.pid !== undefined) await frozen([{ pid: fam.pid }], 200 + draw(1500));
    },
  },
  overflow: {
    weight: 2,
    async run({ fam, burster }) {
      const pids = fam.pid === undefined ? [] : [{ pid: fam.pid }];
      kill(pids, 'SIGSTOP');
      await burster.perform(burst());
      kill(pids, 'SIGCONT');
    },
  },
  'disk-full': {
    async run(scene) {
      const { mount } = replicaOf(scene).place;
      const filler = join(mount, 'filler');
      const fd = openSync(filler, 'w');
      try {
        for (const size of [1 << 20, 1 << 16, 4096]) {
          try {
            for (;;) writeSync(fd, Buffer.alloc(size, 1));
          } catch {
            // Full, but for pieces smaller than this.
          }
        }
        await delay(500 + scene.draw(2000));
      } finally {
        closeSync(fd);
        rmSync(filler);
      }
    },
  },
  // The source dies, a replica takes its place, and gives it back: whatever state it was in, it is compared anew.
  'promote-and-undo': {
    weight: 3,
    async run(scene) {
      const { fam, draw, readers } = scene;
      const { index, place } = replicaOf(scene);
      // Its tree is an old one at the next contact (docs/open-work.md, torture 141000).
      await readers[index]?.rest();
      if (draw(2) === 0) await killEverything(scene);
      else await fam.end('SIGKILL');
      await promoteAndUndo(fam, place);
      fam.start();
    },
  },
  'restore-old-replica': {
    weight: 3,
    async run(scene) {
      const { index, place } = replicaOf(scene);
      const snapshot = join(place.mount, snapshotName);
      if (!existsSync(snapshot)) return;
      const withState = scene.draw(2) === 0;
      await killEverything(scene);
      // A replica that goes back in time is out of service meanwhile.
      await scene.readers[index]?.rest();
      replace(join(snapshot, 'root'), place.root);
      scene.keepsakes.forgetTrash(trashOf(place));
      if (withState && existsSync(join(snapshot, 'home'))) replace(join(snapshot, 'home'), homeOf(place));
      scene.fam.start();
    },
  },
  // Somebody changes what is on a replica, while it is served and while it is not. Then it is compared as a whole.
  'local-users': {
    weight: 0,
    async run(scene) {
      const { fam, draw, readers, world, keepsakes } = scene;
      const { index, place } = replicaOf(scene);
      await readers[index]?.rest();
      const users = new LocalUsers(place, world.uid, keepsakes, draw, (what) => {
        fam.log += `--- local user ${Date.now()} ${JSON.stringify(what)}\n`;
      });
      // The second time they are at work while the replica is being compared.
      for (let times = 1 + draw(2); times > 0; times--) {
        for (let n = draw(10); n > 0; n--) {
          users.act(false);
          await delay(draw(200));
        }
        // What an agent is at work on takes it along when it is moved out (RACE in src/replica/directories.ts).
        await delay(3000);
        users.settle(trashOf(place));
        await delay(draw(2000));
        await killEverything(scene);
        for (let n = draw(10); n > 0; n--) users.act(true);
        users.settle(trashOf(place));
        if (draw(2) === 0 || !(await promoteAndUndo(fam, place)))
          rmSync(join(homeOf(place), 'state'), { recursive: true, force: true });
        fam.start();
      }
    },
  },
  // Somebody locks folders on a replica, and opens them again while it is mirrored, or while nobody is.
  'lock-folders': {
    weight: 0,
    async run(scene) {
      const { fam, draw } = scene;
      const { place } = replicaOf(scene);
      const say = (what: string): void => {
        fam.log += `--- local user ${Date.now()} ${JSON.stringify(what)}\n`;
      };
      const locks = new Locks(place.root, draw, say, [alwaysFolder, '.fam']);
      try {
        for (let n = 1 + draw(4); n > 0; n--) locks.lock();
        await delay(draw(1500));
        for (let n = draw(4); n > 0; n--) locks.act();
        const isBetween = draw(3) === 0;
        if (isBetween) await killEverything(scene);
        locks.openAll();
        if (isBetween) fam.start();
      } finally {
        locks.openAll();
      }
    },
  },
  // Writers wait: one of them would make it anew.
  'source-renamed': {
    weight: 0,
    async run(scene) {
      const { world, writers } = scene;
      for (const writer of writers) writer.freeze();
      try {
        await movedAway(scene, world.source);
      } finally {
        for (const writer of writers) writer.goOn();
      }
    },
  },
  // Writers go on: their root is a folder, whatever its path.
  'folder-above-renamed': {
    weight: 0,
    async run(scene) {
      await movedAway(scene, dirname(scene.world.path));
    },
  },
  // A step now, and one back when whatever comes next starts the mirror again.
  'clock-step': {
    weight: 3,
    async run(scene) {
      await killEverything(scene);
      scene.fam.start(clockOff((scene.draw(2) === 0 ? -1 : 1) * (1 + scene.draw(100_000))));
    },
  },
  'lose-source-state': {
    weight: 2,
    async run(scene) {
      await killEverything(scene);
      for (const name of readdirSync(scene.world.state))
        rmSync(join(scene.world.state, name), { recursive: true });
      scene.fam.start();
    },
  },
  'lose-replica-state': {
    weight: 2,
    async run(scene) {
      const { place } = replicaOf(scene);
      await killEverything(scene);
      rmSync(join(homeOf(place), 'state'), { recursive: true, force: true });
      scene.fam.start();
    },
  },
  'kill-ssh': {
    ssh: true,
    weight: 8,
    async run({ fam }) {
      kill(fam.sshClients(), 'SIGKILL');
    },
  },
  'freeze-ssh': {
    ssh: true,
    async run({ fam, draw }) {
      await frozen(fam.sshClients(), 200 + draw(2000));
    },
  },
  'cut-link': {
    ssh: true,
    weight: 8,
    async run({ host }) {
      host?.proxy.cut();
    },
  },
  partition: {
    ssh: true,
    async run({ host, draw }) {
      host?.plug(false);
      await delay(draw(4) === 0 ? 20_000 : 200 + draw(3000));
      host?.plug(true);
    },
  },
  'half-open': {
    ssh: true,
    async run({ host, draw }) {
      if (host === undefined) return;
      host.proxy.mode = 'stall';
      await delay(draw(6) === 0 ? 20_000 : 200 + draw(3000));
      host.proxy.mode = 'pass';
      host.proxy.cut();
    },
  },
  dribble: {
    ssh: true,
    async run({ host, draw }) {
      if (host === undefined) return;
      host.proxy.mode = 'dribble';
      await delay(500 + draw(2500));
      if (draw(2) === 0) host.proxy.cut();
      host.proxy.mode = 'pass';
    },
  },
};

/** False: the replica could not be promoted. */
async function promoteAndUndo(fam: FamProcess, place: ReplicaPlace): Promise<boolean> {
  // 36: it never had a whole copy; 33: its agent is frozen.
  const promoted = await fam.command('promote', place.root);
  const undone = await fam.command('promote', '--undo', place.root);
  if (![0, 33, 36].includes(promoted.code ?? -1) || ![0, 33].includes(undone.code ?? -1))
    throw new Error(`fam promote: ${promoted.output}${undone.output}`);
  return promoted.code === 0 && undone.code === 0;
}

/** What fam ends with when its source is not where it was, or not there at all. */
const sourceGoneCodes = [10, 13] as const;

/** A folder has another name for a while; a supervisor starts the mirror again as often as that ends. */
async function movedAway({ fam, draw }: Scene, path: string): Promise<void> {
  fam.mayEndWith(sourceGoneCodes);
  const away = `${path}.away`;
  renameSync(path, away);
  for (let n = draw(12); n > 0; n--) {
    await delay(draw(400));
    fam.start();
  }
  renameSync(away, path);
}

/** The content of one folder as that of another, hard links and all. */
function replace(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  execFileSync('cp', ['-a', from, to]);
}

/** Keeps a copy of a replica as it is now, for `restore-old-replica`. */
export function takeSnapshot(place: ReplicaPlace): void {
  const snapshot = join(place.mount, snapshotName);
  rmSync(snapshot, { recursive: true, force: true });
  mkdirSync(snapshot);
  execFileSync('cp', ['-a', place.root, join(snapshot, 'root')]);
  if (existsSync(homeOf(place))) execFileSync('cp', ['-a', homeOf(place), join(snapshot, 'home')]);
}

/** The faults of one round, in time order. */
export function planFaults(
  draw: (n: number) => number,
  isSsh: boolean,
  only: readonly string[] | undefined,
  more: Readonly<Record<string, number>> = {},
): PlannedFault[] {
  const isSpecial = Object.keys(more).length > 0;
  const bag = Object.entries(faults)
    .filter(([name, fault]) => (isSsh || fault.ssh !== true) && (only === undefined || only.includes(name)))
    .flatMap(([name, { weight = 4 }]) =>
      new Array<string>(more[name] ?? (only === undefined ? weight : weight || 4)).fill(name),
    );
  const planned: PlannedFault[] = [];
  const count = bag.length === 0 ? 0 : isSpecial ? 1 + draw(3) : draw(4);
  for (let n = 0; n < count; n++) {
    planned.push({ name: bag[draw(bag.length)] ?? 'kill-agent', atMs: draw(1500), seed: draw(2 ** 31) });
  }
  return planned.sort((a, b) => a.atMs - b.atMs);
}
