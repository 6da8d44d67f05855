// watch() on a real tree: what each event promises, for both kernel interfaces.

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type FileSystemType, mountFileSystem, whyNotMountable } from '../../test/contract/filesystems.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import type { WatchEvent, WatchNotice } from './event.ts';
import { type WatchOptions, type WatchTarget, watch } from './watch.ts';

const monitors = ['fanotify', 'inotify'] as const;

/** Watches, and writes events as lines: `moved a -> b`, paths relative to `root`. */
async function follow(root: string, target: WatchTarget | readonly WatchTarget[], options: WatchOptions) {
  const watcher = watch(target, { settleMs: 60, ...options });
  const events: WatchEvent[] = [];
  const listening = watcher.listen((event) => void events.push(event));
  onTestFinished(async () => {
    await watcher.close();
    await listening;
  });
  await watcher.ready;
  const short = (path: string): string => (path === root ? '.' : path.replace(`${root}/`, ''));
  const lines = (): string[] =>
    events.map((event) =>
      event.type === 'moved'
        ? `moved ${short(event.from)} -> ${short(event.path)}`
        : `${event.type} ${short(event.path)}`,
    );
  const told = (line: string): Promise<unknown> =>
    waitFor(() => lines().includes(line), {
      deadlineMs: 20_000,
      describe: () => `"${line}" among:\n${lines().join('\n')}`,
    });
  return { watcher, events, lines, told };
}

