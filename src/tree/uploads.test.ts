// What is half of something is not recorded while its writer has it open (I2); a log is.

import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { AT_FDCWD, O_DIRECTORY, O_PATH } from '../kernel/constants.ts';
import * as sys from '../kernel/sys.ts';
import { Uploads } from './uploads.ts';

describe.each(['fanotify', 'inotify'] as const)('Recorder with %s', (monitor) => {
  function started(): RecordedTree {
    const tree = new RecordedTree({ monitor });
    tree.start();
    tree.settle();
    return tree;
  }

  test('a new file that is open for writing is recorded when it is closed, however quiet it is', () => {
    using tree = started();
    const fd = openSync(join(tree.root, 'upload'), 'w');
    for (const part of ['first', 'second']) {
      writeSync(fd, part);
      tree.settle();
      expect(tree.recordOf('upload')?.size).toBeUndefined();
    }
    expect(tree.recorder.deadline).toBeGreaterThan(performance.now());
    closeSync(fd);
    tree.settle();
    expect(tree.recordOf('upload')?.size).toBe(11);
  });

  test('a log that was just made is recorded while it is open', () => {
    using tree = started();
    const fd = openSync(join(tree.root, 'log'), 'a');
    writeSync(fd, 'line\n');
    tree.settle();
    expect(tree.recordOf('log')?.size).toBe(5);
    writeSync(fd, 'line\n');
    tree.settle();
    expect(tree.recordOf('log')?.size).toBe(10);
    closeSync(fd);
  });

  test('a file that is uploaded again stays what it was until it is closed; a log that was cut short does not', () => {
    using tree = started();
    for (const file of ['page', 'log']) writeFileSync(join(tree.root, file), 'what was there');
    tree.settle();
    const page = openSync(join(tree.root, 'page'), 'w');
    const log = openSync(join(tree.root, 'log'), 'a');
    writeSync(page, 'new');
    ftruncateSync(log);
    tree.settle();
    expect(tree.recordOf('page')?.size).toBe(14);
    expect(tree.recordOf('log')?.size).toBe(0);
    closeSync(page);
    closeSync(log);
    tree.settle();
    expect(tree.recordOf('page')?.size).toBe(3);
  });

  test('a database that is written in place is recorded while it is open', () => {
    using tree = started();
    writeFileSync(join(tree.root, 'db'), 'four');
    tree.settle();
    const fd = openSync(join(tree.root, 'db'), 'r+');
    writeSync(fd, 'longer');
    tree.settle();
    expect(tree.recordOf('db')?.size).toBe(6);
    closeSync(fd);
  });

  test('a file that was made under another name and linked into place is recorded at once', () => {
    using tree = RecordedTree.settled({ monitor, settleMs: 60_000 }, () => {});
    writeFileSync(tree.at('temporary'), 'whole');
    linkSync(tree.at('temporary'), tree.at('object'));
    rmSync(tree.at('temporary'));
    tree.record();
    expect(tree.recordOf('object')?.size).toBe(5);
  });

  test('an upload that a listing finds, in a folder that is new or at the start of fam, is left alone too', () => {
    using tree = started();
    mkdirSync(join(tree.root, 'folder'));
    const fd = openSync(join(tree.root, 'folder/upload'), 'w');
    writeSync(fd, 'half');
    tree.settle();
    expect(tree.recordOf('folder/upload')?.size).toBeUndefined();
    tree.stop();
    tree.start();
    tree.settle();
    expect(tree.recordOf('folder')?.size).toBe(0);
    expect(tree.recordOf('folder/upload')?.size).toBeUndefined();
    writeSync(fd, ' and half');
    closeSync(fd);
    tree.settle();
    expect(tree.recordOf('folder/upload')?.size).toBe(13);
  });

  test.each([
    ['a folder', (path: string) => renameSync(path, `${path}.old`), (path: string) => mkdirSync(path)],
    [
      'a file',
      (path: string) => renameSync(path, `${path}.old`),
      (path: string) => writeFileSync(path, 'old'),
    ],
    ['a file that was removed', (path: string) => rmSync(path), (path: string) => writeFileSync(path, 'old')],
  ])(
    'an upload takes the name of %s in the same round: it is left alone until it is closed',
    (_, leave, make) => {
      using tree = started();
      const path = join(tree.root, 'name');
      make(path);
      tree.settle();
      const before = tree.recordOf('name');
      // Closed in this round, too: that was the other file.
      if (before?.size === 3) writeFileSync(path, 'new');
      leave(path);
      const fd = openSync(path, 'w');
      writeSync(fd, 'half');
      tree.settle();
      expect(tree.recordOf('name')?.size).not.toBe(4);
      writeSync(fd, ' and half');
      closeSync(fd);
      tree.settle();
      expect(tree.recordOf('name')?.size).toBe(13);
    },
  );

  test('a new file that was closed and is being written to again is left alone until it is closed again', () => {
    using tree = started();
    const path = join(tree.root, 'upload');
    writeFileSync(path, '');
    const fd = openSync(path, 'w');
    writeSync(fd, 'half');
    tree.settle();
    expect(tree.recordOf('upload')?.size).toBeUndefined();
    writeSync(fd, ' and half');
    closeSync(fd);
    tree.settle();
    expect(tree.recordOf('upload')?.size).toBe(13);
  });

  test('a new file that has several names by now is recorded under each, whoever writes to it', () => {
    using tree = started();
    for (const name of ['a', 'c']) writeFileSync(join(tree.root, name), 'x');
    linkSync(join(tree.root, 'a'), join(tree.root, 'b'));
    const fds = ['b', 'c'].map((name) => openSync(join(tree.root, name), 'r+'));
    tree.settle();
    linkSync(join(tree.root, 'c'), join(tree.root, 'd'));
    tree.settle();
    for (const fd of fds) closeSync(fd);
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a file that was made empty, closed and recorded is an upload when it is filled; a log is not', () => {
    using tree = started();
    for (const file of ['page', 'log']) writeFileSync(join(tree.root, file), '');
    tree.settle();
    expect(tree.recordOf('page')?.size).toBe(0);
    const page = openSync(join(tree.root, 'page'), 'w');
    const log = openSync(join(tree.root, 'log'), 'a');
    for (const fd of [page, log]) writeSync(fd, 'half');
    tree.settle();
    expect(tree.recordOf('page')?.size).toBe(0);
    expect(tree.recordOf('log')?.size).toBe(4);
    for (const fd of [page, log]) closeSync(fd);
    tree.settle();
    expect(tree.recordOf('page')?.size).toBe(4);
  });

  test('an upload over a file is left alone where its attributes are told before its content', () => {
    using tree = started();
    const path = join(tree.root, 'page');
    writeFileSync(path, 'what was there');
    tree.settle();
    const fd = openSync(path, 'w');
    writeSync(fd, 'half');
    tree.source.read();
    chmodSync(path, 0o600);
    tree.settle();
    expect(tree.recordOf('page')?.size).toBe(14);
    closeSync(fd);
    tree.settle();
    expect(tree.recordOf('page')).toMatchObject({ size: 4, mode: 0o600 });
  });

  test('a file that is uploaded twice in one round, the second time not to its end, stays what it was', () => {
    using tree = started();
    const path = join(tree.root, 'page');
    writeFileSync(path, 'what was there');
    tree.settle();
    writeFileSync(path, 'what was new');
    const fd = openSync(path, 'w');
    writeSync(fd, 'half');
    tree.settle();
    expect(tree.recordOf('page')?.size).toBe(14);
    closeSync(fd);
    tree.settle();
    expect(tree.recordOf('page')?.size).toBe(4);
  });
});

