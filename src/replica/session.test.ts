import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ReplicaPair } from '../../test/support/replica-pair.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { TreeStore } from '../tree/store.ts';
import { protocolVersion, type ToAgent, type ToSource } from '../wire/messages.ts';
import { openHome } from './home.ts';
import { Records } from './records.ts';
import { ReplicaSession } from './session.ts';

test('I8: the end of a listing that began before a folder was found gone does not count for that one', () => {
  const pair = new ReplicaPair(tempFolder('fam-session', '/dev/shm'));
  onTestFinished(() => pair.close());
  mkdirSync(join(pair.source, 'a'));
  writeFileSync(join(pair.source, 'a/page'), 'page');
  writeFileSync(join(pair.source, 'beside'), 'beside');
  pair.record();
  pair.connect();
  const home = openHome(pair.replica);
  onTestFinished(() => home.close());
  using store = TreeStore.open(home.state, { journal: false });
  const records = new Records(store);
  const memory = records.memory();
  const [a, beside] = [store.idAt('a'), store.idAt('beside')];
  if (memory === undefined || a === undefined || beside === undefined) throw new Error('not recorded');
  const { sourceId, epoch, cursor } = memory;
  const sent: ToSource[] = [];
  const session = new ReplicaSession(home, store, {
    version: 'test',
    send: (message) => sent.push(message),
    sync: () => {},
  });
  onTestFinished(() => session.close());
  const receive = (message: ToAgent): void => session.receive(message, 0);
  const lackingSince = (): number => records.memory()?.lackingSince ?? 0;
  session.hello();
  receive({
    type: 'welcome',
    protocol: protocolVersion,
    version: 'test',
    sourceId,
    epoch,
    mode: 'resume',
    init: false,
    durability: 'none',
  });
  renameSync(join(pair.replica, 'a'), join(pair.folder, 'moved-out'));
  const entry = { type: 'entry', parent: a, name: 'link' as Name, id: beside, links: 2 } as const;
  receive({ type: 'batch', from: cursor, to: cursor, complete: true, dead: [], changes: [entry] });
  expect(sent).toContainEqual({ type: 'wants', directory: 0, contents: [], missing: [rootId] });
  expect(lackingSince()).toBe(cursor);
  receive({ type: 'reconciled', seq: cursor });
  expect(lackingSince()).toBe(cursor);
  receive({ type: 'listing', directory: rootId, first: true, last: true, entries: [] });
  receive({ type: 'reconciled', seq: cursor });
  expect(lackingSince()).toBe(0);
});
