import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Mapping } from '../../test/torture/calls.ts';
import { rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { TreeStore } from '../tree/store.ts';
import { ReadingTurn } from './reading-turn.ts';
import { type TreeEvent, TreeThread, type TreeThreadOptions } from './tree-thread.ts';

let dir = '';
let root = '';
let events: TreeEvent[] = [];
const threads: TreeThread[] = [];
const readers: TreeStore[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'fam-thread-'));
  root = join(dir, 'root');
  mkdirSync(root);
  events = [];
});
afterEach(async () => {
  for (const reader of readers.splice(0)) reader.close();
  for (const thread of threads.splice(0)) await thread.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function start(over: Partial<TreeThreadOptions> = {}): Promise<TreeThread> {
  const thread = await TreeThread.start({ root, stateDir: join(dir, 'state'), ...over }, (event) =>
    events.push(event),
  );
  threads.push(thread);
  return thread;
}

function reader(): TreeStore {
  const store = TreeStore.open(join(dir, 'state'), { role: 'reader' });
  readers.push(store);
  return store;
}

const name = (text: string): Name => text as Name;

async function until(what: () => boolean, ms = 5000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!what()) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what.toString()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe.each(['fanotify', 'inotify'] as const)('TreeThread with %s', (monitor) => {
  test('what is missing where it is recorded, although no event has told, makes it compare everything', async () => {
    writeFileSync(join(root, 'f'), 'x');
    const thread = await start({ monitor });
    const before = await thread.barrier();
    // Of what is stored through a mapping the kernel tells nothing before the file is closed; its mtime moves (not on tmpfs).
    const fd = openSync(join(root, 'f'), 'r+');
    const mapping = new Mapping(fd, 1);
    try {
      mapping.store(0, Buffer.from('y'));
      expect(await thread.barrier()).toBe(before);
      thread.missing(name('f'));
      await until(() => thread.head > before);
    } finally {
      mapping.close();
      closeSync(fd);
    }
    expect(events).toContainEqual(expect.objectContaining({ type: 'condition', code: 'missing', path: 'f' }));
  });

  test('records what is there, then what happens, and ends', async () => {
    mkdirSync(join(root, 'a'));
    writeFileSync(join(root, 'a', 'f'), 'x');
    const thread = await start({ monitor });
    expect(await thread.barrier()).toBe(1);
    expect(events.filter((e) => e.type === 'scan').at(-1)).toEqual({
      type: 'scan',
      files: 2,
      directories: 2,
      sockets: 0,
      done: true,
    });
    const store = reader();
    const a = store.entry(rootId, name('a'))?.id ?? 0;
    expect([...store.list(a)].map((e) => e.name)).toEqual(['f']);
    writeFileSync(join(root, 'g'), 'yy');
    await until(() => events.some((e) => e.type === 'head'));
    await thread.barrier();
    store.refresh();
    const g = store.entry(rootId, name('g'));
    expect(store.inode(g?.id ?? 0)).toMatchObject({ size: 2, links: 1, name: 'g' });
    await thread.stop();
    await expect(thread.barrier()).rejects.toMatchObject({ code: 'NOT_RUNNING' });
  });

  test('barrier: holds what was written before it, also to a log that is not closed', async () => {
    const thread = await start({ monitor, settleMs: 60_000, hotFileMaxDelayMs: 60_000 });
    await thread.barrier();
    const store = reader();
    const fd = openSync(join(root, 'log'), 'a');
    writeSync(fd, '12345');
    for (let i = 0; i < 500; i++) writeFileSync(join(root, `f${i}`), 'x');
    await thread.barrier();
    store.refresh();
    expect(store.stats.entries).toBe(501);
    expect(store.inode(store.entry(rootId, name('log'))?.id ?? 0)?.size).toBe(5);
    closeSync(fd);
  });

  test('a file that is written to now and then is recorded when it rests', async () => {
    const thread = await start({ monitor, settleMs: 30 });
    await thread.barrier();
    const fd = openSync(join(root, 'log'), 'a');
    writeSync(fd, '12345');
    const store = reader();
    await until(() => {
      store.refresh();
      return store.inode(store.entry(rootId, name('log'))?.id ?? 0)?.size === 5;
    });
    appendFileSync(join(root, 'log'), '6');
    await until(() => {
      store.refresh();
      return store.inode(store.entry(rootId, name('log'))?.id ?? 0)?.size === 6;
    });
    closeSync(fd);
  });

  test('the root moves away: nothing is deleted, recording ends and says so', async () => {
    writeFileSync(join(root, 'f'), 'x');
    const thread = await start({ monitor });
    await thread.barrier();
    renameSync(root, `${root}.old`);
    await until(() => events.some((e) => e.type === 'failed'));
    expect(events.find((e) => e.type === 'failed')).toMatchObject({ error: { code: 'SOURCE_DOUBTFUL' } });
    await thread.stop();
    mkdirSync(root);
    await expect(start({ monitor })).rejects.toMatchObject({ code: 'SOURCE_DOUBTFUL' });
    rmSync(root, { recursive: true });
    renameSync(`${root}.old`, root);
    const again = await start({ monitor });
    await again.barrier();
    expect(reader().entry(rootId, name('f'))?.id).toBeGreaterThan(0);
  });
});

test('TreeThread leaves what a long round has recorded to the reader, until that has read it or somebody waits', async () => {
  const turn = new ReadingTurn();
  const words = new Int32Array(turn.memory);
  const thread = await start({ readingTurn: turn.memory });
  const store = reader();
  const folders = 300;
  const places = ['here', 'there'] as const;
  for (const place of places) mkdirSync(join(root, place));
  for (let n = 0; n < folders; n++) mkdirSync(join(root, 'here', `${n}`));
  let rounds = 0;
  /** Folders move without a pause, until a head has been offered. */
  const offered = async (): Promise<number> => {
    await until(() => {
      const [from, to] = rounds++ % 2 === 0 ? places : [places[1], places[0]];
      for (let n = 0; n < folders; n++) renameSync(join(root, from, `${n}`), join(root, to, `${n}`));
      return Atomics.load(words, 0) !== 0;
    }, 60_000);
    store.refresh();
    return store.head;
  };
  const head = await offered();
  turn.done(head);
  await until(() => thread.head > head);
  await offered();
  await thread.barrier();
  const recorded = reader();
  const last = recorded.entry(rootId, name(places[rounds % 2] ?? ''))?.id ?? 0;
  expect([...recorded.list(last)]).toHaveLength(folders);
}, 100_000);

test('TreeThread.start: a second one on the same state is refused, and the first goes on', async () => {
  const thread = await start();
  await expect(start()).rejects.toMatchObject({ code: 'STATE_IN_USE' });
  await thread.barrier();
});

test('TreeThread: idle, it takes no processor time', async () => {
  const thread = await start();
  await thread.barrier();
  // The test runner is in this process, too, and may be busy for a moment; a thread that polls would never be quiet.
  let used = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 20 && used >= 30_000; tries++) {
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { user, system } = process.cpuUsage(before);
    used = user + system;
  }
  expect(used).toBeLessThan(30_000);
});

test('TreeThread.prune: forgets what was deleted, when nothing else is to be done', async () => {
  for (let i = 0; i < 50; i++) writeFileSync(join(root, `f${i}`), '');
  const thread = await start();
  await thread.barrier();
  for (let i = 0; i < 50; i++) rmSync(join(root, `f${i}`));
  const head = await thread.barrier();
  const store = reader();
  expect([...store.listAll(rootId)].length).toBe(50);
  thread.prune(head);
  await until(() => {
    store.refresh();
    return store.pruned === head;
  });
  expect([...store.listAll(rootId)]).toEqual([]);
  expect([...store.journal(0)]).toEqual([]);
  writeFileSync(join(root, 'after'), '');
  const after = await thread.barrier();
  store.refresh();
  expect([...store.journal(head)].at(-1)?.seq).toBe(after);
});
