// Ways to take the events of a watch, and to leave it.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { type Watcher, type WatchOptions, watch } from './watch.ts';

const done = { done: true, value: undefined };

async function watchFolder(options: WatchOptions = {}): Promise<{ root: string; watcher: Watcher }> {
  const root = tempFolder();
  const watcher = watch(root, { recursive: false, ...options });
  onTestFinished(() => watcher.close());
  await watcher.ready;
  return { root, watcher };
}

describe('the iterator of a watch', () => {
  test('return ends a next that is pending, and the watch', async () => {
    const { watcher } = await watchFolder();
    const events = watcher[Symbol.asyncIterator]();
    const pending = events.next();
    expect(await events.return()).toEqual(done);
    expect(await pending).toEqual(done);
    expect(await events.next()).toEqual(done);
  });

  test('return before the first next ends the watch', async () => {
    const { root, watcher } = await watchFolder();
    const events = watcher[Symbol.asyncIterator]();
    await events.return();
    writeFileSync(join(root, 'file'), '');
    expect(await events.next()).toEqual(done);
  });

  test('throw ends a next that is pending, and rejects with what it was given', async () => {
    const { watcher } = await watchFolder();
    const events = watcher[Symbol.asyncIterator]();
    const pending = events.next();
    await expect(events.throw(new Error('enough'))).rejects.toThrow('enough');
    expect(await pending).toEqual(done);
  });

  test('several may be asked for at once; they come in their order', async () => {
    const { root, watcher } = await watchFolder();
    const events = watcher[Symbol.asyncIterator]();
    const both = Promise.all([events.next(), events.next()]);
    writeFileSync(join(root, 'file'), '');
    expect((await both).map(({ value }) => value?.type)).toEqual(['created', 'changed']);
  });

  test('a race with a timeout leaves nothing hanging', async () => {
    const { root, watcher } = await watchFolder();
    const events = watcher[Symbol.asyncIterator]();
    const pending = events.next();
    expect(await Promise.race([pending, delay(10, 'late')])).toBe('late');
    writeFileSync(join(root, 'file'), '');
    expect(await pending).toMatchObject({ done: false, value: { type: 'created' } });
    await events.return();
  });

  test('close and an abort end a next that is pending', async () => {
    const abort = new AbortController();
    for (const options of [{}, { signal: abort.signal }]) {
      const { watcher } = await watchFolder(options);
      const pending = watcher[Symbol.asyncIterator]().next();
      if (options.signal === undefined) await watcher.close();
      else abort.abort();
      expect(await pending).toEqual(done);
    }
  });

  test('await using ends the watch, of the watcher and of the iterator', async () => {
    const pending: Promise<unknown>[] = [];
    {
      await using watcher = watch(tempFolder(), { recursive: false });
      pending.push(watcher[Symbol.asyncIterator]().next());
      await watcher.ready;
    }
    {
      const { watcher } = await watchFolder();
      await using events = watcher[Symbol.asyncIterator]();
      pending.push(events.next());
    }
    expect(await Promise.all(pending)).toEqual([done, done]);
  });

  test('a failure is told once; then it is done', async () => {
    const events = watch('/nowhere/at/all')[Symbol.asyncIterator]();
    const both = Promise.allSettled([events.next(), events.next()]);
    expect(await both).toMatchObject([
      { status: 'rejected', reason: { code: 'SOURCE_MISSING' } },
      { status: 'fulfilled', value: done },
    ]);
  });

  test('there is one consumer', async () => {
    const { watcher } = await watchFolder();
    watcher[Symbol.asyncIterator]();
    await expect(watcher.listen(() => {})).rejects.toMatchObject({ code: 'USAGE' });
  });
});

test('many watches, and one signal for all of them, are no leak in the eyes of Node.js', async () => {
  const warned = vi.fn();
  process.on('warning', warned);
  onTestFinished(() => void process.off('warning', warned));
  const abort = new AbortController();
  const root = tempFolder();
  const watchers = Array.from({ length: 11 }, () => watch(root, { signal: abort.signal }));
  await Promise.all(watchers.map(({ ready }) => ready));
  abort.abort();
  await Promise.all(watchers.map((watcher) => watcher.close()));
  expect(warned.mock.calls).toEqual([]);
});

test.each([
  [{ events: ['create'] }, 'watch: events: unknown "create"; there are: exists, endExist, created, changed'],
  [{ monitor: 'kqueue' }, 'watch: monitor: unknown "kqueue"; there are: fanotify, inotify'],
])('%j is refused with what there is', (options, message) => {
  // As a program without types does it.
  const start = (): unknown => Reflect.apply(watch, undefined, ['/tmp', options]);
  expect(start).toThrow(message);
  expect(start).toThrow(expect.objectContaining({ code: 'USAGE' }));
});
