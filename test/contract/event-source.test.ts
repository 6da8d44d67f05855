import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { FamError } from '../../src/core/errors.ts';
import { asName } from '../../src/core/name.ts';
import { Hint, type NameOf } from '../../src/kernel/event-source.ts';
import { FanotifySource } from '../../src/kernel/fanotify.ts';
import { InotifySource } from '../../src/kernel/inotify.ts';
import { shareInstance } from '../../src/kernel/inotify-instance.ts';
import { openEventSource } from '../../src/kernel/open-event-source.ts';
import {
  AT_FDCWD,
  check,
  close,
  eventfd,
  nameToHandleAt,
  O_DIRECTORY,
  O_RDONLY,
  O_WRONLY,
  openat,
  openByHandleAt,
  poll,
  Stat,
  SysError,
  signalEventfd,
  statx,
} from '../../src/kernel/sys.ts';
import { watchLimitAdvice } from '../../src/kernel/watch-limit.ts';
import { withoutDescriptors } from '../support/without-descriptors.ts';
import { eventSourceContract } from './event-source.ts';
import { type FileSystemType, fileSystemTypes, whyNotMountable, withFileSystem } from './filesystems.ts';
import { Listener } from './listener.ts';

/** The repository's built modules, for threads and for processes of other users. */
function built(module: string): string {
  return new URL(`../../dist/${module}.js`, import.meta.url).href;
}

/** A test that is skipped, with the reason in its title, where one of the file systems cannot be mounted. */
function testOn(types: readonly FileSystemType[], title: string, body: () => void | Promise<void>): void {
  const reason = types.map(whyNotMountable).find((why) => why !== undefined);
  if (reason === undefined) test(title, body);
  else describe.skipIf(true)(`(skipped: ${reason})`, () => test(title, body));
}

/** Of each file two events at least: 100,000 of them; elsewhere still more than a queue of the kernel holds. */
const burstFiles = (fileSystem: FileSystemType): number =>
  fileSystem === 'ext4' || fileSystem === 'tmpfs' ? 50_000 : 20_000;

/** One that shares its instance with another, of the same directories, which is the first to read. */
function besideNeighbour(fd: number, { nameOf }: { nameOf?: NameOf }): InotifySource {
  const source = new InotifySource(fd, nameOf, shareInstance());
  const neighbour = new InotifySource(fd, undefined, shareInstance());
  const [add, remove] = [source.add.bind(source), source.remove.bind(source)];
  const [read, close] = [source.read.bind(source), source.close.bind(source)];
  source.add = (directory, tag) => {
    neighbour.add(directory, tag);
    add(directory, tag);
  };
  source.remove = (tag) => {
    remove(tag);
    if (tag % 2 === 0) neighbour.remove(tag);
  };
  source.read = (maxEvents) => {
    neighbour.read();
    return read(maxEvents);
  };
  source.close = () => {
    close();
    neighbour.close();
  };
  return source;
}

for (const fileSystem of fileSystemTypes) {
  const reason = whyNotMountable(fileSystem);
  describe.skipIf(reason !== undefined)(
    `${fileSystem}${reason === undefined ? '' : ` (skipped: ${reason})`}`,
    () => {
      // overlayfs without nfs_export gives no handles: fanotify refuses, which is tested below.
      if (fileSystem !== 'overlay') {
        describe('fanotify', () => {
          eventSourceContract({
            fileSystem,
            open: (fd, { smallQueue, ...options }) =>
              new FanotifySource(fd, {
                nameOf: () => undefined,
                ...options,
                unlimitedQueue: smallQueue !== true,
              }),
            knowsPids: true,
            pairsRenames: true,
            unlimitedQueue: true,
            burst: burstFiles(fileSystem),
          });
        });
      }
      if (fileSystem === 'tmpfs') {
        describe('fanotify without FAN_RENAME', () => {
          eventSourceContract({
            fileSystem,
            open: (fd, { smallQueue, ...options }) =>
              new FanotifySource(fd, {
                ...options,
                unlimitedQueue: smallQueue !== true,
                renameEvents: false,
              }),
            knowsPids: true,
            pairsRenames: false,
            unlimitedQueue: true,
            burst: 20_000,
          });
        });
      }
      if (fileSystem === 'tmpfs') {
        describe('inotify with a share of an instance', () => {
          eventSourceContract({
            fileSystem,
            open: besideNeighbour,
            knowsPids: false,
            pairsRenames: true,
            unlimitedQueue: false,
            burst: 20_000,
          });
        });
      }
      describe('inotify', () => {
        eventSourceContract({
          fileSystem,
          open: (fd, { nameOf }) => new InotifySource(fd, nameOf),
          knowsPids: false,
          pairsRenames: true,
          unlimitedQueue: false,
          burst: burstFiles(fileSystem),
        });
      });
    },
  );
}

