import { lstatSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { whyNotMountable, withFileSystem } from '../../test/contract/filesystems.ts';
import { asName } from '../core/name.ts';
import * as sys from './sys.ts';

let folder: string;
let dir: number;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fam-sys-'));
  dir = sys.check(sys.openat(sys.AT_FDCWD, folder, sys.O_RDONLY | sys.O_DIRECTORY), 'open');
});
afterAll(() => {
  sys.close(dir);
  rmSync(folder, { recursive: true });
});

function createFile(name: string, content = ''): void {
  const fd = sys.check(sys.openat(dir, name, sys.O_WRONLY | sys.O_CREAT | sys.O_TRUNC, 0o644), 'create');
  sys.check(sys.writeAll(fd, Buffer.from(content)), 'write');
  sys.check(sys.close(fd), 'close');
}

function withFd<T>(name: string, flags: number, use: (fd: number) => T): T {
  const fd = sys.check(sys.openat(dir, name, flags), 'open', name);
  try {
    return use(fd);
  } finally {
    sys.close(fd);
  }
}

describe('names', () => {
  const arbitraryName = fc
    .uint8Array({ minLength: 1, maxLength: 255 })
    .map((bytes) => asName(Buffer.from(bytes).toString('latin1')))
    .filter((name) => name !== undefined);

  test('of any bytes are created, listed and removed as they are', () => {
    sys.check(sys.mkdirat(dir, 'bytes', 0o755), 'mkdir');
    withFd('bytes', sys.O_RDONLY | sys.O_DIRECTORY, (fd) => {
      fc.assert(
        fc.property(fc.uniqueArray(arbitraryName, { maxLength: 8 }), (names) => {
          for (const name of names) sys.check(sys.mknodat(fd, name, sys.S_IFREG | 0o600), 'mknod', name);
          sys.check(sys.lseek(fd, 0, sys.SEEK_SET), 'rewind');
          const listed = sys.getdents(fd);
          if (typeof listed === 'number') throw new Error('getdents');
          expect(listed.map((entry) => entry.name).sort()).toEqual([...names].sort());
          for (const name of names) sys.check(sys.unlinkat(fd, name), 'unlink', name);
        }),
      );
    });
  });

  test('of 255 bytes fit, of 256 are refused', () => {
    createFile('\xff'.repeat(255));
    expect(sys.unlinkat(dir, '\xff'.repeat(255))).toBe(0);
    expect(sys.openat(dir, 'x'.repeat(256), sys.O_CREAT | sys.O_WRONLY)).toBe(-sys.ENAMETOOLONG);
    expect(sys.openat(dir, 'x'.repeat(5000), sys.O_RDONLY)).toBe(-sys.ENAMETOOLONG);
  });

  test('that no argument could be are refused instead of being cut', () => {
    createFile('short');
    expect(sys.unlinkat(dir, 'short\0tail')).toBe(-sys.EINVAL);
    expect(sys.unlinkat(dir, 'sho\u0172t')).toBe(-sys.EINVAL);
    expect(sys.unlinkat(dir, 'short')).toBe(0);
  });
});

