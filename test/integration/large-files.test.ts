// Large contents between the real source and the real agent, in one thread: what travels, and what is built from what is there.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { unstableRetryMs } from '../../src/source/batch-builder.ts';
import { Contents } from '../../src/source/contents.ts';
import { whyNotMountable, withFileSystem } from '../contract/filesystems.ts';
import { compareTrees } from '../oracle/compare-trees.ts';
import { type Connection, Killed, ReplicaPair } from '../support/replica-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

process.umask(0o022);
const MiB = 1024 * 1024;

function makePair(replicaFolder?: string): ReplicaPair {
  const pair = new ReplicaPair(tempFolder('fam-large', '/dev/shm'), replicaFolder);
  onTestFinished(() => pair.close());
  return pair;
}

function mirrored(size: number, replicaFolder?: string): ReplicaPair {
  const pair = makePair(replicaFolder);
  fs.writeFileSync(big(pair), randomBytes(size));
  sync(pair);
  return pair;
}

function sync(pair: ReplicaPair): Connection {
  pair.record();
  const connection = pair.connect();
  expect(connection.problems).toEqual([]);
  return connection;
}

/** Until the replica is equal: a file that changed while it was read is tried again a little later. */
function syncUntilEqual(pair: ReplicaPair): void {
  const deadline = performance.now() + 20_000;
  for (;;) {
    sync(pair);
    if (fs.existsSync(big(pair, 'replica')) && differences(pair).length === 0) return;
    if (performance.now() > deadline) expect(differences(pair)).toEqual([]);
  }
}

function differences(pair: ReplicaPair): unknown[] {
  return compareTrees(pair.source, pair.replica, { ignore: ['.fam'] }).filter(({ path }) => path !== '');
}

function expectEqual(pair: ReplicaPair): void {
  expect(differences(pair)).toEqual([]);
}

function big(pair: ReplicaPair, side: 'source' | 'replica' = 'source', name = 'big'): string {
  return join(pair[side], name);
}

function writeAt(path: string, position: number, bytes: Buffer): void {
  const fd = fs.openSync(path, 'r+');
  fs.writeSync(fd, bytes, 0, bytes.length, position);
  fs.closeSync(fd);
}

function readAt(path: string, position: number, length: number): Buffer {
  const fd = fs.openSync(path, 'r');
  const bytes = Buffer.alloc(length);
  fs.readSync(fd, bytes, 0, length, position);
  fs.closeSync(fd);
  return bytes;
}

function forgetReplicaState(pair: ReplicaPair): void {
  fs.rmSync(join(pair.folder, '.fam-replica'), { recursive: true });
}

/** How often the agent was asked to read what it has. */
function questions({ counts }: Connection): number {
  return counts.get('digests-wanted') ?? 0;
}