describe('openEventSource', () => {
  test('takes fanotify where it can, on a btrfs subvolume too', async () => {
    for (const type of ['tmpfs', 'btrfs-subvolume'] as const) {
      if (whyNotMountable(type) !== undefined) continue;
      await withFileSystem(type, (root) => {
        const { source, reason } = openEventSource({ root });
        source.close();
        expect(source.monitor).toBe('fanotify');
        expect(reason).toContain('one mark');
      });
    }
  });

  testOn(
    ['overlay'],
    'falls back to inotify on overlayfs, says why, and refuses when fanotify is demanded',
    async () => {
      await withFileSystem('overlay', (root) => {
        const { source, reason } = openEventSource({ root });
        source.close();
        expect(source.monitor).toBe('inotify');
        expect(reason).toContain('overlayfs gives no file handles');
        const demand = () => openEventSource({ root, monitor: 'fanotify' });
        expect(demand).toThrow(FamError);
        expect(demand).toThrow(expect.objectContaining({ code: 'MONITOR_UNAVAILABLE' }));
      });
    },
  );

  test('says what is wanting where no descriptor is left', () => {
    const root = openSync('.', 'r');
    try {
      for (const sharesInstance of [false, true]) {
        const open = () => openEventSource({ root, monitor: 'inotify', sharesInstance });
        expect(() => withoutDescriptors(open)).toThrow(/no descriptor is left.*ulimit -n/);
        const before = readdirSync('/proc/self/fd').length;
        for (const free of [1, 2, 3])
          expect(() => withoutDescriptors(open, free)).toThrow(/no descriptor is left.*ulimit -n/);
        expect(readdirSync('/proc/self/fd').length).toBe(before);
        open().source.close();
      }
    } finally {
      closeSync(root);
    }
  });

  test('falls back to inotify without privilege, and names what is missing', () => {
    const script = `
      const { openEventSource } = await import(${JSON.stringify(built('kernel/open-event-source'))});
      const { source, reason } = openEventSource({ root: '/' });
      console.log(source.monitor, reason);
      source.close();`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      uid: 65534,
      gid: 65534,
      cwd: '/',
      encoding: 'utf8',
    });
    expect(output).toMatch(/^inotify .*CAP_SYS_ADMIN/);
  });

  test('of a root that is missing throws', () => {
    expect(() => openEventSource({ root: '/nowhere/at/all' })).toThrow(SysError);
  });
});

