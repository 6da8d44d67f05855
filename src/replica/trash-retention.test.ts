import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ReplicaPair } from '../../test/support/replica-pair.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { AT_FDCWD, close, O_DIRECTORY, O_RDONLY, openat } from '../kernel/sys.ts';
import { openHome } from './home.ts';
import { type Clocks, dayMs } from './passed-time.ts';
import { Trash } from './trash.ts';
import { TrashRetention } from './trash-retention.ts';

class Replica {
  readonly folder = tempFolder('fam-retention', '/dev/shm');
  readonly root = join(this.folder, 'r');
  readonly trash = join(this.folder, '.fam-r/trash');
  readonly home = openHome(this.root);
  clocks: Clocks = { bootId: 'one', uptimeMs: 5000, wallMs: Date.parse('2026-01-01') };
  readonly #trash = new Trash(this.home);

  constructor() {
    onTestFinished(() => this.home.close());
  }

  keep(name: string): void {
    expect(this.#trash.keep(this.home.rootFd, name, name, 'a test')).toBe(0);
  }

  keepFile(name: string): void {
    fs.writeFileSync(join(this.root, name), name);
    this.keep(name);
  }

  pass(days: number): void {
    const ms = days * dayMs;
    const { bootId, uptimeMs, wallMs } = this.clocks;
    this.clocks = { bootId, uptimeMs: uptimeMs + ms, wallMs: wallMs + ms };
  }

  /** An agent starts, does what there is to do, and ends. */
  runAgent(): void {
    const retention = new TrashRetention(this.home, () => this.clocks);
    while (retention.work());
    retention.close();
  }

  runDaily(days: number): void {
    for (let day = 0; day < days; day++) {
      this.pass(1);
      this.runAgent();
    }
  }

  listed(): string[] {
    const lines = fs.readFileSync(join(this.trash, 'list.jsonl'), 'utf8').split('\n');
    return lines.filter((line) => line !== '').map((line) => String(JSON.parse(line).path));
  }

  /** How many things are in the trash, besides its list. */
  count(): number {
    return fs.readdirSync(this.trash).length - 1;
  }
}

test('what has been in the trash for 30 days goes, and nothing that came after it', () => {
  const replica = new Replica();
  const { root } = replica;
  fs.writeFileSync(join(replica.folder, 'outside'), 'outside');
  fs.mkdirSync(join(root, 'folder/a/b/c'), { recursive: true });
  for (let i = 0; i < 1200; i++) fs.writeFileSync(join(root, `folder/a/${i}`), '');
  fs.symlinkSync(replica.folder, join(root, 'folder/a/link'));
  replica.keep('folder');
  fs.symlinkSync(join(replica.folder, 'outside'), join(root, 'link'));
  replica.keep('link');
  replica.runAgent();
  replica.pass(29);
  replica.keepFile('late');
  replica.runAgent();
  expect(replica.listed()).toEqual(['folder', 'link', 'late']);
  replica.pass(1);
  replica.runAgent();
  expect(replica.listed()).toEqual(['late']);
  expect(replica.count()).toBe(1);
  expect(fs.readFileSync(join(replica.folder, 'outside'), 'utf8')).toBe('outside');
  replica.runDaily(28);
  expect(replica.listed()).toEqual(['late']);
  replica.runDaily(1);
  expect(replica.listed()).toEqual([]);
  expect(replica.count()).toBe(0);
});

test('looks once a day while it runs', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const replica = new Replica();
  replica.keepFile('one');
  const read = vi.fn(() => replica.clocks);
  const retention = new TrashRetention(replica.home, read);
  const day = (): void => {
    replica.pass(1);
    vi.advanceTimersByTime(dayMs);
    expect([retention.work(), retention.work()]).toEqual([false, false]);
  };
  retention.work();
  for (let n = 1; n < 30; n++) day();
  expect(replica.count()).toBe(1);
  day();
  expect(replica.count()).toBe(0);
  expect(read).toHaveBeenCalledTimes(31);
});

test.each([
  ['forward by years', (clocks: Clocks) => ({ ...clocks, wallMs: clocks.wallMs + 5000 * dayMs })],
  ['back by years', (clocks: Clocks) => ({ ...clocks, wallMs: 0 })],
])('a clock that is set %s makes nothing old, with a boot or without', (_, set) => {
  for (const bootId of ['one', 'two', '']) {
    const replica = new Replica();
    replica.keepFile('before');
    replica.runAgent();
    const { wallMs } = replica.clocks;
    replica.clocks = { ...set(replica.clocks), bootId };
    replica.keepFile('then');
    replica.runDaily(2);
    replica.clocks = { ...replica.clocks, wallMs: wallMs + 2 * dayMs };
    replica.runDaily(20);
    expect(replica.listed()).toEqual(['before', 'then']);
    expect(replica.count()).toBe(2);
    // A calendar that was far ahead counts for nothing until it gets there again; the time since the boot does.
    replica.clocks = { ...replica.clocks, bootId: 'three' };
    replica.runDaily(40);
    expect(replica.listed()).toEqual([]);
  }
});

