import { closeSync, openSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { close } from './entry-calls.ts';
import { Epoll } from './epoll.ts';
import { eventfd, signalEventfd } from './poll.ts';

describe('Epoll', () => {
  test('tells which of its descriptors are readable', () => {
    using epoll = new Epoll();
    const [a, b] = [eventfd(), eventfd()];
    for (const fd of [a, b, a]) epoll.add(fd);
    expect(epoll.wait(0)).toEqual([]);
    signalEventfd(b);
    expect(epoll.wait()).toEqual([b]);
    epoll.remove(b);
    expect(epoll.wait(0)).toEqual([]);
    close(a);
    close(b);
  });

  test('a descriptor that bears the number of one that was closed is waited for', () => {
    using epoll = new Epoll();
    const former = eventfd();
    epoll.add(former);
    close(former);
    const now = eventfd();
    expect(now).toBe(former);
    epoll.add(now);
    signalEventfd(now);
    expect(epoll.wait(1000)).toEqual([now]);
    close(now);
  });

  test('one that was closed, and whose number a directory bears since, leaves the set', () => {
    using epoll = new Epoll();
    const former = eventfd();
    epoll.add(former);
    close(former);
    const directory = openSync('/', 'r');
    expect(directory).toBe(former);
    epoll.remove(former);
    closeSync(directory);
  });
});