describe('openEventSource decides for each file system', () => {
  testOn(['tmpfs', 'overlay', 'fuse'], 'and serves those that fanotify cannot mark by inotify', async () => {
    await withFileSystem('tmpfs', async (root) => {
      await withFileSystem('overlay', (overlay) =>
        withFileSystem('fuse', (fuse) => {
          const points = { over: overlay, fuse };
          for (const [name, what] of Object.entries(points)) {
            mkdirSync(join(root, name));
            execFileSync('mount', ['--bind', what, join(root, name)]);
            mkdirSync(join(root, name, 'deep'));
          }
          mkdirSync(join(root, 'own'));
          const { source } = openEventSource({ root });
          const { fds } = source;
          try {
            const listener = new Listener(source);
            listener.add(root, 1);
            for (const [i, path] of ['own', 'over', 'over/deep', 'fuse', 'fuse/deep'].entries()) {
              listener.add(join(root, path), 2 + i);
              writeFileSync(join(root, path, 'file'), '');
              listener.untilHints(2 + i, 'file', Hint.appeared | Hint.closedWrite);
            }
            // Whoever polls has taken the descriptors at the start.
            expect(source.fds).toEqual(fds);
            renameSync(join(root, 'over/file'), join(root, 'over/deep/moved'));
            expect(listener.untilRename(3, 'file', 4, 'moved')).toBeDefined();
            chmodSync(join(root, 'over/deep'), 0o700);
            listener.untilHints(3, 'deep', Hint.attributes | Hint.directory);
            chmodSync(join(root, 'over'), 0o700);
            listener.untilHints(3, '', Hint.attributes | Hint.directory);
            // Once is enough.
            expect(listener.hints(4, '')).toBe(0);
            // A tag that goes to a directory of another file system takes nothing of the former one with it.
            listener.add(join(root, 'own'), 3);
            listener.add(join(root, 'over'), 2);
            listener.forget();
            writeFileSync(join(root, 'own/second'), '');
            writeFileSync(join(root, 'over/second'), '');
            listener.untilHints(3, 'second', Hint.closedWrite);
            listener.untilHints(2, 'second', Hint.closedWrite);
            source.remove(2);
            writeFileSync(join(root, 'over/third'), '');
            writeFileSync(join(root, 'fuse/third'), '');
            listener.untilHints(5, 'third', Hint.closedWrite);
            expect(listener.hints(2, 'third')).toBe(0);
            expect(listener.conditions).toEqual([]);
          } finally {
            source.close();
            for (const fd of fds) expect(() => closeSync(fd)).toThrow('EBADF');
            for (const name of Object.keys(points)) execFileSync('umount', ['-l', join(root, name)]);
          }
        }),
      );
    });
  });

  testOn(['tmpfs', 'overlay', 'fuse'], 'in conditions that come once for each', async () => {
    await withFileSystem('tmpfs', async (root) => {
      await withFileSystem('overlay', (overlay) =>
        withFileSystem('fuse', (fuse) => {
          const points: string[] = [];
          const bind = (from: string, name: string): void => {
            mkdirSync(join(root, name));
            execFileSync('mount', ['--bind', from, join(root, name)]);
            points.push(join(root, name));
          };
          bind(overlay, 'over');
          bind(fuse, 'fuse');
          mkdirSync(join(root, 'over/deep'));
          const { source, reason } = openEventSource({ root });
          try {
            const listener = new Listener(source);
            listener.add(root, 1);
            for (const [i, path] of ['over', 'over/deep', 'fuse'].entries())
              listener.add(join(root, path), 2 + i);
            writeFileSync(join(root, 'barrier'), '');
            listener.untilHints(1, 'barrier', Hint.closedWrite);
            expect(reason).toBe('fanotify: one mark for the whole tmpfs file system');
            const type = expect.stringMatching(/^fuse/);
            expect(listener.conditions).toEqual([
              { type: 'unreported', path: 'fuse', fileSystem: type },
              {
                type: 'other-monitor',
                path: 'over',
                reason: expect.stringMatching(/^inotify.*overlayfs gives no file handles/),
              },
              { type: 'other-monitor', path: 'fuse', reason: expect.stringMatching(/^inotify.*fuse/) },
            ]);
            // One that is mounted later says so too.
            listener.forget();
            bind(fuse, 'later');
            listener.untilCondition({ type: 'mounted', path: 'later' });
            expect(listener.conditions).toContainEqual({
              type: 'unreported',
              path: 'later',
              fileSystem: type,
            });
          } finally {
            source.close();
            for (const point of points) execFileSync('umount', ['-l', point]);
          }
        }),
      );
    });
  });

  testOn(
    ['fuse'],
    'a FUSE root: its own program may change it, which the kernel does not report',
    async () => {
      await withFileSystem('fuse', (root) => {
        const { source, reason } = openEventSource({ root });
        try {
          expect(source.monitor).toBe('inotify');
          expect(reason).toMatch(/^inotify.*because fuse/);
          const listener = new Listener(source);
          listener.add(root, 1);
          // This is what the condition is about: it is there, and nobody was told.
          writeFileSync(join(root, '..', 'behind', 'unseen'), '');
          expect(readdirSync(root)).toContain('unseen');
          writeFileSync(join(root, 'seen'), '');
          listener.untilHints(1, 'seen', Hint.closedWrite);
          expect(listener.names).not.toContain('1/unseen');
          expect(listener.conditions).toEqual([
            { type: 'unreported', path: '', fileSystem: expect.stringMatching(/^fuse/) },
          ]);
        } finally {
          source.close();
        }
        expect(() => openEventSource({ root, monitor: 'fanotify' })).toThrow(
          expect.objectContaining({ code: 'MONITOR_UNAVAILABLE' }),
        );
      });
    },
  );
});