describe('Uploads.heldUntil', () => {
  test('gives up an upload that stalls for a minute, or lasts for an hour', () => {
    using tree = new RecordedTree();
    const fd = openSync(join(tree.root, 'upload'), 'w');
    const dirfd = sys.check(sys.openat(AT_FDCWD, tree.root, O_PATH | O_DIRECTORY), 'open');
    const uploads = new Uploads({ open: () => dirfd });
    const file = {
      key: '',
      directory: rootId,
      name: 'upload' as Name,
      hints: 0,
      closed: false,
      isUnfinished: true,
      notBefore: 0,
      since: 0,
      last: 0,
    };
    expect(uploads.heldUntil(file, 1000)).toBe(1250);
    expect(uploads.heldUntil(file, 59_999)).toBe(64_999);
    expect(uploads.heldUntil(file, 60_000)).toBeUndefined();
    expect(uploads.heldUntil({ ...file, last: 3_590_000 }, 3_599_999)).toBe(3_604_999);
    expect(uploads.heldUntil({ ...file, last: 3_590_000 }, 3_600_000)).toBeUndefined();
    expect(uploads.heldUntil({ ...file, closed: true }, 1000)).toBeUndefined();
    expect(uploads.heldUntil({ ...file, isUnfinished: false }, 1000)).toBeUndefined();
    closeSync(fd);
    expect(uploads.heldUntil(file, 1000)).toBeUndefined();
    sys.close(dirfd);
  });
});
