// I3: what a replica shows is what the source held. A name that became something else between the look at it and its opening blocks nobody
// and is followed nowhere; a file that is written to while it is read is read again.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { unstableRetryMs } from '../../src/source/batch-builder.ts';
import { Contents } from '../../src/source/contents.ts';
import { mountFileSystem, whyNotMountable } from '../contract/filesystems.ts';
import { compareTrees } from '../oracle/compare-trees.ts';
import { ReplicaPair } from '../support/replica-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

process.umask(0o022);

function makePair(folder = tempFolder('fam-stable', '/dev/shm')): ReplicaPair {
  const pair = new ReplicaPair(folder);
  onTestFinished(() => pair.close());
  return pair;
}

function expectEqual(pair: ReplicaPair): void {
  fs.utimesSync(pair.source, 5, 5);
  pair.record();
  pair.connect();
  expect(compareTrees(pair.source, pair.replica, { ignore: ['.fam'] })).toEqual([]);
}

const becomes: Record<string, (path: string) => void> = {
  'a FIFO': (path) => execFileSync('mkfifo', [path]),
  'a device that would block': (path) => execFileSync('mknod', [path, 'c', '5', '0']),
  'a link to a file outside': (path) => fs.symlinkSync('/etc/passwd', path),
  'a folder': (path) => fs.mkdirSync(path),
  'another file': (path) => fs.writeFileSync(path, 'another'),
  nothing: () => {},
};

test.each(Object.keys(becomes))('a name that became %s since it was listed is not read through', (kind) => {
  expectNotReadThrough(makePair(), kind);
});

const whyNot = whyNotMountable('tmpfs');
if (whyNot !== undefined) console.warn(`no file system can be mounted: ${whyNot}`);

test.skipIf(whyNot !== undefined)(
  'a device where none may be opened is not the file that it took the name of',
  () => {
    const mounted = mountFileSystem('tmpfs');
    onTestFinished(() => mounted.unmount());
    execFileSync('mount', ['-o', 'remount,nodev', mounted.path]);
    expectNotReadThrough(makePair(mounted.path), 'a device that would block');
  },
);

function expectNotReadThrough(pair: ReplicaPair, kind: string): void {
  pair.connect();
  // One is sent in a batch, the other by stream.
  const sizes = { small: 5000, large: 500_000 };
  for (const [name, size] of Object.entries(sizes))
    fs.writeFileSync(join(pair.source, name), Buffer.alloc(size, name));
  pair.record();
  for (const name of Object.keys(sizes)) {
    fs.rmSync(join(pair.source, name));
    becomes[kind]?.(join(pair.source, name));
  }
  const { problems } = pair.connect();
  expect(problems).toEqual([]);
  // What was recorded has gone, and what is there now was not seen yet.
  expect(fs.readdirSync(pair.replica)).toEqual([]);
  expectEqual(pair);
}

/** A page whose every version is longer than what has come of the next one. */
function version(n: number, size: number): Buffer {
  return Buffer.alloc(size, `version ${n} of this page `);
}

interface Upload {
  /** As far as this many bytes. */
  readonly goOn: (length: number) => void;
  readonly end: () => void;
}

/** Begins to upload the file anew. */
function uploadAnew(path: string, content: Buffer): Upload {
  const fd = fs.openSync(path, 'w');
  const goOn = (length: number): void => void fs.writeSync(fd, content, 0, length, 0);
  goOn(1000);
  return {
    goOn,
    end: () => {
      goOn(content.length);
      fs.closeSync(fd);
    },
  };
}

