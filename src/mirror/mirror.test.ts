import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { openLog } from '../runtime/log.ts';
import { Mirror } from './mirror.ts';

test('whoever waits is told when the mirror ends before it knows what there is', async () => {
  const folder = tempFolder('fam-mirror');
  const source = join(folder, 'source');
  mkdirSync(source);
  for (let n = 0; n < 20_000; n++) writeFileSync(join(source, String(n)), '');
  const log = openLog('json');
  log.level = 'silent';
  const mirror = await Mirror.start(
    { init: false, monitor: undefined, durability: 'none', trustSource: false, log },
    { source, stateDir: join(folder, 'state'), transports: [], abandon: () => Promise.resolve() },
  );
  const waiting = expect(mirror.wait(60_000, new AbortController().signal)).rejects.toMatchObject({
    code: 'NOT_RUNNING',
  });
  await mirror.close();
  await waiting;
});
