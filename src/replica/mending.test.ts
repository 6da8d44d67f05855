import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { compareTrees } from '../../test/oracle/compare-trees.ts';
import { setNote } from '../../test/support/set-note.ts';
import { SteppedLink, SteppedSource } from '../../test/support/stepped-mirror.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { waitFor } from '../../test/support/wait-for.ts';

vi.mock('./mending-pace.ts', () => ({ lookMs: 0, lookShare: Infinity, retryDelayMs: 0, retryDelayMsMax: 0 }));

const isRoot = process.geteuid?.() === 0;
const large = Buffer.alloc(300_000, 'b');

/** A source, and a replica in which folders are locked, as by `chattr +i`. */
class Mended {
  readonly folder = tempFolder('fam-mending', '/dev/shm');
  readonly root = join(this.folder, 'source');
  readonly replica = join(this.folder, 'replica');
  /** Messages of either side, since the last connection. */
  readonly said: string[] = [];
  readonly #source: SteppedSource;
  #link: SteppedLink | undefined;

  constructor(...folders: string[]) {
    const state = join(this.folder, 'state');
    for (const one of [state, this.replica, ...folders.map((name) => this.at(name))])
      mkdirSync(one, { recursive: true });
    this.#source = new SteppedSource(this.root, state);
    onTestFinished(() => {
      this.cut();
      this.#source[Symbol.dispose]();
    });
  }

  at(name: string): string {
    return join(this.root, name);
  }

  there(name: string): string {
    return join(this.replica, name);
  }

