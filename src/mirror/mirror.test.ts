import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { openLog } from '../runtime/log.ts';
import { hostPlaceOf } from '../tree/host-place.ts';
import { Mirror } from './mirror.ts';

test('whoever waits for a mirror that has ended is told so', async () => {
  const folder = tempFolder('fam-mirror');
  const source = join(folder, 'source');
  mkdirSync(source);
  const log = openLog('json');
  log.level = 'silent';
  const mirror = await Mirror.start(
    { init: false, monitor: undefined, durability: 'none', trustSource: false, log },
    {
      source,
      stateDir: join(folder, 'state'),
      place: hostPlaceOf(source),
      inherited: undefined,
      transports: [],
      abandon: () => Promise.resolve(),
    },
  );
  await mirror.close();
  const { signal } = new AbortController();
  await expect(mirror.wait(60_000, signal)).rejects.toMatchObject({ code: 'NOT_RUNNING' });
});