testOn(
  ['tmpfs', 'overlay'],
  'fanotify refuses to add a directory of a file system that it cannot mark',
  async () => {
    await withFileSystem('tmpfs', async (root) => {
      await withFileSystem('overlay', (overlay) => {
        mkdirSync(join(root, 'over'));
        execFileSync('mount', ['--bind', overlay, join(root, 'over')]);
        const fd = openSync(root, 'r');
        const over = openSync(join(root, 'over'), 'r');
        const source = new FanotifySource(fd);
        try {
          expect(() => source.add(over, 2)).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
        } finally {
          source.close();
          closeSync(fd);
          closeSync(over);
          execFileSync('umount', [join(root, 'over')]);
        }
      });
    });
  },
);

testOn(
  ['tmpfs'],
  'inotify: add throws ENOSPC at the watch limit; the advice names it, what is needed, and the sysctl',
  async () => {
    const limitPath = '/proc/sys/fs/inotify/max_user_watches';
    const limit = readFileSync(limitPath, 'utf8').trim();
    await withFileSystem('tmpfs', (root) => {
      const fd = openSync(root, 'r');
      // A user of its own, so that nobody else on the machine meets the limit.
      const script = `
      const { InotifySource } = await import(${JSON.stringify(built('kernel/inotify'))});
      const { isWatchLimit } = await import(${JSON.stringify(built('kernel/watch-limit'))});
      const { closeSync, mkdirSync, openSync } = await import('node:fs');
      const source = new InotifySource(openSync('.', 'r'));
      try {
        for (let i = 0; ; i++) {
          mkdirSync('d' + i);
          const fd = openSync('d' + i, 'r');
          source.add(fd, i);
          closeSync(fd);
        }
      } catch (error) {
        console.log(error.code, isWatchLimit(error));
      }`;
      execFileSync('chown', ['65534', root]);
      const output = execFileSync(
        'unshare',
        [
          '--user',
          '--map-root-user',
          'sh',
          '-c',
          `echo 50 > /proc/sys/user/max_inotify_watches; exec "$0" --input-type=module -e "$1"`,
          process.execPath,
          script,
        ],
        { cwd: root, encoding: 'utf8' },
      );
      closeSync(fd);
      expect(output).toBe('ENOSPC true\n');
      expect(readdirSync(root).length).toBeLessThan(60);
    });
    expect(readFileSync(limitPath, 'utf8').trim()).toBe(limit);
    expect(watchLimitAdvice(10)).toContain(`limit of ${limit} inotify watches`);
    const advice = watchLimitAdvice(100_000, 65_536);
    expect(advice).toContain('limit of 65536 inotify watches');
    expect(advice).toContain('this tree needs 100000');
    expect(advice).toContain('`sysctl fs.inotify.max_user_watches=262144`');
  },
);