describe('statx', () => {
  test('agrees with lstat on what Node can tell', () => {
    createFile('file', 'twelve bytes');
    sys.check(sys.symlinkat('nowhere\xfe', dir, 'link'), 'symlink');
    sys.check(sys.mknodat(dir, 'fifo', sys.S_IFIFO | 0o640), 'mkfifo');
    sys.check(sys.mkdirat(dir, 'folder', 0o2750), 'mkdir');
    const out = new sys.Stat();
    for (const name of ['file', 'link', 'fifo', 'folder']) {
      expect(sys.statx(dir, name, out)).toBe(0);
      const node = lstatSync(join(folder, name), { bigint: true });
      expect(BigInt(out.type | out.mode), name).toBe(node.mode);
      expect(BigInt(out.size)).toBe(node.size);
      expect(BigInt(out.blocks)).toBe(node.blocks);
      expect((BigInt(out.inoHigh) << 32n) | BigInt(out.inoLow)).toBe(node.ino);
      expect(BigInt(out.nlink)).toBe(node.nlink);
      expect(BigInt(out.mtimeS) * 1_000_000_000n + BigInt(out.mtimeNs)).toBe(node.mtimeNs);
      expect(BigInt(out.ctimeS) * 1_000_000_000n + BigInt(out.ctimeNs)).toBe(node.ctimeNs);
    }
    expect(sys.readlinkat(dir, 'link')).toBe('nowhere\xfe');
  });

  test('reads a device node', () => {
    const out = new sys.Stat();
    sys.check(sys.mknodat(dir, 'device', sys.S_IFCHR | 0o600, 511, 0x12345), 'mknod');
    sys.check(sys.statx(dir, 'device', out), 'statx');
    expect([out.type, out.rdevMajor, out.rdevMinor]).toEqual([sys.S_IFCHR, 511, 0x12345]);
  });

  test('of a missing name is -ENOENT, and check names it', () => {
    const result = sys.statx(dir, 'missing', new sys.Stat());
    expect(result).toBe(-sys.ENOENT);
    expect(() => sys.check(result, 'stat', 'missing')).toThrow('stat missing: ENOENT');
  });
});

describe('utimensat', () => {
  test('keeps nanoseconds and times before 1970', () => {
    createFile('dated');
    const out = new sys.Stat();
    // ext4 begins at -(2 ** 31), and there without nanoseconds.
    const times = fc.tuple(fc.integer({ min: 1 - 2 ** 31, max: 2 ** 33 }), fc.nat({ max: 999_999_999 }));
    fc.assert(
      fc.property(times, fc.boolean(), ([s, ns], byName) => {
        const result = byName
          ? sys.utimensat(dir, 'dated', s, ns)
          : withFd('dated', sys.O_RDONLY, (fd) => sys.futimens(fd, s, ns));
        expect(result).toBe(0);
        sys.check(sys.statx(dir, 'dated', out), 'statx');
        expect([out.mtimeS, out.mtimeNs]).toEqual([s, ns]);
      }),
    );
  });

  test('leaves the access time alone', () => {
    createFile('atime');
    const before = statSync(join(folder, 'atime')).atimeMs;
    sys.check(sys.utimensat(dir, 'atime', 5, 6), 'utimens');
    expect(statSync(join(folder, 'atime')).atimeMs).toBe(before);
  });
});

describe('metadata', () => {
  test('of a symlink is changed on the symlink', () => {
    createFile('target');
    sys.check(sys.symlinkat('target', dir, 'pointer'), 'symlink');
    const out = new sys.Stat();
    expect(sys.fchmodat(dir, 'pointer', 0o777)).toBe(-sys.EOPNOTSUPP);
    sys.check(sys.fchownat(dir, 'pointer', 12, 34), 'chown');
    sys.check(sys.fchmodat(dir, 'target', 0o4711), 'chmod');
    sys.check(sys.statx(dir, 'target', out), 'statx');
    expect([out.uid, out.mode]).toEqual([0, 0o4711]);
    sys.check(sys.statx(dir, 'pointer', out), 'statx');
    expect([out.uid, out.gid]).toEqual([12, 34]);
  });

  test('can be changed through an O_PATH descriptor of a symlink', () => {
    sys.check(sys.symlinkat('x', dir, 'bypath'), 'symlink');
    withFd('bypath', sys.O_PATH | sys.O_NOFOLLOW, (fd) => {
      const out = new sys.Stat();
      expect(sys.fchown(fd, 5, -1)).toBe(0);
      expect(sys.fstat(fd, out)).toBe(0);
      expect([out.uid, out.gid, out.isSymlink]).toEqual([5, 0, true]);
      expect(sys.readlinkat(fd, '')).toBe('x');
    });
  });
});

