import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { whyNotMountable, withFileSystem } from '../../test/contract/filesystems.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { StagedStreams } from './staged-streams.ts';

test('discardExcept leaves what is waited for', () => {
  const staging = tempFolder('fam-staging');
  const fd = openSync(staging, 'r');
  onTestFinished(() => closeSync(fd));
  const streams = new StagedStreams(fd);
  onTestFinished(() => streams.close());
  const piece = {
    type: 'stream',
    contentSeq: 2,
    total: 20,
    offset: 0,
    hole: 0,
    copy: 0,
    last: false,
  } as const;
  for (const id of [1, 3]) streams.write({ ...piece, id, bytes: Buffer.from('half') }, () => 0);
  expect([
    streams.hasMoreThan(new Map([[3, 0]])),
    streams.hasMoreThan(
      new Map([
        [1, 0],
        [3, 0],
      ]),
    ),
  ]).toEqual([true, false]);
  streams.discardExcept(new Set([3]));
  expect(readdirSync(staging)).toEqual(['3.2']);
});

const reason = whyNotMountable('xfs');

test.skipIf(reason !== undefined)(
  `holes stay holes on XFS, which reserves blocks behind what is appended${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  async () => {
    await withFileSystem('xfs', (folder) => {
      const staging = join(folder, 'staging');
      mkdirSync(staging);
      const fd = openSync(staging, 'r');
      const streams = new StagedStreams(fd);
      const pieceBytes = 256 * 1024;
      let offset = 0;
      const write = (length: number, hole: number): void => {
        const piece = {
          ...({ type: 'stream', id: 1, contentSeq: 2, total: 7_000_000, copy: 0, last: false } as const),
          offset,
          hole,
        };
        expect(streams.write({ ...piece, bytes: new Uint8Array(length).fill(1) }, () => 0)).toBe(0);
        offset += length + hole;
      };
      for (let n = 0; n < 12; n++) write(pieceBytes, 0);
      write(0, 3_000_000);
      write(pieceBytes, 0);
      streams.close();
      closeSync(fd);
      const file = join(staging, '1.2');
      const opened = openSync(file, 'r+');
      fsyncSync(opened);
      closeSync(opened);
      expect(statSync(file).size).toBe(offset);
      // Whole blocks at both ends of the hole.
      expect(statSync(file).blocks * 512).toBeLessThanOrEqual(13 * pieceBytes + 8192);
    });
  },
);
