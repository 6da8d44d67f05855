import { closeSync, openSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { close } from './entry-calls.ts';
import { Epoll } from './epoll.ts';
import { eventfd, signalEventfd } from './poll.ts';

/** As a thread does that waits for others from now on. */
function hold(epoll: Epoll, fds: readonly number[]): void {
  epoll.retain(fds);
  for (const fd of fds) epoll.add(fd);
}

describe('Epoll', () => {
  test('tells which of its descriptors are readable', () => {
    using epoll = new Epoll();
    const [a, b] = [eventfd(), eventfd()];
    hold(epoll, [a, b]);
    expect(epoll.wait(0)).toEqual([]);
    signalEventfd(b);
    expect(epoll.wait()).toEqual([b]);
    hold(epoll, [a]);
    expect(epoll.wait(0)).toEqual([]);
    close(a);
    close(b);
  });

  test('a descriptor that bears the number of one that was closed is waited for', () => {
    using epoll = new Epoll();
    const former = eventfd();
    hold(epoll, [former]);
    close(former);
    const now = eventfd();
    expect(now).toBe(former);
    hold(epoll, [now]);
    signalEventfd(now);
    expect(epoll.wait(1000)).toEqual([now]);
    close(now);
  });

  test('one that was closed, and whose number a directory bears since, leaves the set', () => {
    using epoll = new Epoll();
    const former = eventfd();
    hold(epoll, [former]);
    close(former);
    const directory = openSync('/', 'r');
    expect(directory).toBe(former);
    hold(epoll, []);
    closeSync(directory);
  });
});
