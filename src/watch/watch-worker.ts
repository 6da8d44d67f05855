// The watch thread: sleeps until the kernel has events or the main thread has a message, and turns the one into the other.

import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { FamError } from '../core/errors.ts';
import { ForeignPause } from '../kernel/foreign-pause.ts';
import { drainEventfd, eventfd } from '../kernel/poll.ts';
import { check } from '../kernel/sys-error.ts';
import { Session, type SessionTree } from './session.ts';
import { mostReady, Turns } from './turns.ts';
import type { FromWatchThread, ToWatchThread, WatchNumber } from './watch-messages.ts';

const port = parentPort;
if (port === null) throw new Error('watch-worker is a thread entry');

const sessions = new Map<WatchNumber, Session>();
const wakeFd = check(eventfd(), 'eventfd');
const foreignPause = new ForeignPause(wakeFd);
const turns = new Turns<SessionTree>(wakeFd);
/** Whose consumer has taken pages that do not count as seen yet. */
const unconfirmed = new Set<Session>();
/** Taken from the port while something else was being done. */
const received: ToWatchThread[] = [];
let isEnding = false;

function post(message: FromWatchThread): void {
  port?.postMessage(message);
}

function end(watch: WatchNumber): void {
  const session = sessions.get(watch);
  if (session === undefined) return;
  session.close();
  sessions.delete(watch);
  unconfirmed.delete(session);
}

/** A watch that fails takes nothing but itself along. */
function guarded(watch: WatchNumber, act: () => boolean): boolean {
  try {
    return act();
  } catch (error) {
    end(watch);
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
        sessions.set(watch, new Session(watch, message.options, turns, post, () => mustGoOn(watch)));
        sessions.get(watch)?.send();
        break;
      case 'taken':
        session?.taken();
        if (session !== undefined) unconfirmed.add(session);
        break;
      case 'suspend':
        session?.suspend();
        break;
      case 'resume':
        session?.resume();
        break;
      case 'close':
        end(watch);
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
  while (!isEnding) {
    let mustLook = false;
    for (const session of unconfirmed) mustLook = session.askAbout() || mustLook;
    const asked = [...unconfirmed];
    const ready = turns.wait(mustLook);
    const isWoken = ready.includes(wakeFd);
    if (isWoken) {
      drainEventfd(wakeFd);
      receiveAll();
    }
    takeTurns();
    if (ready.length < mostReady) confirm(asked);
    if (!turns.areAnyDue && ready.length > 0 && !isWoken) foreignPause.take();
  }
}

/** Those who are due, once each. */
function takeTurns(): void {
  const had = new Set<Session>();
  for (const entry of turns.take()) {
    const { session } = entry;
    // It may have failed by now.
    if (!sessions.has(session.number)) continue;
    guarded(session.number, () => session.turn(entry));
    had.add(session);
  }
  for (const session of had)
    if (sessions.has(session.number))
      guarded(session.number, () => {
        session.send();
        return false;
      });
}

/** What they have taken counts as seen, where nothing is left to read of what had happened before. */
function confirm(asked: readonly Session[]): void {
  for (const session of asked) {
    if (!unconfirmed.has(session) || session.isDue) continue;
    guarded(session.number, () => {
      if (session.confirm()) unconfirmed.delete(session);
      return false;
    });
  }
}

post({ type: 'started', wakeFd });
receiveAll();
try {
  run();
} catch (error) {
  failAll(error);
}
for (const number of [...sessions.keys()]) end(number);
turns.close();
port.close();