test('fanotify: what is written through a file handle is told by inode while the kernel knows no name', async () => {
  for (const type of ['ext4', 'xfs', 'btrfs', 'btrfs-subvolume', 'tmpfs'] as const) {
    if (whyNotMountable(type) !== undefined) continue;
    await withFileSystem(type, (root) => {
      writeFileSync(join(root, 'file'), 'x');
      const wanted = new Stat();
      const rootFd = check(openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY), 'open');
      check(statx(rootFd, 'file', wanted), 'statx');
      const handle = nameToHandleAt(rootFd, 'file');
      if (typeof handle === 'number') throw new SysError(handle, 'handle');
      // The kernel forgets the name, as after a reboot.
      execFileSync('sync');
      writeFileSync('/proc/sys/vm/drop_caches', '2');
      const name = asName('name from the index');
      if (name === undefined) throw new Error('not a name');
      const source = new FanotifySource(rootFd, {
        nameOf: (dev, inoHigh, inoLow) =>
          dev === wanted.dev && inoHigh === wanted.inoHigh && inoLow === wanted.inoLow
            ? { directory: 7, name }
            : undefined,
      });
      try {
        const listener = new Listener(source);
        listener.add(root, 1);
        const fd = check(openByHandleAt(rootFd, handle.handle, O_WRONLY), 'open by handle');
        closeSync(fd);
        listener.until(`an event on ${type}`, () => listener.names.size > 0);
        // tmpfs never forgets a name: it lives in the cache.
        const [tag, shown] = type === 'tmpfs' ? [1, 'file'] : [7, name];
        listener.untilHints(tag, shown, Hint.closedWrite);
        // With a name again it is told by name.
        appendFileSync(join(root, 'file'), 'more');
        listener.untilHints(1, 'file', Hint.modified | Hint.closedWrite);
      } finally {
        source.close();
        close(rootFd);
      }
    });
  }
});

testOn(
  ['tmpfs'],
  'inotify: half a rename is held back for its other half, and no longer than it says',
  async () => {
    await withFileSystem('tmpfs', (root) => {
      const outside = join(root, 'outside');
      const watched = join(root, 'watched');
      mkdirSync(outside);
      mkdirSync(watched);
      writeFileSync(join(watched, 'file'), '');
      const fd = openSync(watched, 'r');
      const source = new InotifySource(fd);
      try {
        source.add(fd, 1);
        renameSync(join(watched, 'file'), join(outside, 'file'));
        expect(source.read()).toEqual([]);
        const until = source.pendingUntil ?? 0;
        const early = source.read();
        if (performance.now() < until) expect(early).toEqual([]);
        poll([], Math.max(0, until - performance.now()));
        expect([...early, ...source.read()]).toMatchObject([{ type: 'name', directory: 1, name: 'file' }]);
        expect(source.pendingUntil).toBeUndefined();
      } finally {
        source.close();
        closeSync(fd);
      }
    });
  },
);

const monitors = ['fanotify', 'inotify'] as const;
describe.each(monitors)('stop while blocked: %s', (monitor) => {
  testOn(['tmpfs'], 'a thread that waits for events ends when the eventfd is signalled', async () => {
    await withFileSystem('tmpfs', async (root) => {
      const { source } = openEventSource({ root, monitor });
      const wake = check(eventfd(), 'eventfd');
      const worker = new Worker(
        `const { parentPort, workerData } = require('node:worker_threads');
       import(workerData.sys).then((sys) => parentPort.postMessage(sys.poll(workerData.fds)));`,
        { eval: true, workerData: { sys: built('kernel/sys'), fds: [...source.fds, wake] } },
      );
      try {
        const answer = new Promise((resolve, reject) =>
          worker.once('message', resolve).once('error', reject),
        );
        await expect.poll(threadsInPpoll, { timeout: 10_000 }).toBeGreaterThan(0);
        signalEventfd(wake);
        expect(await answer).toEqual([source.fds.length]);
      } finally {
        await worker.terminate();
        source.close();
        close(wake);
      }
    });
  });
});

/** How many threads of this process sleep in ppoll(2). */
function threadsInPpoll(): number {
  const ppoll = process.arch === 'x64' ? 271 : 73;
  let count = 0;
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      if (readFileSync(`/proc/self/task/${thread}/syscall`, 'latin1').startsWith(`${ppoll} `)) count++;
    } catch {
      // The thread has ended.
    }
  }
  return count;
}