describe('a large file that changes', () => {
  test('sends what is appended, and asks about the last block only', () => {
    const pair = mirrored(8 * MiB + 5000);
    for (const bytes of [1, 4096, 300_000]) {
      fs.appendFileSync(big(pair), randomBytes(bytes));
      const done = sync(pair);
      expectEqual(pair);
      expect(done.contentBytes).toBeLessThanOrEqual(bytes + 16 * 1024);
      expect(questions(done)).toBe(1);
    }
  });

  test('sends the sub-blocks around a change', () => {
    const pair = mirrored(8 * MiB);
    writeAt(big(pair), 3 * MiB + 777, randomBytes(4096));
    const done = sync(pair);
    expectEqual(pair);
    expect(done.contentBytes).toBeLessThanOrEqual(32 * 1024);
    expect(questions(done)).toBe(1);
  });

  test('sends nothing for a new time, nor for what is cut off at the end of a block', () => {
    const pair = mirrored(8 * MiB);
    fs.utimesSync(big(pair), 1, 1);
    expect(sync(pair).contentBytes).toBe(0);
    fs.truncateSync(big(pair), 5 * MiB);
    expect(sync(pair).contentBytes).toBe(0);
    fs.truncateSync(big(pair), 4 * MiB + 12_345);
    expect(sync(pair).contentBytes).toBeLessThanOrEqual(16 * 1024);
    expectEqual(pair);
  });

  test('keeps holes, made and filled', () => {
    const pair = makePair();
    fs.writeFileSync(big(pair), '');
    fs.truncateSync(big(pair), 64 * MiB);
    writeAt(big(pair), 20 * MiB + 4096, randomBytes(MiB));
    sync(pair);
    expectEqual(pair);
    writeAt(big(pair), 40 * MiB, randomBytes(100_000));
    expect(sync(pair).contentBytes).toBeLessThanOrEqual(2 * 128 * 1024);
    expectEqual(pair);
    execFileSync('fallocate', [
      '--punch-hole',
      '--offset',
      String(20 * MiB),
      '--length',
      String(MiB),
      big(pair),
    ]);
    fs.utimesSync(big(pair), 2, 2);
    sync(pair);
    expectEqual(pair);
    expect(fs.statSync(big(pair, 'replica')).blocks * 512).toBeLessThan(3 * MiB);
  });

  test('sends all of it when nothing is left of the old content', () => {
    const pair = mirrored(40 * MiB);
    writeAt(big(pair), 0, randomBytes(40 * MiB));
    const done = sync(pair);
    expectEqual(pair);
    expect(done.contentBytes).toBe(40 * MiB);
    expect(questions(done)).toBeLessThan(40);
  });

  test('is compared by digests that the replica makes where the source knows none', () => {
    const pair = mirrored(24 * MiB);
    forgetReplicaState(pair);
    expect(sync(pair).contentBytes).toBe(0);
    writeAt(big(pair), 12 * MiB, randomBytes(4096));
    const adopted = sync(pair);
    expectEqual(pair);
    expect(adopted.contentBytes).toBeLessThanOrEqual(16 * 1024);
    expect(questions(adopted)).toBe(2);
    // From here on the source knows.
    writeAt(big(pair), 13 * MiB, randomBytes(4096));
    expect(questions(sync(pair))).toBe(1);
    expectEqual(pair);
  });

  test('is built from what lies under its name when the replica has forgotten everything', () => {
    const pair = mirrored(24 * MiB);
    forgetReplicaState(pair);
    fs.appendFileSync(big(pair), 'more');
    expect(sync(pair).contentBytes).toBeLessThanOrEqual(16 * 1024);
    expectEqual(pair);
  });
});

describe('a base that is not what it was', () => {
  test('is read before it is trusted when somebody wrote to it, even if size and time were put back', () => {
    const pair = mirrored(8 * MiB);
    const { atime, mtime } = fs.statSync(big(pair, 'replica'));
    const { mtimeNs } = fs.statSync(big(pair), { bigint: true });
    writeAt(big(pair, 'replica'), 2 * MiB, Buffer.from('drift'));
    fs.utimesSync(big(pair, 'replica'), atime, mtime);
    execFileSync('touch', [
      '-d',
      `@${mtimeNs / 10n ** 9n}.${String(mtimeNs % 10n ** 9n).padStart(9, '0')}`,
      big(pair, 'replica'),
    ]);
    fs.appendFileSync(big(pair), 'more');
    const done = sync(pair);
    expect(fs.readFileSync(big(pair, 'replica')).equals(fs.readFileSync(big(pair)))).toBe(true);
    expect(done.contentBytes).toBeLessThanOrEqual(64 * 1024);
  });

  test('is given up when it changes under the copies, and the content comes whole', () => {
    const pair = mirrored(40 * MiB);
    fs.appendFileSync(big(pair), 'more');
    pair.record();
    const { contentBytes } = pair.connect({
      onPiece: (pieces) => {
        if (pieces === 2) writeAt(big(pair, 'replica'), 30 * MiB, Buffer.from('drift'));
      },
    });
    expect(contentBytes).toBeGreaterThan(40 * MiB);
    syncUntilEqual(pair);
  });

  test('has gone: the content comes whole', () => {
    const pair = mirrored(4 * MiB);
    // A replica without any file that it should have would be compared as a whole.
    fs.writeFileSync(big(pair, 'source', 'page'), 'stays');
    sync(pair);
    fs.rmSync(big(pair, 'replica'));
    fs.appendFileSync(big(pair), 'more');
    expect(sync(pair).contentBytes).toBe(4 * MiB + 4);
    expectEqual(pair);
  });
});

