// The watch thread: sleeps until the kernel has events or the main thread has a message, and turns the one into the other.

import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { FamError } from '../core/errors.ts';
import { Epoll } from '../kernel/epoll.ts';
import { ForeignPause } from '../kernel/foreign-pause.ts';
import { drainEventfd, eventfd } from '../kernel/poll.ts';
import { check } from '../kernel/sys-error.ts';
import type { FdList } from './fd-list.ts';
import { Session } from './session.ts';
import type { FromWatchThread, ToWatchThread, WatchNumber } from './watch-messages.ts';

const port = parentPort;
if (port === null) throw new Error('watch-worker is a thread entry');

const sessions = new Map<WatchNumber, Session>();
const wakeFd = check(eventfd(), 'eventfd');
const foreignPause = new ForeignPause(wakeFd);
/** Taken from the port while something else was being done. */
const received: ToWatchThread[] = [];
let isEnding = false;

function post(message: FromWatchThread): void {
  port?.postMessage(message);
}

/** A watch that fails takes nothing but itself along. */
function guarded(watch: WatchNumber, act: () => boolean): boolean {
  try {
    return act();
  } catch (error) {
    sessions.get(watch)?.close();
    sessions.delete(watch);
    const known = error instanceof FamError ? error : undefined;
    const message = error instanceof Error ? error.message : String(error);
    post({
      type: 'failed',
      watch,
      code: known?.code ?? 'INTERNAL',
      message,
      retryable: known?.retryable ?? false,
    });
    return false;
  }
}

function receive(message: ToWatchThread): void {
  if (message.type === 'end') {
    isEnding = true;
    return;
  }
  const { watch } = message;
  const session = sessions.get(watch);
  guarded(watch, () => {
    switch (message.type) {
      case 'open':
        sessions.set(watch, new Session(watch, message.options, post, () => mustGoOn(watch)));
        sessions.get(watch)?.send();
        break;
      case 'taken':
        session?.taken();
        break;
      case 'suspend':
        session?.suspend();
        break;
      case 'resume':
        session?.resume();
        break;
      case 'close':
        session?.close();
        sessions.delete(watch);
        post({ type: 'closed', watch });
        break;
    }
    return false;
  });
}

function receiveAll(): void {
  takeMessages();
  for (let next = received.shift(); next !== undefined; next = received.shift()) {
    receive(next);
    takeMessages();
  }
}

function takeMessages(): void {
  if (port === null) return;
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    // Only the main thread's handle (watch-thread.ts) posts here.
    received.push(next.message as ToWatchThread);
  }
}

/** A large tree takes seconds to list: nobody who closes its watch waits for that. */
function mustGoOn(watch: WatchNumber): void {
  takeMessages();
  const isOver = received.some(
    (message) => message.type === 'end' || (message.type === 'close' && message.watch === watch),
  );
  if (isOver) throw new FamError('INTERNAL', 'the watch was closed before it was ready');
}

function waitFor(epoll: Epoll, fds: readonly number[]): void {
  epoll.retain([wakeFd, ...fds]);
  epoll.add(wakeFd);
  for (const [number, session] of [...sessions]) {
    guarded(number, () => {
      for (const fd of session.fdLists.flat()) epoll.add(fd);
      return false;
    });
  }
}

/** The thread cannot go on: each watch is told, and what it holds of the kernel is freed. */
function failAll(error: unknown): void {
  for (const number of [...sessions.keys()]) {
    guarded(number, () => {
      throw error;
    });
  }
}

/** Runs until told to end: the thread's own event loop never turns, so that waking costs one system call. */
function run(): void {
  using epoll = new Epoll();
  let more = false;
  // What epoll waits for: a system call for each descriptor in each turn would be a quarter of what an event costs (measured).
  let known: readonly FdList[] | undefined;
  while (!isEnding) {
    const lists = [...sessions.values()].flatMap((session) => session.fdLists);
    if (known?.length !== lists.length || lists.some((list, index) => list !== known?.[index])) {
      known = lists;
      waitFor(epoll, lists.flat());
    }
    const deadline = Math.min(...[...sessions.values()].map((session) => session.deadline ?? Infinity));
    const timeout = more ? 0 : deadline === Infinity ? undefined : Math.max(0, deadline - performance.now());
    const ready = epoll.wait(timeout);
    if (!more) for (const session of sessions.values()) session.woke();
    if (ready.includes(wakeFd)) {
      drainEventfd(wakeFd);
      receiveAll();
    }
    more = false;
    for (const [number, session] of sessions) more = guarded(number, () => session.turn()) || more;
    if (!more && ready.length > 0 && !ready.includes(wakeFd)) foreignPause.take();
  }
  for (const session of sessions.values()) session.close();
}

post({ type: 'started', wakeFd });
receiveAll();
try {
  run();
} catch (error) {
  failAll(error);
}
port.close();
