import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { whyNotMountable, withFileSystem } from '../../test/contract/filesystems.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { Kind, rootId } from '../core/attributes.ts';
import { bytesOfText, type Name } from '../core/name.ts';
import { AT_FDCWD, check, Stat, statx } from '../kernel/sys.ts';
import { newInode } from '../tree/attributes-of.ts';
import type { InodeRecord } from '../tree/records.ts';
import { Contents } from './contents.ts';

const name = 'page' as Name;

function recordAt(path: string): InodeRecord {
  const stat = new Stat();
  check(statx(AT_FDCWD, bytesOfText(path), stat), 'statx');
  return { ...newInode(Kind.file, stat, '', rootId, name), id: 2, seq: 2, contentSeq: 2 };
}

// ext4 gives the number of a file that has gone to the next one that is made.
test.skipIf(whyNotMountable('ext4') !== undefined)(
  'nothing of a file is taken for that of another one which had its name and its inode number',
  async () => {
    await withFileSystem('ext4', async (root) => {
      const path = join(root, name);
      writeFileSync(path, 'of the first');
      const first = recordAt(path);
      const second = await waitFor(
        () => {
          rmSync(path);
          writeFileSync(path, 'of the second', { mode: 0o600 });
          const record = recordAt(path);
          // Births are told apart by the kernel's clock, which ticks every few milliseconds.
          return record.inoLow === first.inoLow && record.birth !== first.birth && record;
        },
        { describe: 'the same inode number once more' },
      );
      const contents = new Contents({ inode: () => undefined, handleOf: () => undefined }, bytesOfText(root));
      try {
        expect(contents.readWhole(first)).toEqual({ kind: 'moved' });
        expect(contents.open(first, false)).toEqual({ kind: 'moved' });
        let hasMoved = false;
        contents.attributesOf(first, () => {
          hasMoved = true;
        });
        expect(hasMoved).toBe(true);
        expect(contents.readWhole(second)).toMatchObject({ kind: 'content', attributes: { mode: 0o600 } });
      } finally {
        contents.closeAll();
      }
    });
  },
);