describe('content that the replica has under another name', () => {
  test('is copied there: a copy, one that is moved, one that is edited and takes the name', () => {
    const pair = mirrored(20 * MiB);
    fs.copyFileSync(big(pair), big(pair, 'source', 'copy'));
    expect(sync(pair).contentBytes).toBe(0);
    expectEqual(pair);
    fs.copyFileSync(big(pair), big(pair, 'source', 'temporary'));
    fs.renameSync(big(pair, 'source', 'temporary'), big(pair, 'source', 'third'));
    expect(sync(pair).contentBytes).toBe(0);
    expectEqual(pair);
    fs.copyFileSync(big(pair), big(pair, 'source', 'edited'));
    writeAt(big(pair, 'source', 'edited'), 10 * MiB, randomBytes(4096));
    fs.renameSync(big(pair, 'source', 'edited'), big(pair));
    expect(sync(pair).contentBytes).toBeLessThanOrEqual(16 * 1024);
    expectEqual(pair);
  });
});

describe('a transfer that breaks', () => {
  test('goes on where it was, in the middle of what is sent', () => {
    const pair = makePair();
    fs.writeFileSync(join(pair.source, 'small'), 'x');
    sync(pair);
    fs.writeFileSync(big(pair), randomBytes(40 * MiB));
    pair.record();
    expect(() => pair.connect({ onPiece: killAt(80) })).toThrow(Killed);
    const rest = sync(pair);
    expectEqual(pair);
    expect(rest.contentBytes).toBe(20 * MiB);
    // What the second half was sent by is as good for the next change.
    fs.appendFileSync(big(pair), 'more');
    expect(sync(pair).contentBytes).toBeLessThanOrEqual(16 * 1024);
    expectEqual(pair);
  });

  test('goes on where it was, in the middle of what is copied', () => {
    const pair = mirrored(64 * MiB);
    writeAt(big(pair), 50 * MiB, randomBytes(4096));
    fs.appendFileSync(big(pair), 'more');
    pair.record();
    expect(() => pair.connect({ onPiece: killAt(3) })).toThrow(Killed);
    const { counts, contentBytes } = sync(pair);
    expectEqual(pair);
    expect(contentBytes).toBeLessThanOrEqual(32 * 1024);
    expect(counts.get('stream')).toBeLessThan(10);
  });

  test.each([
    ['what has been sent already', 2, 1],
    ['all of it', 0, 8],
  ])(
    'begins anew when the file was written to in between, in %s, and nobody has recorded that yet',
    (_, atMiB, sizeMiB) => {
      const pair = makePair();
      fs.writeFileSync(join(pair.source, 'small'), 'x');
      sync(pair);
      fs.writeFileSync(big(pair), randomBytes(8 * MiB));
      pair.record();
      expect(() => pair.connect({ onPiece: killAt(16) })).toThrow(Killed);
      writeAt(big(pair), atMiB * MiB, randomBytes(sizeMiB * MiB));
      const written = fs.readFileSync(big(pair));
      expect(pair.connect().problems).toEqual([]);
      expect(fs.readFileSync(big(pair, 'replica')).equals(written)).toBe(true);
      sync(pair);
      expect(fs.readFileSync(big(pair, 'replica')).equals(written)).toBe(true);
      expectEqual(pair);
    },
  );

  test.each([
    ['shorter', (path: string) => fs.truncateSync(path, 10 * MiB)],
    ['longer', (path: string) => fs.appendFileSync(path, randomBytes(MiB))],
    ['rewritten', (path: string) => writeAt(path, 0, randomBytes(40 * MiB))],
    ['replaced', (path: string) => replace(path)],
    ['removed and made again', (path: string) => remake(path)],
  ] as const)('becomes %s while it is sent', (_, change) => {
    const pair = mirrored(40 * MiB);
    writeAt(big(pair), 20 * MiB, randomBytes(10 * MiB));
    pair.record();
    pair.connect({
      onPiece: (pieces) => {
        if (pieces === 4) change(big(pair));
      },
    });
    syncUntilEqual(pair);
  });
});