test.each([5000, 500_000])(
  'an upload over a file of %i bytes that begins when this has been recorded and not been read yet is not shown before it is whole',
  (size) => {
    const pair = makePair();
    const path = join(pair.source, 'page');
    fs.writeFileSync(path, version(1, size));
    pair.record();
    pair.connect();
    fs.writeFileSync(path, version(2, size));
    pair.record();
    const upload = uploadAnew(path, version(3, 2 * size));
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const { problems, events } = pair.connect({}, undefined, () => {
      // It is longer now than what it replaces, and is tried again.
      upload.goOn(size + 1000);
      vi.advanceTimersByTime(unstableRetryMs + 1);
      return true;
    });
    expect(problems).toEqual([]);
    // Nobody waits for an upload.
    const last = events.findLast((event) => event.type === 'progress');
    expect(last).toMatchObject({ owedFiles: 0, applied: last?.head });
    expect(fs.readFileSync(join(pair.replica, 'page')).equals(version(1, size))).toBe(true);
    upload.end();
    expectEqual(pair);
  },
);

test('an upload over a large file that begins when this has been read is not shown before it is whole, however long that took', () => {
  const pair = makePair();
  const path = join(pair.source, 'page');
  const size = 3_000_000;
  fs.writeFileSync(path, version(1, size));
  pair.record();
  pair.connect();
  fs.writeFileSync(path, version(2, size));
  pair.record();
  vi.useFakeTimers({ toFake: ['performance'] });
  const holdsStill = vi.spyOn(Contents.prototype, 'holdsStill');
  onTestFinished(() => {
    holdsStill.mockRestore();
    vi.useRealTimers();
  });
  let upload: Upload | undefined;
  holdsStill.mockImplementationOnce(() => {
    upload = uploadAnew(path, version(3, size));
    return false;
  });
  const { problems } = pair.connect({ onPiece: () => vi.advanceTimersByTime(1000) });
  expect(problems).toEqual([]);
  expect(fs.readFileSync(join(pair.replica, 'page')).equals(version(1, size))).toBe(true);
  expect(upload).toBeDefined();
  upload?.end();
  expectEqual(pair);
});

test('what is not where it is recorded is told of when it has been so for seconds', () => {
  const pair = makePair();
  pair.connect();
  fs.mkdirSync(join(pair.source, 'folder'));
  for (const name of ['small', 'large'])
    fs.writeFileSync(join(pair.source, 'folder', name), Buffer.alloc(name === 'small' ? 10 : 500_000, name));
  pair.record();
  fs.rmSync(join(pair.source, 'folder'), { recursive: true });
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const missing = (ms: number): string[] =>
    pair
      .connect({}, undefined, () => {
        vi.advanceTimersByTime(ms);
        return true;
      })
      .events.flatMap((event) => (event.type === 'missing' ? [event.path] : []))
      .sort();
  expect(missing(2900)).toEqual([]);
  expect(missing(3100)).toEqual(['folder', 'folder/large', 'folder/small']);
});

test('two writes of one size within a second, the mtime put back by hand: the second one arrives', () => {
  const pair = makePair();
  const path = join(pair.source, 'page');
  fs.writeFileSync(path, 'first version, longer than a digest is');
  const { atime, mtime } = fs.statSync(path);
  fs.utimesSync(path, atime, mtime);
  pair.record();
  pair.connect();
  fs.writeFileSync(path, 'other version, longer than a digest is');
  fs.utimesSync(path, atime, mtime);
  expect(Math.round(fs.statSync(path).mtimeMs)).toBe(mtime.getTime());
  expectEqual(pair);
});

test('a small change does not wait for a large content that is under way', () => {
  const pair = makePair();
  pair.connect();
  fs.writeFileSync(join(pair.source, 'large'), Buffer.alloc(20_000_000, 'large '));
  pair.record();
  let seenAt = 0;
  let last = 0;
  pair.connect({
    onPiece: (pieces) => {
      last = pieces;
      if (pieces === 3) {
        fs.writeFileSync(join(pair.source, 'page'), 'small');
        pair.record();
      }
      if (seenAt === 0 && fs.existsSync(join(pair.replica, 'page'))) seenAt = pieces;
    },
  });
  expect(seenAt).toBeGreaterThan(3);
  // A few pieces had been sent before it was written.
  expect(seenAt).toBeLessThan(20);
  expect(last).toBeGreaterThan(70);
  expectEqual(pair);
});