describe.each(monitors)('watch over %s', (monitor) => {
  test('a new file is created, then changed when it is closed', async () => {
    const root = tempFolder();
    const { told, lines } = await follow(root, root, { monitor });
    const fd = openSync(join(root, 'upload'), 'w');
    await told('created upload');
    writeSync(fd, 'part');
    closeSync(fd);
    await told('changed upload');
    expect(lines()).toEqual(['created upload', 'changed upload']);
  });

  test('a file that stays open is changed once it has been quiet for settleMs', async () => {
    const root = tempFolder();
    writeFileSync(join(root, 'log'), '');
    const { told } = await follow(root, root, { monitor });
    const fd = openSync(join(root, 'log'), 'a');
    onTestFinished(() => closeSync(fd));
    writeSync(fd, 'line');
    await told('changed log');
  });

  test('files and folders are moved within the tree, and what is below a folder goes on to be told of', async () => {
    const root = tempFolder();
    mkdirSync(join(root, 'from', 'deep'), { recursive: true });
    writeFileSync(join(root, 'from', 'deep', 'file'), '');
    const { told, lines } = await follow(root, root, { monitor });
    renameSync(join(root, 'from'), join(root, 'to'));
    renameSync(join(root, 'to', 'deep', 'file'), join(root, 'file'));
    await told('moved to/deep/file -> file');
    appendFileSync(join(root, 'to', 'deep', 'new'), 'x');
    await told('changed to/deep/new');
    expect(lines()).toEqual([
      'moved from -> to',
      'moved to/deep/file -> file',
      'created to/deep/new',
      'changed to/deep/new',
    ]);
  });

  test('a folder that leaves the tree is deleted, one that comes is created with all it holds', async () => {
    const root = tempFolder();
    const outside = tempFolder();
    mkdirSync(join(root, 'out', 'deep'), { recursive: true });
    mkdirSync(join(outside, 'in', 'deep'), { recursive: true });
    writeFileSync(join(outside, 'in', 'deep', 'file'), 'x');
    const { told, lines } = await follow(root, root, { monitor });
    renameSync(join(root, 'out'), join(outside, 'out'));
    await told('deleted out');
    renameSync(join(outside, 'in'), join(root, 'in'));
    await told('changed in/deep/file');
    expect(lines()).toEqual([
      'deleted out',
      'created in',
      'created in/deep',
      'created in/deep/file',
      'changed in/deep/file',
    ]);
    writeFileSync(join(outside, 'out', 'unseen'), '');
    writeFileSync(join(root, 'seen'), '');
    await told('changed seen');
    expect(lines().some((line) => line.includes('unseen'))).toBe(false);
  });

  test('mkdir -p and a file in it at once: nothing is missed', async () => {
    const root = tempFolder();
    const { told } = await follow(root, root, { monitor });
    for (let i = 0; i < 50; i++)
      execFileSync('sh', ['-c', `mkdir -p ${root}/r${i}/b/c/d; echo x >${root}/r${i}/b/c/d/f`]);
    for (let i = 0; i < 50; i++) await told(`changed r${i}/b/c/d/f`);
  });

  test('attributes are told of files, folders, and the root itself', async () => {
    const root = tempFolder();
    mkdirSync(join(root, 'folder'));
    writeFileSync(join(root, 'file'), '');
    const { told, lines } = await follow(root, root, { monitor });
    chmodSync(join(root, 'file'), 0o600);
    chmodSync(join(root, 'folder'), 0o711);
    chmodSync(root, 0o711);
    await told('attributes .');
    expect(lines().sort()).toEqual(['attributes .', 'attributes file', 'attributes folder']);
  });

  test('the kind of each object is told, in the listing and afterwards', async () => {
    const root = tempFolder();
    mkdirSync(join(root, 'folder'));
    execFileSync('mkfifo', [join(root, 'fifo')]);
    const { told, events } = await follow(root, root, { monitor, initial: true });
    await told('endExist .');
    symlinkSync('nowhere', join(root, 'link'));
    execFileSync('mknod', [join(root, 'null'), 'c', '1', '3']);
    await told('created null');
    const kinds = events.flatMap((event) => ('kind' in event ? [`${event.type} ${event.kind}`] : []));
    expect(kinds.sort()).toEqual([
      'created device',
      'created symlink',
      'exists directory',
      'exists directory',
      'exists fifo',
    ]);
  });

  test('a file is watched by its name: atomic saves, deletion and return are told, its neighbours are not', async () => {
    const root = tempFolder();
    const file = join(root, 'app.conf');
    writeFileSync(file, '1');
    const { told, lines } = await follow(root, file, { monitor });
    writeFileSync(join(root, 'temp'), '2');
    renameSync(join(root, 'temp'), file);
    await told('changed app.conf');
    unlinkSync(file);
    await told('deleted app.conf');
    writeFileSync(join(root, 'other'), '');
    writeFileSync(file, '3');
    await waitFor(() => lines().filter((line) => line === 'changed app.conf').length === 2, {
      describe: 'the return',
    });
    expect(lines()).toEqual(['changed app.conf', 'deleted app.conf', 'created app.conf', 'changed app.conf']);
  });

  test('a file that is not there yet is told of when it appears', async () => {
    const root = tempFolder();
    const { told } = await follow(root, join(root, 'later'), { monitor });
    writeFileSync(join(root, 'later'), '');
    await told('changed later');
  });

  test('only the entries of a directory with recursive: false', async () => {
    const root = tempFolder();
    mkdirSync(join(root, 'folder'));
    const { told, lines } = await follow(root, root, { monitor, recursive: false });
    writeFileSync(join(root, 'folder', 'below'), '');
    mkdirSync(join(root, 'new'));
    writeFileSync(join(root, 'file'), '');
    await told('changed file');
    expect(lines()).toEqual(['created new', 'created file', 'changed file']);
  });

  test('a filter tells of what matches, wherever it comes from', async () => {
    const root = tempFolder();
    mkdirSync(join(root, 'cache'));
    mkdirSync(join(root, 'site'));
    const { told, lines } = await follow(root, root, { monitor, filter: ['*.html', '!cache'] });
    writeFileSync(join(root, 'cache', 'no.html'), '');
    writeFileSync(join(root, 'site', 'no.txt'), '');
    writeFileSync(join(root, 'site', 'page.tmp'), '');
    renameSync(join(root, 'site', 'page.tmp'), join(root, 'site', 'page.html'));
    await told('changed site/page.html');
    renameSync(join(root, 'site'), join(root, 'moved'));
    await told('moved site/page.html -> moved/page.html');
    renameSync(join(root, 'moved', 'page.html'), join(root, 'moved', 'page.old'));
    await told('deleted moved/page.html');
    // A busy machine may move it before the thread knows that its content was seen: then it is told of again.
    expect(lines().filter((line) => line !== 'changed moved/page.html')).toEqual([
      'created site/page.html',
      'changed site/page.html',
      'moved site/page.html -> moved/page.html',
      'deleted moved/page.html',
    ]);
  });

  test('a filter with a slash is about the path', async () => {
    const root = tempFolder();
    mkdirSync(join(root, 'img', 'small'), { recursive: true });
    const { told, lines } = await follow(root, root, { monitor, filter: 'img/*/*.png' });
    writeFileSync(join(root, 'x.png'), '');
    writeFileSync(join(root, 'img', 'x.png'), '');
    writeFileSync(join(root, 'img', 'small', 'x.png'), '');
    await told('changed img/small/x.png');
    expect(lines()).toEqual(['created img/small/x.png', 'changed img/small/x.png']);
  });

  test('only the types that were asked for', async () => {
    const root = tempFolder();
    const { told, lines } = await follow(root, root, { monitor, events: ['deleted'] });
    writeFileSync(join(root, 'a'), '');
    unlinkSync(join(root, 'a'));
    mkdirSync(join(root, 'b'));
    rmSync(join(root, 'b'), { recursive: true });
    writeFileSync(join(root, 'c'), '');
    await waitFor(() => existsSync(join(root, 'c')), { describe: 'c' });
    unlinkSync(join(root, 'c'));
    mkdirSync(join(root, 'd'));
    await waitFor(
      () => {
        if (existsSync(join(root, 'd'))) rmSync(join(root, 'd'), { recursive: true });
        else mkdirSync(join(root, 'd'));
        return lines().includes('deleted d');
      },
      { describe: () => lines().join('\n'), intervalMs: 30 },
    );
    await told('deleted d');
    expect(lines().every((line) => line.startsWith('deleted '))).toBe(true);
  });

  test('names that are not UTF-8 come with their bytes, and can be asked for by them', async () => {
    const root = tempFolder();
    const name = Buffer.from([0x61, 0xff, 0xfe]);
    const bytes = Buffer.concat([Buffer.from(`${root}/`), name]);
    const { events } = await follow(root, new Uint8Array(bytes), { monitor });
    writeFileSync(bytes, 'x');
    await waitFor(() => events.some(({ type }) => type === 'changed'), { describe: 'changed' });
    const [event] = events;
    expect(event?.path).toBe(`${root}/a\ufffd\ufffd`);
    expect(Buffer.from(event?.pathBytes ?? []).equals(bytes)).toBe(true);
  });

  test('a swapped ConfigMap is a change of the file that leads through it, on request', async () => {
    const root = tempFolder();
    const version = (number: number): void => {
      mkdirSync(join(root, `..v${number}`));
      writeFileSync(join(root, `..v${number}`, 'app.conf'), `version ${number}`);
    };
    version(1);
    symlinkSync('..v1', join(root, '..data'));
    symlinkSync('..data/app.conf', join(root, 'app.conf'));
    const { lines } = await follow(root, join(root, 'app.conf'), { monitor, followSymlinks: true });
    for (const number of [2, 3]) {
      version(number);
      symlinkSync(`..v${number}`, join(root, '..data_tmp'));
      renameSync(join(root, '..data_tmp'), join(root, '..data'));
      await waitFor(() => lines().filter((line) => line === 'changed app.conf').length === number - 1, {
        describe: () => `change ${number}: ${lines().join(', ')}`,
      });
      rmSync(join(root, `..v${number - 1}`), { recursive: true });
    }
    expect(new Set(lines())).toEqual(new Set(['changed app.conf']));
  });

  test('a link that is followed is followed on when a folder above it is renamed', async () => {
    const root = tempFolder();
    mkdirSync(join(root, 'data'));
    mkdirSync(join(root, 'folder'));
    for (const version of ['v1', 'v2', 'v3']) writeFileSync(join(root, 'data', version), version);
    symlinkSync('v1', join(root, 'data', 'current'));
    symlinkSync('../data/current', join(root, 'folder', 'link'));
    const { told, lines } = await follow(root, root, { monitor, followSymlinks: true });
    renameSync(join(root, 'folder'), join(root, 'renamed'));
    await told('moved folder -> renamed');
    for (const [n, version] of ['v2', 'v3'].entries()) {
      symlinkSync(version, join(root, 'data', 'next'));
      renameSync(join(root, 'data', 'next'), join(root, 'data', 'current'));
      await waitFor(() => lines().filter((line) => line === 'changed renamed/link').length === n + 1, {
        describe: () => `${version}: ${lines().join(', ')}`,
      });
    }
  });

  test('a watched directory whose link is swapped is compared with its successor, on request', async () => {
    const root = tempFolder();
    for (const release of ['r1', 'r2']) {
      mkdirSync(join(root, release));
      writeFileSync(join(root, release, 'index.html'), release);
      writeFileSync(join(root, release, `only-${release}`), '');
    }
    symlinkSync('r1', join(root, 'current'));
    const current = join(root, 'current');
    const { told, lines } = await follow(root, current, { monitor, followSymlinks: true });
    symlinkSync('r2', join(root, 'next'));
    renameSync(join(root, 'next'), current);
    await told('changed current/only-r2');
    expect(lines()).toContain('rescan current');
    expect(lines()).toContain('deleted current/only-r1');
    expect(lines()).toContain('changed current/index.html');
    writeFileSync(join(root, 'r2', 'later'), '');
    await told('changed current/later');
  });

  test('the watched directory itself is deleted, and comes back', async () => {
    const root = join(tempFolder(), 'tree');
    mkdirSync(root);
    const { told } = await follow(root, root, { monitor });
    rmSync(root, { recursive: true });
    await told('deleted .');
    mkdirSync(root);
    await told('created .');
    writeFileSync(join(root, 'file'), '');
    await told('changed file');
  });

  test('a folder above the watched directory is replaced: what is there now is told, and nothing of what has left', async () => {
    const top = tempFolder();
    for (const app of ['app', 'app.new']) mkdirSync(join(top, app, 'public', 'sub'), { recursive: true });
    writeFileSync(join(top, 'app.new', 'public', 'index.html'), '');
    const root = join(top, 'app', 'public');
    const { told, lines } = await follow(root, root, { monitor });
    renameSync(join(top, 'app'), join(top, 'app.old'));
    renameSync(join(top, 'app.new'), join(top, 'app'));
    await told('created index.html');
    writeFileSync(join(top, 'app.old', 'public', 'unseen'), '');
    writeFileSync(join(root, 'sub', 'new'), '');
    await told('changed sub/new');
    expect(lines().some((line) => line.includes('unseen'))).toBe(false);
  });

  test('a file is watched by its whole path: a folder above it is replaced', async () => {
    const top = tempFolder();
    for (const folder of ['etc', 'etc.new']) mkdirSync(join(top, folder, 'app'), { recursive: true });
    const file = join(top, 'etc', 'app', 'app.conf');
    writeFileSync(file, 'old');
    writeFileSync(join(top, 'etc.new', 'app', 'app.conf'), 'new');
    const { told, lines } = await follow(top, file, { monitor });
    renameSync(join(top, 'etc'), join(top, 'etc.old'));
    renameSync(join(top, 'etc.new'), join(top, 'etc'));
    await told('changed etc/app/app.conf');
    const before = lines().length;
    appendFileSync(file, 'more');
    await waitFor(() => lines().slice(before).includes('changed etc/app/app.conf'), {
      describe: () => lines().join(),
    });
  });

  test('suspended, it tells nothing; resumed, what has become of everything', async () => {
    const root = tempFolder();
    const { watcher, told, lines } = await follow(root, root, { monitor });
    watcher.suspend();
    writeFileSync(join(root, 'a'), '');
    // Another watch shows that the kernel has told of it.
    const other = await follow(root, root, { monitor });
    writeFileSync(join(root, 'b'), '');
    await other.told('changed b');
    expect(lines()).toEqual([]);
    watcher.resume();
    await told('changed b');
    expect(lines()).toContain('created a');
  });

  test('a consumer that stands still is told the last state of each path, not all that happened', async () => {
    const root = tempFolder();
    const names = Array.from({ length: 50 }, (_, i) => `file-${i}`);
    for (const name of names) writeFileSync(join(root, name), '');
    const watcher = watch(root, { monitor });
    await watcher.ready;
    let release: () => void = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let told = 0;
    const seen = new Map<string, string>();
    const listening = watcher.listen((event) => {
      told++;
      if (event.type === 'changed') seen.set(event.path, readFileSync(event.path, 'utf8'));
      return released;
    });
    const rounds = 400;
    for (let round = 1; round <= rounds; round++) {
      for (const name of names) writeFileSync(join(root, name), String(round));
    }
    expect(told).toBeLessThanOrEqual(1);
    release();
    await waitFor(() => names.every((name) => seen.get(join(root, name)) === String(rounds)), {
      deadlineMs: 30_000,
      describe: () => `the last content of each file: ${told} events`,
    });
    // Two pages that were under way, 8,192 events in their order at most, and then one for each path: not 20,000.
    expect(told).toBeLessThan(2 * 4096 + 8192 + 4 * names.length);
    await watcher.close();
    await listening;
  });

  test('an aborted watch ends its loop without an error', async () => {
    const root = tempFolder();
    const abort = new AbortController();
    const watcher = watch(root, { monitor, signal: abort.signal });
    await watcher.ready;
    writeFileSync(join(root, 'a'), '');
    const seen: string[] = [];
    for await (const event of watcher) {
      seen.push(event.type);
      abort.abort();
    }
    expect(seen).toEqual(['created']);
  });

  test('nothing is written into the tree: not a name, not a time', async () => {
    const root = tempFolder();
    mkdirSync(join(root, 'folder'));
    writeFileSync(join(root, 'folder', 'file'), 'x');
    const look = (): string =>
      ['', 'folder', 'folder/file']
        .map((name) => statSync(join(root, name), { bigint: true }))
        .map(({ mtimeNs, ctimeNs, size, nlink }) => [mtimeNs, ctimeNs, size, nlink].join(' '))
        .join('\n');
    const before = look();
    const { watcher, told } = await follow(root, root, { monitor, initial: true });
    await told('exists folder/file');
    await watcher.close();
    expect(look()).toBe(before);
    expect(readdirSync(root)).toEqual(['folder']);
    expect(readFileSync(join(root, 'folder', 'file'), 'utf8')).toBe('x');
  });

  test('a path that is not there is refused with its code', async () => {
    const watcher = watch('/nowhere/at/all', { monitor });
    await expect(watcher.ready).rejects.toMatchObject({ code: 'SOURCE_MISSING', exitCode: 10 });
    await expect(watcher.listen(() => {})).rejects.toMatchObject({ code: 'SOURCE_MISSING' });
  });
});

