// Files that are mounted over files below a root, with what watching them costs.

import { execFileSync } from 'node:child_process';
import { appendFileSync, closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { whyNotMountable } from '../../test/contract/filesystems.ts';
import { inotifyInstances } from '../../test/support/inotify-instances.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import type { EventSource, KernelEvent } from './event-source.ts';
import { InotifySource } from './inotify.ts';
import { shareInstance } from './inotify-instance.ts';
import { openEventSource } from './open-event-source.ts';
import { poll } from './poll.ts';

const reason = whyNotMountable('tmpfs');

/** A folder with the files `over` and, mounted on it, `below`. */
function withMountedFile(): { root: string; umount: () => void } {
  const root = tempFolder();
  for (const name of ['below', 'over']) writeFileSync(join(root, name), '');
  execFileSync('mount', ['--bind', join(root, 'below'), join(root, 'over')]);
  let isMounted = true;
  const umount = (): void => {
    if (isMounted) execFileSync('umount', [join(root, 'over')]);
    isMounted = false;
  };
  onTestFinished(umount);
  return { root, umount };
}

/** All that there is until mounts have nothing to tell any more (the file system is others' too); fails where that does not come. */
function readAll(source: EventSource): KernelEvent[] {
  const events: KernelEvent[] = [];
  for (let turns = 0; turns < 20; turns++) {
    events.push(...source.read());
    if ((poll(source.fds.slice(1, 2), 20) as number[]).length === 0) return events;
  }
  throw new Error('it stays readable');
}

describe.skipIf(reason !== undefined)('a file that is mounted over another one', () => {
  test.each(['fanotify', 'inotify'] as const)('%s has nothing to read once it is unmounted', (monitor) => {
    const { root, umount } = withMountedFile();
    const { source } = openEventSource({ root, monitor });
    onTestFinished(() => source.close());
    readAll(source);
    umount();
    expect(readAll(source)).toContainEqual({ type: 'unmounted', path: 'over', isFile: true });
  });

  test('takes no inotify instance of its own where its watcher has a share of one, and is told of whoever reads first', () => {
    const { root } = withMountedFile();
    mkdirSync(join(root, 'other'));
    const before = inotifyInstances();
    const sources = Array.from({ length: 3 }, () => {
      const fd = openSync(root, 'r');
      const source = new InotifySource(fd, undefined, shareInstance());
      onTestFinished(() => source.close());
      closeSync(fd);
      return source;
    });
    expect(inotifyInstances()).toBe(before + 1);
    for (const source of sources) readAll(source);
    appendFileSync(join(root, 'over'), 'x');
    for (const source of [...sources].reverse()) {
      expect(poll(source.fds, 0)).toEqual(source === sources.at(-1) ? [0] : []);
      expect(source === sources.at(-1) || source.pendingUntil === 0).toBe(true);
      expect(source.read()).toContainEqual(expect.objectContaining({ type: 'mounted-file', path: 'over' }));
    }
  });
});
