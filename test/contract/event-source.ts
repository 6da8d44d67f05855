// What every EventSource does, whichever kernel facility it stands on and whatever the file system.

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { asName } from '../../src/core/name.ts';
import { type EventSource, Hint, type NameOf } from '../../src/kernel/event-source.ts';
import { AT_FDCWD, check, poll, RENAME_EXCHANGE, renameat2, Stat, statx } from '../../src/kernel/sys.ts';
import type { FileSystemType } from './filesystems.ts';
import { type MountedFileSystem, mountFileSystem } from './filesystems.ts';
import { Listener, TreeFollower } from './listener.ts';

interface OpenOptions {
  readonly ownPids?: ReadonlySet<number>;
  readonly smallQueue?: boolean;
  readonly nameOf?: NameOf;
}

export interface EventSourceContract {
  readonly fileSystem: FileSystemType;
  /** Opens the source under test on a root. `smallQueue`: with the kernel's own limit on the queue. */
  open(rootFd: number, options: OpenOptions): EventSource;
  /** Whether events name the process. */
  readonly knowsPids: boolean;
  /** Whether both names of a rename come as one event. */
  readonly pairsRenames: boolean;
  /** Whether the queue is bounded by memory only. */
  readonly unlimitedQueue: boolean;
  /** Files of the burst. */
  readonly burst: number;
}

const rootTag = 1;
const subTag = 2;
const { appeared, vanished, modified, closedWrite, attributes, directory, moved } = Hint;

/** Bytes as Node takes them where a name is not UTF-8. */
function rawPath(folder: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')]);
}

