// A thread that cannot go on, as its watches see it. It runs what was built.

import {
  appendFileSync,
  closeSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { watch } from './watch.ts';

/** This process's descriptors that lead to something, `anon_inode:inotify` for example. */
function descriptors(what: string): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => linkOf(fd) === what);
}

function linkOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined; // The one that the folder was read through.
  }
}

/** The watch thread's own, once it waits: no other one waits for urgent data and for other data as well. */
function threadEpoll(): number | undefined {
  const isOurs = (fd: number): boolean =>
    /events: +1b /.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  return descriptors('anon_inode:[eventpoll]').find(isOurs);
}

test('a watch thread that cannot go on tells each of its watches, and keeps nothing open', async () => {
  const before = descriptors('anon_inode:inotify');
  const watchers = [tempFolder(), tempFolder()].map((root) => watch(root, { recursive: false }));
  const ends = Promise.allSettled(watchers.map((watcher) => watcher.listen(() => {})));
  await Promise.all(watchers.map(({ ready }) => ready));
  // They share one.
  expect(descriptors('anon_inode:inotify').length).toBe(before.length + 1);
  closeSync(await waitFor(threadEpoll, { describe: 'the thread to wait' }));
  // Wakes it; nothing may be opened before, which would get that number.
  watchers[0]?.resume();
  const failed = { status: 'rejected', reason: expect.objectContaining({ code: 'INTERNAL' }) };
  expect(await ends).toEqual([failed, failed]);
  await waitFor(() => descriptors('anon_inode:inotify').length === before.length, {
    describe: 'everything to be closed',
  });
});

test('a thousand files in a thousand folders are watched at once, by one watch each or one for all', async () => {
  const top = tempFolder();
  const paths = Array.from({ length: 1000 }, (_, i) => join(top, `${i}`, 'file'));
  for (const path of paths) {
    mkdirSync(dirname(path));
    writeFileSync(path, '');
  }
  const instances = descriptors('anon_inode:inotify').length;
  const some = [0, 500, 999].map((i) => paths[i] ?? '');
  for (const watchers of [[watch(paths)], paths.map((path) => watch(path))]) {
    const told = new Set<string>();
    const ends = watchers.map((watcher) => watcher.listen(({ path }) => void told.add(path)));
    await Promise.all(watchers.map(({ ready }) => ready));
    expect(descriptors('anon_inode:inotify').length).toBe(instances + 1);
    for (const path of some) appendFileSync(path, 'x');
    await waitFor(() => some.every((path) => told.has(path)), {
      describe: () => `those: ${[...told].join()}`,
    });
    expect(told.size).toBe(some.length);
    await Promise.all(watchers.map((watcher) => watcher.close()));
    await Promise.all(ends);
  }
});

test('a watch that is closed while its tree is listed does not wait for the rest', async () => {
  const root = tempFolder();
  for (let i = 0; i < 200; i++) mkdirSync(join(root, `${i}`));
  // Both are there before the thread is.
  const watcher = watch(root);
  const closed = watcher.close();
  await expect(watcher.ready).rejects.toThrow('closed before it was ready');
  await closed;
  expect((await watcher[Symbol.asyncIterator]().next()).done).toBe(true);
});

test('a watch that is suspended keeps back what has come already', async () => {
  const root = tempFolder();
  const watcher = watch(root, { events: ['created'] });
  await watcher.ready;
  const names = Array.from({ length: 100 }, (_, i) => `${i}`);
  for (const name of names) writeFileSync(join(root, name), '');
  const told: string[] = [];
  const ended = watcher.listen(({ path }) => {
    told.push(path);
    // All of them are on their way, most of them here.
    if (told.length === 1) {
      watcher.suspend();
      setTimeout(() => watcher.resume(), 200);
      setTimeout(() => told.push('resumed soon'), 150);
    }
  });
  await waitFor(() => told.length === names.length + 1, { describe: () => told.join() });
  expect(told[1]).toBe('resumed soon');
  expect(told.filter((path) => path !== 'resumed soon')).toEqual(names.map((name) => join(root, name)));
  await watcher.close();
  await ended;
});
