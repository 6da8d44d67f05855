import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ReplicaPair } from '../../test/support/replica-pair.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import type { Name } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';
import { TreeStore } from '../tree/store.ts';
import { Applier } from './applier.ts';
import { ApplyingMark } from './applying-mark.ts';
import { openHome } from './home.ts';
import { Records } from './records.ts';
import { StagedStreams } from './staged-streams.ts';

test('a further name of a file that cannot be placed leaves none in staging', () => {
  const pair = new ReplicaPair(tempFolder('fam-failures', '/dev/shm'));
  onTestFinished(() => pair.close());
  for (const folder of ['a', 'b']) {
    mkdirSync(join(pair.source, folder));
    writeFileSync(join(pair.source, folder, 'page'), folder);
  }
  pair.record();
  pair.connect();
  renameSync(join(pair.replica, 'b'), join(pair.folder, 'moved-out'));
  const home = openHome(pair.replica);
  onTestFinished(() => home.close());
  using store = TreeStore.open(home.state, { journal: false });
  const records = new Records(store);
  const problems: Problem[] = [];
  const applier = new Applier({
    home,
    records,
    streams: new StagedStreams(home.stagingFd),
    mark: new ApplyingMark(home.state),
    problem: (problem) => problems.push(problem),
  });
  const memory = records.memory();
  const [b, page] = [store.idAt('b'), store.idAt('a/page')];
  if (memory === undefined || b === undefined || page === undefined) throw new Error('not recorded');
  const { cursor } = memory;
  const entry = { type: 'entry', parent: b, name: 'page' as Name, id: page, links: 2 } as const;
  applier.apply({ from: cursor, to: cursor, complete: false, dead: [], changes: [entry] }, memory);
  applier.close();
  expect(problems).toContainEqual({ path: 'b/page', action: 'put in place', code: 'ENOENT' });
  expect(readdirSync(join(pair.folder, '.fam-replica/staging'))).toEqual([]);
});
