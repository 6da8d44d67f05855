import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { hostPlaceOf, overlapsHere } from './host-place.ts';

test('overlapsHere finds a folder of this host in another one, whatever it is called, and none of another host', () => {
  const folder = tempFolder('host-place');
  const source = join(folder, 'source');
  const inside = join(source, 'inside');
  mkdirSync(inside, { recursive: true });
  mkdirSync(join(folder, 'source-2'));
  symlinkSync(source, join(folder, 'link'));
  const place = hostPlaceOf(join(folder, 'link'));
  for (const overlapping of [source, inside, folder, '/'])
    expect(overlapsHere(place, overlapping), overlapping).toBe(true);
  expect(overlapsHere(place, join(folder, 'source-2'))).toBe(false);
  expect(overlapsHere({ ...place, boot: 'another' }, source)).toBe(false);
  expect(overlapsHere({ ...place, file: '1:1' }, inside), 'a container that shares the kernel').toBe(false);
  expect(overlapsHere({ ...place, path: '/none', file: '1:1' }, inside)).toBe(false);
});