describe('openBeneath', () => {
  test('opens deep paths, and nothing through a symlink or above', () => {
    sys.check(sys.mkdirat(dir, 'deep', 0o755), 'mkdir');
    sys.check(sys.mkdirat(dir, 'deep/er', 0o755), 'mkdir');
    createFile('deep/er/file', 'x');
    sys.check(sys.symlinkat('er', dir, 'deep/link'), 'symlink');
    const fd = sys.check(sys.openBeneath(dir, 'deep/er/file', sys.O_RDONLY), 'open');
    sys.close(fd);
    expect(sys.openBeneath(dir, 'deep/link/file', sys.O_RDONLY)).toBe(-sys.ELOOP);
    expect(sys.openBeneath(dir, '../x', sys.O_RDONLY)).toBe(-sys.EXDEV);
    expect(sys.openBeneath(dir, '/etc/passwd', sys.O_RDONLY)).toBe(-sys.EXDEV);
    const made = sys.check(sys.openBeneath(dir, 'deep/new', sys.O_WRONLY | sys.O_CREAT, 0o604), 'create');
    const out = new sys.Stat();
    sys.check(sys.fstat(made, out), 'fstat');
    sys.close(made);
    expect(out.mode).toBe(0o604 & ~process.umask());
  });
});

describe('entries', () => {
  test('are linked, renamed, exchanged', () => {
    createFile('one', '1');
    createFile('two', '2');
    expect(sys.linkat(dir, 'one', dir, 'hard')).toBe(0);
    expect(sys.renameat2(dir, 'one', dir, 'two', sys.RENAME_NOREPLACE)).toBe(-sys.EEXIST);
    expect(sys.renameat2(dir, 'one', dir, 'two', sys.RENAME_EXCHANGE)).toBe(0);
    expect(readFileSync(join(folder, 'one'), 'utf8')).toBe('2');
    expect(readFileSync(join(folder, 'hard'), 'utf8')).toBe('1');
    expect(sys.unlinkat(dir, 'folder')).toBe(-sys.EISDIR);
    expect(sys.unlinkat(dir, 'folder', sys.AT_REMOVEDIR)).toBe(0);
  });
});