function killAt(piece: number): (pieces: number) => void {
  return (pieces) => {
    if (pieces === piece) throw new Killed();
  };
}

function replace(path: string): void {
  fs.writeFileSync(`${path}.new`, randomBytes(5 * MiB));
  fs.renameSync(`${path}.new`, path);
}

function remake(path: string): void {
  fs.rmSync(path);
  fs.writeFileSync(path, randomBytes(6 * MiB));
}

describe.each(['xfs', 'btrfs'] as const)('on %s', (type) => {
  const reason = whyNotMountable(type);

  test.skipIf(reason !== undefined)(
    'blocks are shared: a file that fits only once is rebuilt beside itself',
    async () => {
      await withFileSystem(type, (path) => {
        using pair = new ReplicaPair(tempFolder('fam-large', '/dev/shm'), path);
        fs.writeFileSync(big(pair), randomBytes(130 * MiB));
        sync(pair);
        writeAt(big(pair), 65 * MiB + 100, randomBytes(4096));
        fs.appendFileSync(big(pair), 'more');
        expect(sync(pair).contentBytes).toBeLessThanOrEqual(48 * 1024);
        expectEqual(pair);
        fs.copyFileSync(big(pair), big(pair, 'source', 'copy'));
        expect(sync(pair).contentBytes).toBe(0);
        expectEqual(pair);
      });
    },
  );
});

