// One watch, without its thread: what is sent when.

import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { close } from '../kernel/entry-calls.ts';
import { eventfd } from '../kernel/poll.ts';
import { check } from '../kernel/sys-error.ts';
import { eventsOf } from './flat-events.ts';
import { Session, type SessionTree } from './session.ts';
import { Turns } from './turns.ts';
import type { ThreadOptions } from './watch-messages.ts';

/** A session for some folders. `turn` has it read what the kernel has; `sent` are the events of each page, as `created /a`. */
function sessionOf(roots: readonly string[], options: Partial<ThreadOptions> = {}) {
  const sent: string[][] = [];
  const wakeFd = check(eventfd(), 'eventfd');
  const turns = new Turns<SessionTree>(wakeFd);
  const session = new Session(
    1,
    {
      requests: roots.map((path) => ({ path, recursive: false, filter: [] })),
      events: [],
      initial: false,
      executions: false,
      settleMs: 500,
      followSymlinks: false,
      monitor: undefined,
      ...options,
    },
    turns,
    (message) => {
      if (message.type === 'events')
        sent.push([...eventsOf(message)].map(({ type, path }) => `${type} ${path}`));
    },
  );
  onTestFinished(() => {
    session.close();
    turns.close();
    close(wakeFd);
  });
  const turn = (): void => {
    session.askAbout();
    turns.wait(true);
    for (let due = turns.take(); due.length > 0; due = turns.take()) {
      for (const entry of due) session.turn(entry);
      turns.wait(true);
    }
    session.confirm();
    session.send();
  };
  return { session, sent, turn, turns };
}

test('a folder in which much happens does not keep another one from being told of', () => {
  const [busy, quiet] = [tempFolder(), tempFolder()];
  const { session, sent, turn } = sessionOf([busy, quiet], { events: ['changed'] });
  for (const name of ['1', '2', '3']) {
    writeFileSync(join(busy, name), '');
    if (name === '3') writeFileSync(join(quiet, 'file'), '');
    turn();
  }
  // Two pages are under way, and each that is taken makes room for one.
  for (const name of ['4', '5']) {
    session.taken();
    writeFileSync(join(busy, name), '');
    turn();
  }
  expect(sent[2]).toEqual([`changed ${quiet}/file`]);
  expect(sent[3]).toEqual([3, 4].map((name) => `changed ${busy}/${name}`));
});

test('what nobody wants to hear of need not be taken before it counts as seen', () => {
  const root = tempFolder();
  const { sent, turn } = sessionOf([root], { events: ['moved', 'changed'] });
  symlinkSync('nowhere', join(root, 'a'));
  turn();
  renameSync(join(root, 'a'), join(root, 'b'));
  turn();
  expect(sent).toEqual([[`moved ${root}/b`]]);
});

test('each file that was asked for has an end of its listing, under its own name', () => {
  const root = tempFolder();
  const paths = ['a', 'b'].map((name) => join(root, name));
  writeFileSync(join(root, 'a'), '');
  const { sent, turn } = sessionOf(paths, { initial: true, events: ['endExist'] });
  turn();
  expect(sent).toEqual([paths.map((path) => `endExist ${path}`)]);
});

test('of a hundred folders only the one in which something has happened is looked at', () => {
  const roots = Array.from({ length: 100 }, () => tempFolder());
  const { turn, turns, sent } = sessionOf(roots, { events: ['changed'] });
  turn();
  writeFileSync(join(roots[50] ?? '', 'file'), '');
  turns.wait(false);
  // Whoever comes first reads for all; then it is the turn of the one.
  const due = turns.take();
  expect(due).toHaveLength(1);
  for (const entry of due) entry.session.turn(entry);
  const called = turns.take();
  expect(called.map(({ tree }) => tree.path)).toEqual([roots[50]]);
  for (const entry of called) entry.session.turn(entry);
  turn();
  expect(sent.flat()).toContain(`changed ${roots[50]}/file`);
});