describe('content', () => {
  test('is read and written at positions, inside the buffer only', () => {
    withFd('file', sys.O_RDWR, (fd) => {
      const buffer = Buffer.from('abcdef');
      expect(sys.pwrite(fd, buffer, 2, 3, 5_000_000_000)).toBe(3);
      const back = Buffer.alloc(8, '.');
      expect(sys.pread(fd, back, 1, 7, 5_000_000_000)).toBe(3);
      expect(back.toString()).toBe('.cde....');
      expect(() => sys.pread(fd, back, 4, 5, 0)).toThrow(RangeError);
      expect(sys.lseek(fd, 4096 * 4, sys.SEEK_DATA)).toBeGreaterThan(4_000_000_000);
      expect(sys.lseek(fd, 0, sys.SEEK_HOLE)).toBeLessThan(65536);
      expect(sys.ftruncate(fd, 12)).toBe(0);
      expect(sys.lseek(fd, 0, sys.SEEK_SET)).toBe(0);
      expect(sys.read(fd, back)).toBe(8);
      expect(sys.read(fd, back)).toBe(4);
      expect(sys.read(fd, back)).toBe(0);
      expect(sys.fsync(fd)).toBe(0);
      expect(sys.fdatasync(fd)).toBe(0);
      expect(sys.syncfs(fd)).toBe(0);
      expect(sys.fadvise(fd, 0, 0, sys.POSIX_FADV_DONTNEED)).toBe(0);
      expect(sys.startWriting(fd, 0, 4096)).toBe(0);
      expect(sys.startWriting(fd, -1, 4096)).toBe(-sys.EINVAL);
    });
  });

  test('is copied in the kernel between positions', () => {
    createFile('from', '0123456789');
    createFile('to', '..........');
    withFd('from', sys.O_RDONLY, (from) =>
      withFd('to', sys.O_RDWR, (to) => {
        expect(sys.copyFileRange(from, 2, to, 5, 3)).toBe(3);
        expect(sys.copyFileRange(from, 10, to, 0, 3)).toBe(0);
      }),
    );
    expect(readFileSync(join(folder, 'to'), 'utf8')).toBe('.....234..');
  });

  test('is preallocated and punched', () => {
    createFile('sparse', 'x'.repeat(20_000));
    withFd('sparse', sys.O_RDWR, (fd) => {
      const out = new sys.Stat();
      expect(sys.fallocate(fd, 0, 0, 200_000)).toBe(0);
      sys.check(sys.fstat(fd, out), 'fstat');
      expect([out.size, out.blocks >= 200_000 / 512]).toEqual([200_000, true]);
      const punch = sys.FALLOC_FL_PUNCH_HOLE | sys.FALLOC_FL_KEEP_SIZE;
      expect(sys.fallocate(fd, punch, 4096, 4096)).toBe(0);
      const back = Buffer.alloc(2);
      sys.check(sys.pread(fd, back, 0, 2, 8191), 'read');
      expect([...back]).toEqual([0, 0x78]);
      expect(sys.fchmod(fd, 0o6755)).toBe(0);
      sys.check(sys.fstat(fd, out), 'fstat');
      expect(out.mode).toBe(0o6755);
    });
  });

  test('is shared by reflink where the file system can', async () => {
    const whyNot = whyNotMountable('btrfs');
    if (whyNot !== undefined) {
      console.warn(`not tested: ${whyNot}`);
      return;
    }
    await withFileSystem('btrfs', (path) => {
      writeFileSync(join(path, 'from'), 'content');
      const at = sys.check(sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY | sys.O_DIRECTORY), 'open');
      const from = sys.check(sys.openat(at, 'from', sys.O_RDONLY), 'open');
      const to = sys.check(sys.openat(at, 'to', sys.O_WRONLY | sys.O_CREAT, 0o600), 'open');
      expect(sys.ficlone(to, from)).toBe(0);
      expect(readFileSync(join(path, 'to'), 'utf8')).toBe('content');
      for (const fd of [at, from, to]) sys.close(fd);
    });
    withFd('from', sys.O_RDONLY, (from) =>
      withFd('/dev/null', sys.O_WRONLY, (to) => expect(sys.ficlone(to, from)).toBeLessThan(0)),
    );
  });

  test('flock excludes a second holder', () => {
    withFd('to', sys.O_RDONLY, (a) =>
      withFd('to', sys.O_RDONLY, (b) => {
        expect(sys.flock(a, sys.LOCK_EX | sys.LOCK_NB)).toBe(0);
        expect(sys.flock(b, sys.LOCK_EX | sys.LOCK_NB)).toBe(-sys.EAGAIN);
        expect(sys.flock(a, sys.LOCK_UN)).toBe(0);
        expect(sys.flock(b, sys.LOCK_EX | sys.LOCK_NB)).toBe(0);
      }),
    );
  });
});

describe('xattrs', () => {
  test('are set, listed, read and removed by descriptor and by name', () => {
    createFile('attributed');
    const value = Uint8Array.from([0, 255, 7]);
    withFd('attributed', sys.O_RDONLY, (fd) => {
      expect(sys.flistxattr(fd)).toEqual([]);
      expect(sys.fsetxattr(fd, 'user.a\xff', value)).toBe(0);
      expect(sys.fsetxattr(fd, 'user.empty', new Uint8Array(0))).toBe(0);
      expect(sys.fgetxattr(fd, 'user.a\xff')).toEqual(value);
      expect(sys.fgetxattr(fd, 'user.empty')).toEqual(new Uint8Array(0));
      expect(sys.fgetxattr(fd, 'user.none')).toBe(-sys.ENODATA);
      expect(sys.fremovexattr(fd, 'user.empty')).toBe(0);
    });
    expect(sys.listxattrat(dir, 'attributed')).toEqual(['user.a\xff']);
    expect(sys.getxattrat(dir, 'attributed', 'user.a\xff')).toEqual(value);
    expect(sys.removexattrat(dir, 'attributed', 'user.a\xff')).toBe(0);
    sys.check(sys.symlinkat('attributed', dir, 'xlink'), 'symlink');
    expect(sys.setxattrat(dir, 'xlink', 'trusted.t', value)).toBe(0);
    expect(sys.listxattrat(dir, 'xlink')).toEqual(['trusted.t']);
    expect(sys.listxattrat(dir, 'attributed')).toEqual([]);
  });
});

