import { expect, onTestFinished, test } from 'vitest';
import { close } from '../kernel/entry-calls.ts';
import { drainEventfd, eventfd, signalEventfd } from '../kernel/poll.ts';
import type { FdList } from './fd-list.ts';
import { type Member, Turns } from './turns.ts';

function open(): number {
  const fd = eventfd();
  onTestFinished(() => void close(fd));
  return fd;
}

function turnsOf(...lists: (readonly FdList[])[]) {
  const turns = new Turns<Member & { fdLists: readonly FdList[]; deadline: number | undefined }>(open());
  onTestFinished(() => turns.close());
  const members = lists.map((fdLists) => ({ fdLists, deadline: undefined as number | undefined }));
  for (const member of members) turns.update(member);
  return { turns, members };
}

test('Turns: it is the turn of whose descriptor is readable, whose time has come, and who was called, and of nobody else', () => {
  const [a, b] = [open(), open()];
  const { turns, members } = turnsOf([[a]], [[b]], [], []);
  const [, second, third, fourth] = members;
  if (second === undefined || third === undefined || fourth === undefined) throw new Error('four');
  expect([turns.wait(true), turns.take()]).toEqual([[], []]);
  signalEventfd(b);
  expect([turns.wait(false), turns.take()]).toEqual([[b], [second]]);
  drainEventfd(b);
  third.deadline = performance.now() + 20;
  turns.update(third);
  expect([turns.wait(false), turns.take()]).toEqual([[], [third]]);
  third.deadline = undefined;
  turns.update(third);
  turns.call(fourth);
  expect([turns.wait(false), turns.take()]).toEqual([[], [fourth]]);
});

test('Turns: a descriptor that several have is read by one of them, and waited for as long as one has it', () => {
  const [shared, own] = [open(), open()];
  const { turns, members } = turnsOf([[shared]], [[shared], [own]]);
  const [first, second] = members;
  if (first === undefined || second === undefined) throw new Error('two');
  signalEventfd(shared);
  expect([turns.wait(false), turns.take()]).toEqual([[shared], [first]]);
  turns.remove(first);
  expect([turns.wait(false), turns.take()]).toEqual([[shared], [second]]);
  second.fdLists = [[own]];
  turns.update(second);
  expect(turns.wait(true)).toEqual([]);
});

test('Turns: it has slept only where nothing was readable and nobody due', () => {
  const fd = open();
  const { turns, members } = turnsOf([[fd]]);
  const [member] = members;
  if (member === undefined) throw new Error('one');
  signalEventfd(fd);
  turns.wait(false);
  turns.take();
  expect(turns.sleptUntil).toBe(-Infinity);
  drainEventfd(fd);
  turns.call(member);
  turns.wait(false);
  turns.take();
  expect(turns.sleptUntil).toBe(-Infinity);
  const before = Date.now();
  turns.wait(true);
  expect(turns.sleptUntil).toBeGreaterThanOrEqual(before);
});
