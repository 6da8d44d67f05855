import { linkSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { expectEqualTrees } from '../../test/oracle/compare-trees.ts';
import { ReplicaPair } from '../../test/support/replica-pair.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';

test('a file that was renamed before it could be read is read again as soon as its new name is known', () => {
  const pair = new ReplicaPair(tempFolder('fam-batch', '/dev/shm'));
  onTestFinished(() => pair.close());
  writeFileSync(join(pair.source, 'page'), 'old');
  pair.record();
  pair.connect();
  let isUnknown = false;
  const rename = (): boolean => {
    writeFileSync(join(pair.source, 'page.new'), 'new');
    pair.record();
    renameSync(join(pair.source, 'page.new'), join(pair.source, 'page'));
    isUnknown = true;
    return true;
  };
  const step = (name: string): void => {
    if (name !== 'committed' || !isUnknown) return;
    isUnknown = false;
    pair.record();
  };
  // The connection is carried on for as long as somebody has something to do now: nobody comes back in 50 ms.
  pair.connect({}, step, rename);
  expectEqualTrees(pair.source, pair.replica, { ignore: ['.fam'] });
});

test('the content of a new file is sent once', () => {
  const pair = new ReplicaPair(tempFolder('fam-batch', '/dev/shm'));
  onTestFinished(() => pair.close());
  pair.record();
  pair.connect();
  const content = 'x'.repeat(9000);
  writeFileSync(join(pair.source, 'page'), content);
  mkdirSync(join(pair.source, 'folder'));
  writeFileSync(join(pair.source, 'folder/page'), content);
  linkSync(join(pair.source, 'folder/page'), join(pair.source, 'folder/again'));
  pair.record();
  expect(pair.connect().contentBytes).toBe(2 * content.length);
  expectEqualTrees(pair.source, pair.replica, { ignore: ['.fam'] });
});
