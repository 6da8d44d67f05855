import { closeSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { KeyedDigest } from '../runtime/keyed-digest.ts';
import { blockBytes, digestBytes } from '../wire/messages.ts';
import { Bases } from './bases.ts';

const key = Buffer.alloc(16, 7);

function digestOf(block: Buffer): string {
  const digest = new KeyedDigest(key);
  digest.update(block);
  return digest.digest().toString('hex');
}

// Where it was read, this took minutes, in which the agent applied nothing.
test('Bases tells the digests of a hole of a terabyte without reading it', () => {
  const folder = tempFolder('fam-bases', '/dev/shm');
  const path = join(folder, 'image');
  const data = Buffer.alloc(4096, 'data');
  const [size, dataBlock] = [2 ** 40, 2 ** 19];
  writeFileSync(path, '');
  truncateSync(path, size);
  const fd = openSync(path, 'r+');
  onTestFinished(() => closeSync(fd));
  writeSync(fd, data, 0, data.length, dataBlock * blockBytes);
  const folderFd = openSync(folder, 'r');
  onTestFinished(() => closeSync(folderFd));
  const digests: Uint8Array[] = [];
  const bases = new Bases({
    locate: () => ({ dirfd: folderFd, name: 'image' }),
    known: { version: () => new Uint8Array() },
    send: (message) => {
      if (message.type === 'digests') digests.push(message.digests);
    },
  });
  onTestFinished(() => bases.close());
  bases.hold({ type: 'base-wanted', id: 1, base: 1, attempt: 1 });
  bases.wantDigests({ type: 'digests-wanted', id: 1, offset: 0, length: size, blockBytes, key });
  while (bases.work());
  const all = Buffer.concat(digests);
  expect(all.length).toBe((size / blockBytes) * digestBytes);
  const at = (block: number): string =>
    all.subarray(block * digestBytes, (block + 1) * digestBytes).toString('hex');
  const zeros = Buffer.alloc(blockBytes);
  const block = Buffer.concat([data, zeros.subarray(data.length)]);
  for (const hole of [0, dataBlock - 1, dataBlock + 1, size / blockBytes - 1])
    expect(at(hole)).toBe(digestOf(zeros));
  expect(at(dataBlock)).toBe(digestOf(block));
});
