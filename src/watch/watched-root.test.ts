// Which directory a watched root is, on real file systems, in this thread.

import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { whyNotMountable } from '../../test/contract/filesystems.ts';
import { SteppedWatch } from '../../test/support/stepped-watch.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';

const monitors = ['fanotify', 'inotify'] as const;
const reason = whyNotMountable('tmpfs');

describe.each(monitors)('a watched root, by %s', (monitor) => {
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
