// One watch, without its thread: what is sent when.

import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { eventsOf } from './flat-events.ts';
import { Session } from './session.ts';
import type { ThreadOptions } from './watch-messages.ts';

/** A session for some folders. `turn` has it read what the kernel has; `sent` are the events of each page, as `created /a`. */
function sessionOf(roots: readonly string[], options: Partial<ThreadOptions> = {}) {
  const sent: string[][] = [];
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
    (message) => {
      if (message.type === 'events')
        sent.push([...eventsOf(message)].map(({ type, path }) => `${type} ${path}`));
    },
  );
  onTestFinished(() => session.close());
  const turn = (): void => {
    while (session.turn());
  };
  return { session, sent, turn };
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