describe('watch over file systems below the tree', () => {
  const reason = ['overlay', 'fuse'] as const;
  const missing = reason.map(whyNotMountable).find((why) => why !== undefined);
  test.skipIf(missing !== undefined)(
    `notices tell which may change unseen and which need inotify${missing === undefined ? '' : ` (skipped: ${missing})`}`,
    async () => {
      const root = tempFolder();
      const mountOn = (name: string, type: FileSystemType): void => {
        const { path, unmount } = mountFileSystem(type);
        onTestFinished(unmount);
        execFileSync('mount', ['--bind', path, join(root, name)]);
        onTestFinished(() => void execFileSync('umount', ['-l', join(root, name)]));
      };
      mkdirSync(join(root, 'over'));
      mountOn('over', 'overlay');
      const notices: WatchNotice[] = [];
      const onNotice = (notice: WatchNotice): void => void notices.push(notice);
      const { watcher, told, lines } = await follow(root, root, { onNotice });
      expect(watcher.reasons).toEqual([
        expect.stringContaining('fanotify: one mark for the whole'),
        expect.stringMatching(/over: inotify.*overlayfs gives no file handles/),
      ]);
      writeFileSync(join(root, 'over', 'file'), '');
      await told('changed over/file');
      mkdirSync(join(root, 'over', 'folder'));
      await told('created over/folder');
      chmodSync(join(root, 'over', 'folder'), 0o700);
      chmodSync(join(root, 'over'), 0o700);
      await told('attributes over');
      expect(lines().filter((line) => line.startsWith('attributes'))).toEqual([
        'attributes over/folder',
        'attributes over',
      ]);
      mkdirSync(join(root, 'fuse'));
      // Else what is mounted there is part of what was made.
      await told('created fuse');
      mountOn('fuse', 'fuse');
      await told('rescan fuse');
      writeFileSync(join(root, 'fuse', 'file'), '');
      await told('changed fuse/file');
      expect(watcher.reasons).toHaveLength(3);
      expect(notices).toEqual([
        { code: 'otherMonitor', path: join(root, 'over'), message: watcher.reasons[1] },
        {
          code: 'unreported',
          path: join(root, 'fuse'),
          message: expect.stringContaining('is a FUSE file system'),
        },
        { code: 'otherMonitor', path: join(root, 'fuse'), message: watcher.reasons[2] },
      ]);
    },
  );
});

describe('watch over fanotify', () => {
  test('tells which process did it', async () => {
    const root = tempFolder();
    const { told, events } = await follow(root, root, { monitor: 'fanotify' });
    writeFileSync(join(root, 'mine'), '');
    await told('changed mine');
    for (const event of events)
      expect(event).toMatchObject({ pid: process.pid, command: expect.any(String) });
  });

  test('tells of programs that start and stop', async () => {
    const root = tempFolder();
    copyFileSync('/bin/true', join(root, 'program'));
    chmodSync(join(root, 'program'), 0o755);
    const { told, events } = await follow(root, root, { executions: true });
    execFileSync(join(root, 'program'));
    await told('executionStopped program');
    const [started, stopped] = events.filter(({ type }) => type.startsWith('execution'));
    expect(started).toMatchObject({ type: 'executionStarted', path: join(root, 'program') });
    expect(stopped).toMatchObject({
      type: 'executionStopped',
      pid: started && 'pid' in started ? started.pid : 0,
    });
  });
});