describe('a file that is written to all the time while it is sent', () => {
  /** So many pieces, of 256 KiB, in which nobody stops writing, with a new record after each eighth of the file. */
  const hotPieces = 120;

  /** By which piece it came first; `write` brings a new content, and says whether that is recorded. */
  function writtenTo(pair: ReplicaPair, write: () => boolean): Connection & { readonly cameAt: number } {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    let cameAt = Infinity;
    const onPiece = (pieces: number): void => {
      if (fs.existsSync(big(pair, 'replica'))) cameAt = Math.min(cameAt, pieces);
      if (pieces > hotPieces || pieces % 4 !== 0) return;
      if (write()) pair.record();
      vi.advanceTimersByTime(2100);
    };
    const aMomentLater = (): boolean => {
      vi.advanceTimersByTime(unstableRetryMs + 1);
      return true;
    };
    return { ...pair.connect({ onPiece }, undefined, aMomentLater), cameAt };
  }

  test('comes as it is, which is told of once, and then what has changed of it', () => {
    const pair = makePair();
    sync(pair);
    fs.writeFileSync(big(pair), randomBytes(8 * MiB));
    pair.record();
    const fd = fs.openSync(big(pair), 'r+');
    let at = 0;
    const { cameAt, problems, contentBytes } = writtenTo(pair, () => {
      at = (at + 3 * MiB) % (8 * MiB);
      return fs.writeSync(fd, randomBytes(4096), 0, 4096, at) > 0;
    });
    fs.closeSync(fd);
    expect(cameAt).toBeLessThan(hotPieces / 2);
    expect(problems).toEqual([{ path: 'big', action: 'read', code: 'changing' }]);
    expect(contentBytes).toBeLessThan(3 * 8 * MiB);
    expectEqual(pair);
    fs.appendFileSync(big(pair), 'more');
    expect(sync(pair).contentBytes).toBeLessThanOrEqual(16 * 1024);
    expectEqual(pair);
  });

  test('is not shown half where in the end it is uploaded anew', () => {
    const pair = makePair();
    sync(pair);
    fs.writeFileSync(big(pair), randomBytes(8 * MiB));
    pair.record();
    const fd = fs.openSync(big(pair), 'r+');
    let writes = 0;
    const { problems } = writtenTo(pair, () => {
      writes += 1;
      if (writes < 4) return fs.writeSync(fd, randomBytes(4096), 0, 4096, 0) > 0;
      if (writes === 4) fs.ftruncateSync(fd, 4 * MiB);
      return false;
    });
    expect(writes).toBeGreaterThanOrEqual(4);
    expect(problems).toEqual([]);
    expect(fs.existsSync(big(pair, 'replica'))).toBe(false);
    fs.closeSync(fd);
    fs.writeFileSync(big(pair), randomBytes(9 * MiB));
    sync(pair);
    expectEqual(pair);
  });

  test('is not shown half where it is replaced while its last pieces are sent, and nobody has recorded that yet', () => {
    const pair = makePair();
    sync(pair);
    const contents = [randomBytes(8 * MiB), randomBytes(8 * MiB)] as const;
    fs.writeFileSync(big(pair), contents[0]);
    pair.record();
    let writes = 0;
    const seen: string[] = [];
    const look = (): void => {
      if (!fs.existsSync(big(pair, 'replica'))) return;
      const shown = fs.readFileSync(big(pair, 'replica'));
      seen.push(String(contents.findIndex((content) => content.equals(shown))));
    };
    writtenTo(pair, () => {
      writes += 1;
      look();
      if (writes === 4) fs.writeFileSync(big(pair), contents[1]);
      return false;
    });
    look();
    expect(writes).toBeGreaterThanOrEqual(4);
    expect(new Set(seen)).toEqual(new Set(['1']));
  });

  test('comes as the content that it was named by, when it is written to right after that', () => {
    const pair = makePair();
    sync(pair);
    const named = randomBytes(8 * MiB);
    fs.writeFileSync(big(pair), named);
    pair.record();
    const holdsStill = vi.spyOn(Contents.prototype, 'holdsStill');
    onTestFinished(() => holdsStill.mockRestore());
    holdsStill.mockImplementationOnce(() => {
      writeAt(big(pair), 2 * MiB, randomBytes(MiB));
      return true;
    });
    expect(pair.connect().problems).toEqual([]);
    expect(fs.readFileSync(big(pair, 'replica')).equals(named)).toBe(true);
    expect(sync(pair).contentBytes).toBe(MiB);
    expectEqual(pair);
  });

  test.each([
    ['lines are added', (path: string) => fs.appendFileSync(path, 'one more line\n')],
    ['it is changed at its beginning', (path: string) => writeAt(path, 17, randomBytes(100))],
    ['it is changed inside', (path: string) => writeAt(path, 5 * MiB + 17, randomBytes(100))],
  ])('comes all the same where %s, and nobody has it open in between', (_, change) => {
    const pair = makePair();
    sync(pair);
    fs.writeFileSync(big(pair), randomBytes(8 * MiB));
    pair.record();
    const { cameAt, contentBytes } = writtenTo(pair, () => {
      change(big(pair));
      return true;
    });
    expect(cameAt).toBeLessThan(hotPieces / 2);
    expect(contentBytes).toBeLessThan(3 * 8 * MiB);
    expectEqual(pair);
  });

  test('is not shown half where it is saved anew again and again, and nobody has it open any more', () => {
    const pair = makePair();
    sync(pair);
    fs.writeFileSync(big(pair), randomBytes(8 * MiB));
    pair.record();
    const { cameAt, problems } = writtenTo(pair, () => {
      fs.writeFileSync(big(pair), randomBytes(8 * MiB));
      return true;
    });
    expect(cameAt).toBeGreaterThan(hotPieces);
    expect(problems).toEqual([]);
    expectEqual(pair);
  });
});