test('days between boots count, but not what the calendar says beyond them', () => {
  const replica = new Replica();
  replica.keepFile('one');
  replica.runAgent();
  for (let boot = 0; boot < 29; boot++) {
    replica.pass(boot);
    replica.clocks = { ...replica.clocks, bootId: `boot ${boot}`, uptimeMs: 0 };
    replica.runAgent();
  }
  expect(replica.count()).toBe(1);
  replica.runDaily(2);
  expect(replica.count()).toBe(0);
});

test('an agent that was ended over it is followed by one that goes on', () => {
  const replica = new Replica();
  fs.mkdirSync(join(replica.root, 'folder/in/side'), { recursive: true });
  for (let i = 0; i < 5000; i++) fs.writeFileSync(join(replica.root, `folder/in/${i}`), '');
  replica.keep('folder');
  replica.keepFile('one');
  replica.runAgent();
  replica.pass(30);
  const retention = new TrashRetention(replica.home, () => replica.clocks);
  expect(retention.work()).toBe(true);
  retention.close();
  expect(replica.listed()).toEqual(['folder', 'one']);
  replica.runAgent();
  expect(replica.listed()).toEqual([]);
  expect(replica.count()).toBe(0);
});

test('a list that somebody has begun anew says nothing of what is older', () => {
  const replica = new Replica();
  replica.keepFile('one');
  replica.runAgent();
  fs.rmSync(join(replica.trash, 'list.jsonl'));
  replica.keepFile('two');
  replica.pass(31);
  replica.runAgent();
  expect(replica.listed()).toEqual(['two']);
  expect(replica.count()).toBe(2);
});

test('names outside of the trash are not removed, whatever the list says; lines that were cut off stay', () => {
  const replica = new Replica();
  fs.writeFileSync(join(replica.root, 'file'), '');
  const list = join(replica.trash, 'list.jsonl');
  const line = (kept: string): string => `${JSON.stringify({ path: 'x', kept })}\n`;
  fs.writeFileSync(
    list,
    `${line('../../r/file')}${line('list.jsonl')}{"path":"cut\n${line('1-2-3/../../../r/file')}`,
  );
  replica.keepFile('one');
  replica.runAgent();
  replica.pass(31);
  replica.runAgent();
  expect(fs.readFileSync(list, 'utf8')).toBe('{"path":"cut\n');
  expect(fs.readdirSync(replica.root)).toEqual(['file']);
});

test('what something is mounted on stays, with what is mounted there', () => {
  const replica = new Replica();
  const mount = join(replica.root, 'folder/in/mount');
  fs.mkdirSync(mount, { recursive: true });
  fs.writeFileSync(join(replica.root, 'folder/in/file'), '');
  execFileSync('mount', ['-t', 'tmpfs', 'fam-test', mount]);
  const fd = openat(AT_FDCWD, mount, O_RDONLY | O_DIRECTORY);
  onTestFinished(() => {
    execFileSync('umount', [fs.readlinkSync(`/proc/self/fd/${fd}`), '-l']);
    close(fd);
  });
  fs.writeFileSync(join(mount, 'mounted'), '');
  replica.keep('folder');
  replica.runAgent();
  replica.pass(31);
  replica.runAgent();
  replica.runDaily(1);
  expect(fs.readdirSync(`/proc/self/fd/${fd}`)).toEqual(['mounted']);
});

test('an agent that starts empties it', () => {
  const pair = new ReplicaPair(tempFolder('fam-retention', '/dev/shm'));
  onTestFinished(() => pair.close());
  fs.writeFileSync(join(pair.source, 'a'), 'new');
  pair.record();
  fs.mkdirSync(pair.replica);
  fs.writeFileSync(join(pair.replica, 'a'), 'somebody’s');
  pair.connect();
  const own = join(pair.folder, '.fam-replica');
  expect(fs.readdirSync(join(own, 'trash'))).toHaveLength(2);
  const marks = join(own, 'state/trash-marks');
  pair.connect();
  const memory = JSON.parse(fs.readFileSync(marks, 'utf8'));
  expect(memory.marks).toHaveLength(1);
  memory.marks[0].passedMs -= 30 * dayMs;
  fs.writeFileSync(marks, JSON.stringify(memory));
  pair.connect();
  expect(fs.readdirSync(join(own, 'trash'))).toEqual(['list.jsonl']);
});
