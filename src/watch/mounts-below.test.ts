// File systems that are mounted below a watched root, in this thread: a test decides when what has happened is looked at.

import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, onTestFinished, test } from 'vitest';
import { whyNotMountable } from '../../test/contract/filesystems.ts';
import { SteppedWatch } from '../../test/support/stepped-watch.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';

const reason = whyNotMountable('tmpfs');

/** Unmounted with the test, after the watch was closed. */
function mountOn(point: string, ...options: string[]): void {
  execFileSync('mount', [...(options.length === 0 ? ['-t', 'tmpfs', 'tmpfs'] : options), point]);
  onTestFinished(() => void execFileSync('umount', ['-l', point]));
}

describe.skipIf(reason !== undefined).each(['fanotify', 'inotify'] as const)(
  `a file system below a watched root, by %s${reason === undefined ? '' : ` (${reason})`}`,
  (monitor) => {
    test('is found in a folder that has just been renamed', () => {
      const root = tempFolder();
      mkdirSync(join(root, 'a', 'm'), { recursive: true });
      const watch = new SteppedWatch(root, { monitor });
      renameSync(join(root, 'a'), join(root, 'b'));
      mountOn(join(root, 'b', 'm'));
      writeFileSync(join(root, 'b', 'm', 'inside'), '');
      watch.untilTold('moved a -> b', 'rescan b/m', 'created b/m/inside');
      writeFileSync(join(root, 'b', 'm', 'later'), '');
      watch.untilTold('changed b/m/later');
    });

    test('goes on to be told of when another one has taken its place before anybody looked', () => {
      const root = tempFolder();
      const point = join(root, 'm');
      mkdirSync(point);
      mountOn(point);
      writeFileSync(join(point, 'former'), '');
      const watch = new SteppedWatch(root, { monitor });
      execFileSync('umount', [point]);
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', point]);
      writeFileSync(join(point, 'inside'), '');
      watch.untilTold('deleted m/former', 'created m/inside');
      writeFileSync(join(point, 'later'), '');
      watch.untilTold('changed m/later');
    });

    test('is found in a folder that has just come into the tree', () => {
      const top = tempFolder();
      const root = join(top, 'root');
      mkdirSync(root);
      mkdirSync(join(top, 'outside', 'm'), { recursive: true });
      const watch = new SteppedWatch(root, { monitor });
      renameSync(join(top, 'outside'), join(root, 'b'));
      mountOn(join(root, 'b', 'm'));
      writeFileSync(join(root, 'b', 'm', 'inside'), '');
      watch.untilTold('created b', 'created b/m', 'created b/m/inside');
      writeFileSync(join(root, 'b', 'm', 'later'), '');
      watch.untilTold('changed b/m/later');
    });
  },
);