describe('readDirectory', () => {
  test('lists many entries, also when the visitor lists another directory, and can be ended', () => {
    sys.check(sys.mkdirat(dir, 'many', 0o755), 'mkdir');
    withFd('many', sys.O_RDONLY | sys.O_DIRECTORY, (many) => {
      for (let i = 0; i < 5000; i++) sys.check(sys.mknodat(many, `n${i}`, sys.S_IFREG | 0o600), 'mknod');
      const seen = new Set<string>();
      const out = new sys.Stat();
      const count = sys.readDirectory(many, (name, type, inoHigh, inoLow) => {
        seen.add(name);
        expect(type).toBe(sys.DT_REG);
        if (seen.size % 1000 === 0) {
          withFd('.', sys.O_RDONLY | sys.O_DIRECTORY, (fd) =>
            expect(sys.readDirectory(fd, () => {})).toBeGreaterThan(5),
          );
          sys.check(sys.statx(many, name, out), 'statx');
          expect([out.inoHigh, out.inoLow]).toEqual([inoHigh, inoLow]);
        }
      });
      expect([count, seen.size]).toEqual([5000, 5000]);
      sys.lseek(many, 0, sys.SEEK_SET);
      expect(sys.readDirectory(many, () => false)).toBe(1);
    });
    expect(withFd('file', sys.O_RDONLY, (fd) => sys.getdents(fd))).toBe(-sys.ENOTDIR);
  });
});

describe('handles', () => {
  test('open the inode again after a rename, and are stale once it is gone', () => {
    createFile('handled');
    const handle = sys.nameToHandleAt(dir, 'handled');
    if (typeof handle === 'number') throw new Error(sys.errnoName(handle));
    sys.check(sys.renameat2(dir, 'handled', dir, 'renamed'), 'rename');
    expect(sys.nameToHandleAt(dir, 'renamed')).toEqual(handle);
    withFd('renamed', sys.O_PATH, (fd) => expect(sys.nameToHandleAt(fd, '')).toEqual(handle));
    const fd = sys.check(sys.openByHandleAt(dir, handle.handle, sys.O_RDONLY), 'open by handle');
    sys.close(fd);
    sys.unlinkat(dir, 'renamed');
    expect(sys.openByHandleAt(dir, handle.handle, sys.O_RDONLY)).toBe(-sys.ESTALE);
  });
});

describe('poll', () => {
  test('tells which descriptors are ready, and an eventfd is ready until drained', () => {
    const a = sys.check(sys.eventfd(), 'eventfd');
    const b = sys.check(sys.eventfd(), 'eventfd');
    expect(sys.poll([a, b], 0)).toEqual([]);
    const start = performance.now();
    expect(sys.poll([a, b], 20)).toEqual([]);
    expect(performance.now() - start).toBeGreaterThan(19);
    sys.signalEventfd(b);
    expect(sys.poll([a, b])).toEqual([1]);
    sys.drainEventfd(b);
    expect(sys.poll([a, b], 0)).toEqual([]);
    sys.close(a);
    sys.close(b);
  });
});

test('errnoName names what file systems return', () => {
  expect([-2, 28, 39, 95, 116, 122].map(sys.errnoName)).toEqual([
    'ENOENT',
    'ENOSPC',
    'ENOTEMPTY',
    'EOPNOTSUPP',
    'ESTALE',
    'EDQUOT',
  ]);
});