export function eventSourceContract(contract: EventSourceContract): void {
  let mounted: MountedFileSystem;
  /** The test's own folder on it. */
  let folder: string;
  let root: string;
  let outside: string;
  let source: EventSource;
  let opened: EventSource | undefined;
  let listener: Listener;

  function open(options: OpenOptions = {}): void {
    openAt(root, options);
  }

  function openAt(path: string, options: OpenOptions = {}): void {
    const fd = openSync(path, 'r');
    try {
      source = contract.open(fd, options);
      opened = source;
    } finally {
      closeSync(fd);
    }
    listener = new Listener(source);
    listener.add(path, rootTag);
  }

  // To make a file system takes longer than most of the tests.
  beforeAll(() => {
    mounted = mountFileSystem(contract.fileSystem);
  });
  afterAll(() => mounted.unmount());
  beforeEach(() => {
    folder = mkdtempSync(join(mounted.path, 'test-'));
    root = join(folder, 'root');
    outside = join(folder, 'outside');
    mkdirSync(join(root, 'sub'), { recursive: true });
    mkdirSync(outside);
  });
  afterEach(() => {
    // A source that could not be opened leaves nothing to close.
    opened?.close();
    opened = undefined;
    rmSync(folder, { recursive: true });
  });

  test('a file that was added is told of under a name in a directory that was not, until it is removed', () => {
    const outer = join(outside, 'outer');
    writeFileSync(join(root, 'file'), 'x');
    linkSync(join(root, 'file'), outer);
    const known = asName('file');
    const stat = new Stat();
    check(statx(AT_FDCWD, outer, stat), 'statx');
    const { dev, inoHigh, inoLow } = stat;
    const isIt = (...inode: number[]): boolean => String(inode) === String([dev, inoHigh, inoLow]);
    open({
      nameOf: (...inode) =>
        known !== undefined && isIt(...inode) ? { directory: rootTag, name: known } : undefined,
    });
    const fileTag = 9;
    // A mount that comes or goes anywhere is no reason to forget on which one the file is.
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', outside]);
    execFileSync('umount', [outside]);
    listener.take();
    expect(listener.addFile(root, 'file', fileTag)).toBe(true);
    appendFileSync(outer, 'more');
    listener.untilHints(rootTag, 'file', modified | closedWrite);
    chmodSync(outer, 0o600);
    listener.untilHints(rootTag, 'file', attributes);
    source.removeFile(fileTag);
    listener.forget();
    appendFileSync(outer, 'more');
    writeFileSync(join(root, 'after'), '');
    listener.untilHints(rootTag, 'after', appeared);
    expect(listener.hints(rootTag, 'file')).toBe(0);
  });

  describe('a name', () => {
    beforeEach(() => {
      open();
      listener.add(join(root, 'sub'), subTag);
    });

    test('appears, is modified, closed, changed and vanishes', () => {
      const path = join(root, 'file');
      const fd = openSync(path, 'w');
      listener.untilHints(rootTag, 'file', appeared);
      writeSync(fd, 'content');
      listener.untilHints(rootTag, 'file', modified);
      expect(listener.hints(rootTag, 'file') & closedWrite).toBe(0);
      closeSync(fd);
      listener.untilHints(rootTag, 'file', closedWrite);
      expect(listener.hints(rootTag, 'file') & (attributes | directory | vanished)).toBe(0);
      chmodSync(path, 0o600);
      listener.untilHints(rootTag, 'file', attributes);
      unlinkSync(path);
      listener.untilHints(rootTag, 'file', vanished);
      for (const event of listener.events) {
        expect(event).toMatchObject({ type: 'name', pid: contract.knowsPids ? process.pid : 0 });
      }
    });

    test('of a symlink, a hard link, a FIFO and a directory appears', () => {
      symlinkSync('nowhere', join(root, 'symlink'));
      writeFileSync(join(outside, 'target'), '');
      linkSync(join(outside, 'target'), join(root, 'hard'));
      execFileSync('mkfifo', [join(root, 'fifo')]);
      mkdirSync(join(root, 'folder'));
      for (const name of ['symlink', 'hard', 'fifo']) listener.untilHints(rootTag, name, appeared);
      listener.untilHints(rootTag, 'folder', appeared | directory);
      rmdirSync(join(root, 'folder'));
      listener.untilHints(rootTag, 'folder', vanished | directory);
    });

    test('whose times alone are set is changed', () => {
      writeFileSync(join(root, 'dated'), '');
      listener.untilHints(rootTag, 'dated', closedWrite);
      listener.forget();
      utimesSync(join(root, 'dated'), 5, 5);
      listener.untilHints(rootTag, 'dated', attributes);
    });

    test('of a directory whose mode changes is told under its own tag', () => {
      chmodSync(join(root, 'sub'), 0o700);
      listener.untilHints(subTag, '', attributes | directory);
    });

    test('of any bytes arrives as these bytes', () => {
      const names = [
        '\xff\xfe invalid',
        '\xe4\xb8\xad',
        'new\nline',
        '\x01',
        'x'.repeat(255),
        '\x80'.repeat(255),
        '...',
      ];
      for (const name of names) writeFileSync(rawPath(root, name), '');
      for (const name of names) listener.untilHints(rootTag, name, appeared | closedWrite);
      expect([...listener.names].sort()).toEqual(names.map((name) => `${rootTag}/${name}`).sort());
    });

    test('in a directory that nobody added is not heard', () => {
      writeFileSync(join(outside, 'file'), '');
      writeFileSync(join(root, 'barrier'), '');
      listener.untilHints(rootTag, 'barrier', closedWrite);
      expect([...listener.names]).toEqual([`${rootTag}/barrier`]);
    });

    test('in a directory that was removed is not heard any more', () => {
      source.remove(subTag);
      source.remove(4711);
      writeFileSync(join(root, 'sub/file'), '');
      writeFileSync(join(root, 'barrier'), '');
      listener.untilHints(rootTag, 'barrier', closedWrite);
      expect([...listener.names]).toEqual([`${rootTag}/barrier`]);
    });

    test('in a directory that was added again comes under the new tag', () => {
      listener.add(join(root, 'sub'), 77);
      writeFileSync(join(root, 'sub/file'), '');
      listener.untilHints(77, 'file', closedWrite);
      expect(listener.hints(subTag, 'file')).toBe(0);
      // The old tag is free for another directory.
      mkdirSync(join(root, 'other'));
      listener.add(join(root, 'other'), subTag);
      writeFileSync(join(root, 'other/file'), '');
      listener.untilHints(subTag, 'file', closedWrite);
      source.remove(77);
      writeFileSync(join(root, 'other/second'), '');
      listener.untilHints(subTag, 'second', closedWrite);
    });
  });

  describe('a directory that is in the tree twice', () => {
    const innerTag = 3;
    const twinTag = 12;
    const innerTwinTag = 13;
    const bound: string[] = [];

    function bind(from: string, to: string): void {
      execFileSync('mount', ['--bind', from, to]);
      bound.push(to);
    }

    function unbind(): void {
      for (const point of bound.splice(0).reverse()) execFileSync('umount', ['-l', point]);
    }

    beforeEach(() => {
      onTestFinished(unbind);
      for (const name of ['sub/inner', 'twin', 'third']) mkdirSync(join(root, name));
      bind(join(root, 'sub'), join(root, 'twin'));
      open();
      listener.add(join(root, 'twin'), twinTag);
      listener.add(join(root, 'twin/inner'), innerTwinTag);
      listener.add(join(root, 'sub'), subTag);
      listener.add(join(root, 'sub/inner'), innerTag);
      listener.take();
      listener.forget();
    });
    // While its file system can still be had.
    afterEach(unbind);

    test('is told of in both places, whichever of them it was done in', () => {
      for (const [place, name] of [
        ['sub', 'file'],
        ['twin', 'other'],
      ]) {
        writeFileSync(join(root, `${place}/${name}`), '');
        writeFileSync(join(root, `${place}/inner/${name}`), '');
        for (const tag of [subTag, twinTag, innerTag, innerTwinTag])
          listener.untilHints(tag, `${name}`, appeared | closedWrite);
      }
      expect(listener.names.size).toBe(8);
      unlinkSync(join(root, 'twin/file'));
      for (const tag of [subTag, twinTag]) listener.untilHints(tag, 'file', vanished);
    });

    test('is told of where it is left when it was taken out of the other place', () => {
      for (const [gone, left] of [
        [twinTag, subTag],
        [innerTag, innerTwinTag],
      ] as const) {
        source.remove(gone);
        const place = left === subTag ? 'sub' : 'twin/inner';
        writeFileSync(join(root, place, 'file'), '');
        listener.untilHints(left, 'file', closedWrite);
        expect([...listener.names]).toEqual([`${left}/file`]);
        source.remove(left);
        listener.forget();
        writeFileSync(join(root, place, 'more'), '');
        writeFileSync(join(root, 'barrier'), '');
        listener.untilHints(rootTag, 'barrier', closedWrite);
        expect([...listener.names]).toEqual([`${rootTag}/barrier`]);
        listener.forget();
        unlinkSync(join(root, 'barrier'));
        listener.untilHints(rootTag, 'barrier', vanished);
        listener.forget();
      }
    });

    test('comes under the new tag of the place that was tagged anew, and under that of the other one', () => {
      listener.add(join(root, 'twin'), 77);
      listener.add(join(root, 'sub'), 78);
      // A third place, and a tag that had another directory before.
      bind(join(root, 'sub'), join(root, 'third'));
      listener.add(join(root, 'third'), innerTwinTag);
      writeFileSync(join(root, 'sub/file'), '');
      for (const tag of [77, 78, innerTwinTag]) listener.untilHints(tag, 'file', closedWrite);
      expect(listener.names.size).toBe(3);
      listener.forget();
      writeFileSync(join(root, 'sub/inner/file'), '');
      listener.untilHints(innerTag, 'file', closedWrite);
      expect([...listener.names]).toEqual([`${innerTag}/file`]);
      listener.forget();
      // What bears the tag by now is another directory.
      listener.add(join(root, 'sub/inner'), 78);
      writeFileSync(join(root, 'sub/second'), '');
      for (const tag of [77, innerTwinTag]) listener.untilHints(tag, 'second', closedWrite);
      expect(listener.names.size).toBe(2);
    });

    test('tells a rename once for each place that has both names', () => {
      writeFileSync(join(root, 'sub/a'), '');
      listener.untilHints(twinTag, 'a', closedWrite);
      listener.forget();
      renameSync(join(root, 'sub/a'), join(root, 'sub/inner/b'));
      if (contract.pairsRenames) {
        listener.untilRename(subTag, 'a', innerTag, 'b');
        listener.untilRename(twinTag, 'a', innerTwinTag, 'b');
        expect([listener.renames.length, listener.names.size]).toEqual([2, 0]);
      } else {
        for (const tag of [subTag, twinTag]) listener.untilHints(tag, 'a', vanished | moved);
        for (const tag of [innerTag, innerTwinTag]) listener.untilHints(tag, 'b', appeared | moved);
      }
      listener.forget();
      // Out of what is bound: the other place loses it.
      renameSync(join(root, 'sub/inner/b'), join(root, 'c'));
      if (contract.pairsRenames) listener.untilRename(innerTag, 'b', rootTag, 'c');
      listener.untilHints(innerTwinTag, 'b', vanished | moved);
      listener.forget();
      renameSync(join(root, 'c'), join(root, 'sub/d'));
      if (contract.pairsRenames) listener.untilRename(rootTag, 'c', subTag, 'd');
      listener.untilHints(twinTag, 'd', appeared | moved);
      listener.forget();
      renameSync(join(root, 'sub/d'), join(outside, 'd'));
      for (const tag of [subTag, twinTag]) listener.untilHints(tag, 'd', vanished | moved);
    });

    test('that is removed leaves no place', () => {
      rmSync(join(root, 'sub/inner'), { recursive: true });
      for (const tag of [subTag, twinTag]) listener.untilHints(tag, 'inner', vanished | directory);
      source.remove(innerTag);
      source.remove(innerTwinTag);
      mkdirSync(join(root, 'sub/inner'));
      listener.add(join(root, 'sub/inner'), innerTag);
      writeFileSync(join(root, 'twin/inner/file'), '');
      listener.untilHints(innerTag, 'file', closedWrite);
      expect(listener.hints(innerTwinTag, 'file')).toBe(0);
    });
  });

  describe('a file that is mounted over another one', () => {
    let point: string;
    let bound: string;

    beforeEach(() => {
      point = join(root, 'sub/point');
      bound = join(outside, 'bound');
      for (const path of [point, bound]) writeFileSync(path, '');
    });

    const mount = (from: string): void => void execFileSync('mount', ['--bind', from, point]);
    const unmount = (): void => void execFileSync('umount', [point]);
    const untilFile = (path: string, hints: number): void =>
      listener.until(`${hints} of ${path}`, () => (listener.mountedFiles.get(path) ?? 0) === hints);
    const isFile = true;

    test('is told of by its path: that it came, what happens to it, and that it went', () => {
      open();
      listener.add(join(root, 'sub'), subTag);
      mount(bound);
      listener.untilCondition({ type: 'mounted', path: 'sub/point', isFile });
      appendFileSync(point, 'through the mount');
      untilFile('sub/point', modified | closedWrite);
      listener.forget();
      // Whoever polls is woken.
      appendFileSync(bound, 'by its own name');
      expect(poll([...source.fds], 10_000)).not.toEqual([]);
      untilFile('sub/point', modified | closedWrite);
      chmodSync(bound, 0o600);
      untilFile('sub/point', modified | closedWrite | attributes);
      listener.forget();
      unmount();
      listener.untilCondition({ type: 'unmounted', path: 'sub/point', isFile });
      appendFileSync(bound, 'no more');
      writeFileSync(join(root, 'barrier'), '');
      listener.untilHints(rootTag, 'barrier', closedWrite);
      expect(listener.mountedFiles.size).toBe(0);
    });

    test('was there before, in a folder that is renamed, and at two places', () => {
      writeFileSync(join(root, 'second'), '');
      mount(bound);
      execFileSync('mount', ['--bind', bound, join(root, 'second')]);
      try {
        open();
        renameSync(join(root, 'sub'), join(root, 'other'));
        point = join(root, 'other/point');
        appendFileSync(bound, 'more');
        untilFile('other/point', modified | closedWrite);
        untilFile('second', modified | closedWrite);
        execFileSync('umount', [join(root, 'second')]);
        listener.untilCondition({ type: 'unmounted', path: 'second', isFile });
        listener.forget();
        appendFileSync(bound, 'more');
        untilFile('other/point', modified | closedWrite);
        expect(listener.mountedFiles.size).toBe(1);
      } finally {
        execFileSync('umount', ['-l', point]);
      }
    });
  });

  describe('a rename', () => {
    beforeEach(() => {
      open();
      listener.add(join(root, 'sub'), subTag);
      writeFileSync(join(root, 'a'), 'a');
      writeFileSync(join(root, 'sub/b'), 'b');
      listener.untilHints(rootTag, 'a', closedWrite);
      listener.untilHints(subTag, 'b', closedWrite);
      listener.forget();
    });

    function untilRenamed(fromTag: number, fromName: string, toTag: number, toName: string): void {
      if (contract.pairsRenames) {
        const event = listener.untilRename(fromTag, fromName, toTag, toName);
        expect(event.pid).toBe(contract.knowsPids ? process.pid : 0);
      } else {
        listener.untilHints(fromTag, fromName, vanished | moved);
        listener.untilHints(toTag, toName, appeared | moved);
      }
    }

    test('inside a directory, and between two, tells both names', () => {
      renameSync(join(root, 'a'), join(root, 'a2'));
      untilRenamed(rootTag, 'a', rootTag, 'a2');
      renameSync(join(root, 'a2'), join(root, 'sub/a3'));
      untilRenamed(rootTag, 'a2', subTag, 'a3');
      if (contract.pairsRenames) expect(listener.names.size).toBe(0);
    });

    test('over another file tells both names', () => {
      renameSync(join(root, 'a'), join(root, 'sub/b'));
      untilRenamed(rootTag, 'a', subTag, 'b');
    });

    test('of two names for one another tells both ways', () => {
      check(renameat2(AT_FDCWD, join(root, 'a'), AT_FDCWD, join(root, 'sub/b'), RENAME_EXCHANGE), 'exchange');
      untilRenamed(rootTag, 'a', subTag, 'b');
      untilRenamed(subTag, 'b', rootTag, 'a');
    });

    test('out of the tree: the name vanishes, also when nothing else happens', () => {
      renameSync(join(root, 'a'), join(outside, 'a'));
      listener.untilHints(rootTag, 'a', vanished | moved);
      expect(source.pendingUntil).toBeUndefined();
    });

    test('into the tree: the name appears', () => {
      mkdirSync(join(outside, 'in'));
      renameSync(join(outside, 'in'), join(root, 'in'));
      listener.untilHints(rootTag, 'in', appeared | moved | directory);
    });

    test('of a directory leaves its tag alone', () => {
      renameSync(join(root, 'sub'), join(root, 'renamed'));
      untilRenamed(rootTag, 'sub', rootTag, 'renamed');
      appendFileSync(join(root, 'renamed/b'), 'more');
      listener.untilHints(subTag, 'b', modified | closedWrite);
    });

    test('with many others in between is still told whole', () => {
      const count = 2000;
      for (let i = 0; i < count; i++) {
        renameSync(join(root, i === 0 ? 'a' : `a${i - 1}`), join(root, `a${i}`));
        if (i % 7 === 0) listener.take();
      }
      untilRenamed(rootTag, `a${count - 2}`, rootTag, `a${count - 1}`);
      if (contract.pairsRenames) expect(listener.renames.length).toBe(count);
    });
  });

  if (contract.pairsRenames) {
    test('renames that are cut in two by the end of a read are told whole', () => {
      open();
      // Long names: a read of the queue ends in the middle, between the two halves of a rename.
      const long = (i: number) => join(root, `${i}`.padEnd(250, 'n'));
      const count = 3000;
      writeFileSync(long(0), '');
      for (let i = 0; i < count; i++) renameSync(long(i), long(i + 1));
      // At most one, which is as good as one buffer of the kernel's queue.
      while (listener.take(1).length > 0);
      expect(listener.renames.length).toBe(count);
      expect(listener.events.filter((event) => event.type === 'name' && (event.hints & moved) !== 0)).toEqual(
        [],
      );
    });
  }

  describe('a tree', () => {
    test('that grows deep at once is followed to its end', () => {
      open();
      const follower = new TreeFollower(source, root);
      for (let i = 0; i < 20; i++) {
        const path = `t${i}/b/c/d/e/f`;
        mkdirSync(join(root, path), { recursive: true });
        writeFileSync(join(root, path, 'leaf'), '');
        if (i % 3 === 0) follower.until(`${path}/leaf`);
      }
      for (let i = 0; i < 20; i++) follower.until(`t${i}/b/c/d/e/f/leaf`);
      rmSync(join(root, 't0'), { recursive: true });
      follower.listener.until('t0 to vanish', () =>
        follower.listener.events.some(
          (event) => event.type === 'name' && event.name === 't0' && (event.hints & vanished) !== 0,
        ),
      );
    });

    test('keeps up with a burst: every name is told after its last change', () => {
      open();
      for (let i = 0; i < contract.burst; i++) {
        writeFileSync(join(root, `n${i}`), '');
        if (!contract.unlimitedQueue && i % 2000 === 0) {
          while (listener.take().length > 0);
        }
      }
      // A name of its own: it may not merge with what was read before.
      writeFileSync(join(root, 'last'), '');
      listener.untilHints(rootTag, 'last', closedWrite);
      expect(listener.conditions).toEqual([]);
      for (let i = 0; i < contract.burst; i++) {
        const hints = listener.hints(rootTag, `n${i}`);
        if ((hints & (appeared | closedWrite)) !== (appeared | closedWrite))
          throw new Error(`n${i}: ${hints}`);
      }
      expect(source.queued()).toBe(0);
    });

    test('whose queue overflows says so, and goes on', () => {
      open({ smallQueue: true });
      // fs.inotify.max_queued_events and fanotify's own limit are 16,384.
      for (let i = 0; i < 17_000; i++) writeFileSync(join(root, `n${i}`), '');
      expect(source.queued()).toBeGreaterThan(0);
      listener.untilCondition({ type: 'overflow' });
      listener.until('an empty queue', () => source.queued() === 0);
      source.read();
      expect(source.isDrained).toBe(true);
      writeFileSync(join(root, 'after'), '');
      listener.untilHints(rootTag, 'after', closedWrite);
    });
  });

  describe('the root', () => {
    test('moved is gone', () => {
      open();
      renameSync(root, `${root}2`);
      listener.untilCondition({ type: 'root-gone', why: 'moved' });
    });

    test('deleted is gone, also while somebody holds it open', () => {
      open();
      const fd = openSync(root, 'r');
      try {
        rmSync(root, { recursive: true });
        listener.untilCondition({ type: 'root-gone', why: 'deleted' });
      } finally {
        closeSync(fd);
      }
    });

    test.each([
      ['a folder above it', () => folder],
      ['a folder above the one that its file system is mounted on', () => dirname(mounted.path)],
    ])('is gone when %s is moved, and not when that comes back', (_, of) => {
      const above = of();
      open();
      renameSync(above, `${above}-away`);
      renameSync(`${above}-away`, above);
      writeFileSync(join(root, 'barrier'), '');
      listener.untilHints(rootTag, 'barrier', closedWrite);
      expect(listener.conditions).toEqual([]);
      renameSync(above, `${above}-away`);
      try {
        listener.untilCondition({ type: 'root-gone', why: 'moved' });
      } finally {
        renameSync(`${above}-away`, above);
      }
    });

    test('stays when the folder above it is another one, and is gone when that is moved', () => {
      const above = join(folder, 'above');
      root = join(above, 'root');
      mkdirSync(root, { recursive: true });
      open();
      renameSync(above, `${above}-former`);
      mkdirSync(above);
      renameSync(join(`${above}-former`, 'root'), root);
      writeFileSync(join(root, 'barrier'), '');
      listener.untilHints(rootTag, 'barrier', closedWrite);
      expect(listener.conditions).toEqual([]);
      renameSync(above, `${above}-away`);
      listener.untilCondition({ type: 'root-gone', why: 'moved' });
    });

    test('stays when others come and go beside it', () => {
      open();
      mkdirSync(join(folder, 'other'));
      renameSync(join(folder, 'other'), join(folder, 'other2'));
      rmdirSync(join(folder, 'other2'));
      writeFileSync(join(root, 'barrier'), '');
      listener.untilHints(rootTag, 'barrier', closedWrite);
      expect(listener.conditions).toEqual([]);
    });

    test('unmounted is gone', () => {
      const own = mountFileSystem(contract.fileSystem);
      onTestFinished(() => own.unmount());
      openAt(own.path);
      execFileSync('umount', [own.path]);
      listener.untilCondition({ type: 'root-gone', why: 'unmounted' });
      // So that the helper finds what it mounted.
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', own.path]);
    });

    test('unmounted is gone, also where another file system is there before anybody looks', () => {
      const point = join(folder, 'point');
      const mount = () => execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', point]);
      mkdirSync(point);
      mount();
      try {
        openAt(point);
        execFileSync('umount', [point]);
        mount();
        listener.untilCondition({ type: 'root-gone', why: 'unmounted' });
      } finally {
        execFileSync('umount', [point]);
      }
    });

    test('that something is mounted over is gone', () => {
      open();
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', root]);
      try {
        listener.untilCondition({ type: 'root-gone', why: 'unmounted' });
      } finally {
        execFileSync('umount', [root]);
      }
    });
  });

  test('a file system mounted below the root is told, heard and told again when it goes', () => {
    open();
    const point = join(root, 'sub');
    const elsewhere = mkdtempSync(join(folder, 'elsewhere-'));
    const mount = (at: string) => execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', at]);
    const unmount = (at: string) => execFileSync('umount', [at]);
    mount(elsewhere);
    try {
      // The kernel gives the device and mount numbers of the first one to the second one: it must not pass for known.
      for (const round of [1, 2]) {
        mount(point);
        try {
          listener.untilCondition({ type: 'mounted', path: 'sub' });
          listener.add(point, subTag);
          writeFileSync(join(point, `file${round}`), '');
          listener.untilHints(subTag, `file${round}`, appeared | closedWrite);
        } finally {
          unmount(point);
        }
        listener.untilCondition({ type: 'unmounted', path: 'sub' });
        expect(listener.conditions.length).toBe(2);
        listener.forget();
      }
    } finally {
      unmount(elsewhere);
    }
  });

  test('a file system below the root that another one replaces before anybody looks is told, and that one is heard', () => {
    const point = join(root, 'sub');
    const mount = () => execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', point]);
    mount();
    try {
      open();
      listener.add(point, subTag);
      // The kernel gives its numbers to the next one.
      execFileSync('umount', [point]);
      mount();
      listener.untilCondition({ type: 'unmounted', path: 'sub' });
      listener.untilCondition({ type: 'mounted', path: 'sub' });
      listener.add(point, subTag);
      writeFileSync(join(point, 'file'), '');
      listener.untilHints(subTag, 'file', appeared | closedWrite);
    } finally {
      execFileSync('umount', [point]);
    }
  });

  test('a directory of a mount that is newer than the last read can be added', () => {
    open();
    const point = join(root, 'sub');
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', point]);
    try {
      listener.add(point, subTag);
      writeFileSync(join(point, 'file'), '');
      listener.untilHints(subTag, 'file', appeared | closedWrite);
      writeFileSync(join(point, 'file2'), '');
      listener.untilHints(subTag, 'file2', appeared | closedWrite);
    } finally {
      execFileSync('umount', [point]);
    }
  });

  if (contract.knowsPids) {
    test('what own processes do is left out, what others do is not', () => {
      const ownPids = new Set([process.pid]);
      open({ ownPids });
      writeFileSync(join(root, 'own'), '');
      renameSync(join(root, 'own'), join(root, 'own2'));
      execFileSync('touch', [join(root, 'foreign')]);
      listener.untilHints(rootTag, 'foreign', appeared | closedWrite);
      expect([...listener.names]).toEqual([`${rootTag}/foreign`]);
      ownPids.clear();
      writeFileSync(join(root, 'own3'), '');
      listener.untilHints(rootTag, 'own3', appeared);
    });
  }

  test('close frees every descriptor, and again does nothing', () => {
    open();
    const { fds } = source;
    source.close();
    source.close();
    for (const fd of fds) expect(() => closeSync(fd)).toThrow('EBADF');
  });
}