describe('a file that is almost nothing but a hole', () => {
  test.each(['15T', '1P'])('comes with it, and with what data it has: %s', (size) => {
    const pair = makePair();
    sync(pair);
    const memory = process.memoryUsage().arrayBuffers;
    execFileSync('truncate', ['-s', size, big(pair)]);
    const data = randomBytes(5000);
    for (const edit of [1, 2]) {
      writeAt(big(pair), edit * 2 ** 42, data);
      pair.record();
      let most = 0;
      const { problems, sentBytes } = pair.connect({
        onPiece: () => {
          most = Math.max(most, process.memoryUsage().arrayBuffers);
        },
      });
      expect(problems).toEqual([]);
      expect(sentBytes).toBeLessThan(100_000);
      expect((most - memory) / MiB).toBeLessThan(32);
      expect(readAt(big(pair, 'replica'), edit * 2 ** 42, data.length).equals(data)).toBe(true);
      const [ours, theirs] = [fs.statSync(big(pair)), fs.statSync(big(pair, 'replica'))];
      expect(theirs).toMatchObject({ size: ours.size, blocks: ours.blocks });
    }
  });

  test('is told of, and left out, where its size is more than a number can be', () => {
    const pair = makePair();
    execFileSync('truncate', ['-s', '7E', big(pair)]);
    fs.writeFileSync(big(pair, 'source', 'page'), 'comes all the same');
    const tooBig = { path: 'big', action: 'read', code: 'EFBIG' };
    // At first contact, and as news.
    for (const mode of [0o600, 0o644]) {
      fs.chmodSync(big(pair), mode);
      pair.record();
      expect(pair.connect().problems).toContainEqual(tooBig);
      expect(fs.readdirSync(pair.replica)).toEqual(['page']);
    }
    fs.truncateSync(big(pair), 1000);
    sync(pair);
    expectEqual(pair);
  });

  const reason = whyNotMountable('ext4');

  test.skipIf(reason !== undefined)(
    'is told of, and left out, where the replica has no such long files: nothing else waits for it',
    async () => {
      await withFileSystem('ext4', (path) => {
        using pair = new ReplicaPair(tempFolder('fam-large', '/dev/shm'), path);
        fs.writeFileSync(big(pair, 'source', 'page'), 'first');
        sync(pair);
        execFileSync('truncate', ['-s', '1P', big(pair)]);
        fs.writeFileSync(big(pair, 'source', 'page'), 'second');
        pair.record();
        expect(pair.connect().problems).toMatchObject([{ path: 'big', code: 'EFBIG' }]);
        expect(fs.readFileSync(big(pair, 'replica', 'page'), 'utf8')).toBe('second');
        expect(pair.connect().counts.get('stream')).toBeUndefined();
        fs.truncateSync(big(pair), 200 * 1024);
        sync(pair);
        expect(fs.statSync(big(pair, 'replica')).size).toBe(200 * 1024);
        execFileSync('truncate', ['-s', '1P', big(pair, 'source', 'next')]);
        pair.record();
        expect(pair.connect().problems).toMatchObject([{ code: 'EFBIG' }]);
        fs.truncateSync(big(pair, 'source', 'next'), 1000);
        sync(pair);
        expect(fs.statSync(big(pair, 'replica', 'next')).size).toBe(1000);
      });
    },
  );

  test.skipIf(reason !== undefined)(
    'leaves what it found in its place only for as long as the source has something there',
    async () => {
      await withFileSystem('ext4', (path) => {
        using pair = new ReplicaPair(tempFolder('fam-large', '/dev/shm'), path);
        execFileSync('truncate', ['-s', '1P', big(pair)]);
        pair.record();
        fs.mkdirSync(pair.replica);
        fs.writeFileSync(big(pair, 'replica'), 'found there');
        expect(pair.connect({ init: true }).problems).toMatchObject([{ code: 'EFBIG' }]);
        expect(fs.readFileSync(big(pair, 'replica'), 'utf8')).toBe('found there');
        fs.rmSync(big(pair));
        sync(pair);
        expect(fs.readdirSync(pair.replica)).toEqual([]);
      });
    },
  );
});

test('memory stays flat, whatever the size', () => {
  const pair = makePair();
  const chunk = randomBytes(64 * MiB);
  for (let i = 0; i < 16; i++) fs.appendFileSync(big(pair), chunk);
  pair.record();
  const before = process.memoryUsage().rss;
  let most = before;
  const watch = (): void => {
    most = Math.max(most, process.memoryUsage.rss());
  };
  pair.connect({ onPiece: watch });
  fs.appendFileSync(big(pair), 'more');
  pair.record();
  pair.connect({ onPiece: watch });
  expect(fs.statSync(big(pair, 'replica')).size).toBe(1024 * MiB + 4);
  expect((most - before) / MiB).toBeLessThan(200);
});
