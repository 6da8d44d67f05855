// Which directory a watched root is, on real file systems, in this thread.

import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { whyNotMountable } from '../../test/contract/filesystems.ts';
import { SteppedWatch } from '../../test/support/stepped-watch.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { openEventSource } from '../kernel/open-event-source.ts';

const monitors = ['fanotify', 'inotify'] as const;
const reason = whyNotMountable('tmpfs');

describe.each(monitors)('a watched root, by %s', (monitor) => {
  test.each(['before', 'after'])(
    'that is replaced %s its events begin is the one that is there then',
    (when) => {
      const top = tempFolder();
      const root = join(top, 'tree');
      mkdirSync(root);
      writeFileSync(join(root, 'former'), '');
      let isFirst = true;
      const replace = (at: string): void => {
        if (at !== when || !isFirst) return;
        isFirst = false;
        renameSync(root, join(top, 'away'));
        mkdirSync(root);
        writeFileSync(join(root, 'inside'), '');
      };
      const watch = new SteppedWatch(root, {
        monitor,
        open: (rootFd) => {
          replace('before');
          const opened = openEventSource({ root: rootFd, monitor });
          replace('after');
          return opened;
        },
      });
      watch.settle();
      // It is in the first listing, of which nothing is told.
      expect(watch.lines).toEqual([]);
      appendFileSync(join(top, 'away', 'former'), 'x');
      appendFileSync(join(root, 'inside'), 'x');
      watch.untilTold('changed inside');
      renameSync(root, join(top, 'away-too'));
      watch.untilTold('deleted .');
      expect(watch.lines.some((line) => line.includes('former'))).toBe(false);
    },
  );

  test.skipIf(reason !== undefined)(
    `that a link leads to is replaced by one of the same inode number${reason === undefined ? '' : ` (skipped: ${reason})`}`,
    () => {
      const top = tempFolder();
      for (const name of ['a', 'b']) {
        const point = join(top, name);
        mkdirSync(point);
        execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', point]);
        onTestFinished(() => void execFileSync('umount', ['-l', point]));
        writeFileSync(join(point, `only-${name}`), '');
      }
      expect(statSync(join(top, 'a')).ino).toBe(statSync(join(top, 'b')).ino);
      const current = join(top, 'current');
      symlinkSync('a', current);
      const watch = new SteppedWatch(current, { monitor, followSymlinks: true });
      symlinkSync('b', join(top, 'next'));
      renameSync(join(top, 'next'), current);
      watch.untilTold('rescan .', 'deleted only-a', 'created only-b');
      writeFileSync(join(top, 'b', 'later'), '');
      watch.untilTold('changed later');
    },
  );
});