  connect(init = false): void {
    this.said.length = 0;
    this.#link = new SteppedLink(this.#source, this.replica, {
      init,
      trusted: false,
      compares: false,
      killAt: Infinity,
      trace: (line) => this.said.push(line()),
    });
  }

  cut(): void {
    this.#link?.[Symbol.dispose]();
    this.#link = undefined;
  }

  lock(...names: string[]): void {
    for (const name of names) {
      execFileSync('chattr', ['+i', this.there(name)]);
      onTestFinished(() => void spawnSync('chattr', ['-i', this.there(name)]));
    }
  }

  unlock(...names: string[]): void {
    execFileSync('chattr', ['-i', ...names.map((name) => this.there(name))]);
  }

  /** Until nothing comes of it any more. */
  async settle(): Promise<void> {
    let quiet = 0;
    await waitFor(
      () => {
        this.#source.listen();
        let hasMoved = false;
        while (this.#source.step()) hasMoved = true;
        while (this.#link?.turn(() => 0, false) === true) hasMoved = true;
        const isIdle = this.#source.isAtRest && this.#link?.isIdle !== false;
        quiet = hasMoved || !isIdle ? 0 : quiet + 1;
        return quiet > 3;
      },
      { describe: 'quiet', intervalMs: 1 },
    );
  }

  get differences(): string[] {
    return compareTrees(this.root, this.replica, { owner: true }).map(({ path, what }) => `${path}: ${what}`);
  }

  /** What the source was told last of how much has failed. */
  get failing(): number {
    const told = this.#link?.events.filter((event) => event.type === 'failing') ?? [];
    return told.at(-1)?.failing.count ?? 0;
  }

  get mode(): string | undefined {
    return this.#link?.events.find((event) => event.type === 'met')?.mode;
  }

  get trash(): string[] {
    const trash = join(this.folder, '.fam-replica/trash');
    return existsSync(trash) ? readdirSync(trash) : [];
  }

  listingsOf(directory: number): number {
    return this.said.filter((line) => line.startsWith(`-> {"type":"listing","directory":${directory},`))
      .length;
  }
}

/** All that can happen in a folder, and all that goes in and out of it. */
function changeMuch(mended: Mended): void {
  writeFileSync(mended.at('p/a'), '22');
  rmSync(mended.at('p/b'));
  writeFileSync(mended.at('p/c'), 'new');
  mkdirSync(mended.at('p/d/e'), { recursive: true });
  for (const folder of ['p/d', 'p/d/e']) {
    writeFileSync(mended.at(`${folder}/x`), 'x');
    writeFileSync(mended.at(`${folder}/large`), large);
  }
  writeFileSync(mended.at('p/large'), large);
  renameSync(mended.at('p/sub'), mended.at('q/sub'));
  renameSync(mended.at('q/page'), mended.at('p/page'));
  chmodSync(mended.at('p'), 0o700);
}

async function inSync(): Promise<Mended> {
  const mended = new Mended('p/sub/deep', 'q', 'r/s');
  for (const name of ['p/a', 'p/b', 'p/sub/deep/f', 'q/page', 'r/s/other'])
    writeFileSync(mended.at(name), '1');
  mended.connect();
  await mended.settle();
  expect(mended.differences).toEqual([]);
  return mended;
}

test.runIf(isRoot)(
  'attributes that a locked folder does not take are made up for, and are no lack of the file system',
  async () => {
    const mended = await inSync();
    mended.lock('p', 'q');
    setNote(mended.at('p'));
    chownSync(mended.at('q'), 1001, 1001);
    await mended.settle();
    expect(mended.failing).toBe(2);
    expect(mended.said.filter((line) => line.includes('unsupported'))).toEqual([]);
    mended.unlock('p', 'q');
    await mended.settle();
    expect(mended.differences).toEqual([]);
    expect(mended.failing).toBe(0);
  },
);

test.runIf(isRoot)('what could not be written is made up for as soon as somebody has mended it', async () => {
  const mended = await inSync();
  mended.lock('p');
  mended.said.length = 0;
  changeMuch(mended);
  await mended.settle();
  expect(mended.failing).toBeGreaterThan(5);
  expect(mended.differences).not.toEqual([]);
  // Somebody else is not kept waiting, and nobody asks as long as nothing has changed.
  writeFileSync(mended.at('r/s/other'), '22');
  await mended.settle();
  expect(mended.said.filter((line) => line.includes('"again"'))).toEqual([]);
  expect(mended.listingsOf(1)).toBe(0);
  mended.unlock('p');
  await mended.settle();
  expect(mended.differences).toEqual([]);
  expect(mended.failing).toBe(0);
  expect(mended.trash).toEqual([]);
  // No more was listed than the folders in which something had failed.
  expect(mended.said.filter((line) => line.includes('"listing"') && line.includes('"other"'))).toEqual([]);
});

test.runIf(isRoot)('an agent that comes after it goes on where it was, and tries again', async () => {
  const mended = await inSync();
  mended.lock('p');
  changeMuch(mended);
  await mended.settle();
  mended.cut();
  writeFileSync(mended.at('p/more'), 'more');
  mended.connect();
  await mended.settle();
  expect(mended.mode).toBe('resume');
  expect(mended.failing).toBeGreaterThan(5);
  mended.cut();
  mended.unlock('p');
  mended.connect();
  await mended.settle();
  expect(mended.mode).toBe('resume');
  expect(mended.differences).toEqual([]);
  expect(mended.failing).toBe(0);
  mended.cut();
  mended.connect();
  await mended.settle();
  expect(mended.said.filter((line) => line.includes('"again"'))).toEqual([]);
});

test.runIf(isRoot)('what a comparison could not write is made up for as well', async () => {
  const mended = await inSync();
  mended.cut();
  rmSync(join(mended.folder, '.fam-replica'), { recursive: true });
  changeMuch(mended);
  chmodSync(mended.at('r/s'), 0o700);
  mended.lock('p', 'r/s');
  mended.connect(true);
  await mended.settle();
  expect(mended.mode).toBe('reconcile');
  expect(mended.failing).toBeGreaterThan(3);
  mended.unlock('p', 'r/s');
  await mended.settle();
  // What init could not move to the trash no listing brings: that is done by the next comparison.
  expect(mended.differences.map((line) => line.split(':')[0])).toEqual([
    'p/b',
    'p/sub',
    'p/sub/deep',
    'p/sub/deep/f',
  ]);
  expect(mended.failing).toBe(2);
  mended.cut();
  mended.connect(true);
  await mended.settle();
  expect(mended.mode).toBe('reconcile');
  expect(mended.differences).toEqual([]);
});

test.runIf(isRoot)('what a mount hides comes when it can be seen again', async () => {
  const mended = await inSync();
  execFileSync('mount', ['-t', 'tmpfs', 'none', mended.there('p')]);
  let isMounted = true;
  onTestFinished(() => void (isMounted && spawnSync('umount', [mended.there('p')])));
  changeMuch(mended);
  await mended.settle();
  expect(mended.failing).toBeGreaterThan(0);
  execFileSync('umount', [mended.there('p')]);
  isMounted = false;
  await mended.settle();
  expect(mended.differences).toEqual([]);
  expect(mended.failing).toBe(0);
});

test.runIf(isRoot)('what is not to be there any more has not failed', async () => {
  const mended = await inSync();
  mended.lock('p');
  writeFileSync(mended.at('p/new'), 'new');
  mkdirSync(mended.at('p/folder'));
  await mended.settle();
  // And the time of the folder itself.
  expect(mended.failing).toBe(3);
  rmSync(mended.at('p/new'));
  rmSync(mended.at('p/folder'), { recursive: true });
  await mended.settle();
  expect(mended.failing).toBe(1);
  mended.unlock('p');
  await mended.settle();
  expect(mended.failing).toBe(0);
  expect(mended.differences).toEqual([]);
});
