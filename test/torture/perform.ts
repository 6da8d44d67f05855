// Performs operations, inside the writer's chroot. What fails fails: another writer was faster, or the path is what it is.

import {
  chmodSync,
  constants,
  fstatSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import type { ByteString } from '../../src/core/name.ts';
import {
  AT_FDCWD,
  copyFileRange,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  fallocate,
  mknodat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  renameat2,
  S_IFCHR,
  S_IFIFO,
  S_IFSOCK,
  utimensat,
} from '../../src/kernel/sys.ts';
import { Mapping, removexattr, setxattr } from './calls.ts';
import { contentOf } from './content.ts';
import { bytes, mkdirs, must, sleep, withFile } from './file-access.ts';
import type { Operation } from './operation.ts';
import { attributes, folders, sparse } from './perform-extremes.ts';
import { stayBusy } from './stay-busy.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_EXCL } = constants;

function writePieces(fd: number, content: Buffer, pieces: number): void {
  const piece = Math.ceil(content.length / pieces);
  for (let at = 0; at < content.length; at += piece)
    writeSync(fd, content, at, Math.min(piece, content.length - at));
}

function create(path: ByteString, size: number, seed: number): void {
  withFile(path, O_WRONLY | O_CREAT | O_TRUNC, (fd) =>
    writePieces(fd, contentOf(seed, size), 1 + (seed % 3)),
  );
}

function save(path: ByteString, size: number, seed: number): void {
  const temporary = `${path.slice(0, path.lastIndexOf('/'))}/.save-${seed % 1000}`;
  create(temporary, size, seed);
  renameSync(bytes(temporary), bytes(path));
}

function rmtree(path: ByteString): void {
  if (!lstatSync(bytes(path)).isDirectory()) {
    unlinkSync(bytes(path));
    return;
  }
  for (const name of readdirSync(bytes(path), { encoding: 'buffer' })) {
    try {
      rmtree(`${path}/${name.toString('latin1')}`);
    } catch {
      // Another writer has taken it away or put something in: rmdir will tell.
    }
  }
  rmdirSync(bytes(path));
}

function mmap(path: ByteString, pauseMs: number, seed: number): void {
  withFile(path, O_RDWR, (fd) => {
    const { size } = fstatSync(fd);
    const length = Math.max(4096, Math.min(size, 1 << 20));
    if (size < length) ftruncateSync(fd, length);
    const mapping = new Mapping(fd, length);
    try {
      mapping.store(seed % 4000, contentOf(seed, 64));
      sleep(pauseMs);
      mapping.store((seed % 4000) + 8, contentOf(seed + 1, 64));
    } finally {
      mapping.close();
    }
  });
}

function stealth(path: ByteString, seed: number): void {
  withFile(path, O_RDWR, (fd) => {
    const { size, mtimeMs } = fstatSync(fd);
    writeSync(fd, contentOf(seed, Math.min(size, 1 << 16)), 0, null, 0);
    futimesSync(fd, mtimeMs / 1000, mtimeMs / 1000);
  });
}

function holes(path: ByteString, size: number, seed: number): void {
  withFile(path, O_RDWR | O_CREAT, (fd) => {
    ftruncateSync(fd, size);
    writeSync(fd, contentOf(seed, 5000), 0, null, Math.floor(size / 2));
    must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, seed % 8192, 1 + (seed % (1 << 18))));
  });
}

function copyRange(from: ByteString, path: ByteString): void {
  withFile(from, O_RDONLY, (source) => {
    withFile(path, O_RDWR | O_CREAT, (target) => must(copyFileRange(source, 0, target, 0, 1 << 20)));
  });
}

function log(path: ByteString, times: number, pauseMs: number, seed: number): void {
  withFile(path, O_WRONLY | O_CREAT | O_APPEND, (fd) => {
    for (let i = 0; i < times; i++) {
      writeSync(fd, contentOf(seed + i, 200));
      sleep(pauseMs);
    }
  });
}

/** POSIX ACL as an xattr (linux/posix_acl_xattr.h): version 2, then tag, permissions, id. */
function aclBytes(uid: number): Buffer {
  const nobody = 0xffffffff;
  const entries = [
    [0x01, 7, nobody],
    [0x02, 4, uid],
    [0x04, 4, nobody],
    [0x10, 5, nobody],
    [0x20, 4, nobody],
  ] as const;
  const acl = Buffer.alloc(4 + 8 * entries.length);
  acl.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    acl.writeUInt16LE(tag, 4 + 8 * index);
    acl.writeUInt16LE(permissions, 6 + 8 * index);
    acl.writeUInt32LE(id, 8 + 8 * index);
  }
  return acl;
}

function rotate(path: ByteString, seed: number): void {
  for (let n = 3; n >= 0; n--) {
    try {
      renameSync(bytes(n === 0 ? path : `${path}.${n}`), bytes(`${path}.${n + 1}`));
    } catch {
      // Not that many yet.
    }
  }
  create(path, 100, seed);
}

function checkout(path: ByteString, files: number, seed: number): void {
  mkdirs(path);
  for (let n = 0; n < files; n++) {
    const file = `${path}/src-${(seed + n) % 25}.c`;
    try {
      unlinkSync(bytes(file));
    } catch {
      // It is new in this version.
    }
    if ((seed >> (n % 16)) % 5 > 0)
      withFile(file, O_WRONLY | O_CREAT | O_EXCL, (fd) => writeSync(fd, contentOf(seed + n, 700)));
  }
}

function untar(path: ByteString, files: number, seed: number): void {
  mkdirs(path);
  for (let n = 0; n < files; n++) {
    const folder = n % 4 === 0 ? path : `${path}/d${n % 4}`;
    if (folder !== path) mkdirs(folder);
    const file = `${folder}/m${n}`;
    create(file, (seed * (n + 7)) % 9000, seed + n);
    chmodSync(bytes(file), 0o600 | ((seed + n) % 0o100));
    must(utimensat(AT_FDCWD, file, 1_500_000_000 + n, seed % 1e9));
  }
  lutimesSync(bytes(path), 1_400_000_000, 1_400_000_000);
}

/**
 * What has names in the tree and outside of it, and is changed through an outer one, is changed where inotify may tell of nothing
 * (docs/decisions/0010): there, what is outside becomes a file of its own first.
 */
function leaveTree(operation: Operation): void {
  const isChange = !['link', 'outer', 'rename', 'unlink', 'rmdir', 'rmtree', 'pause'].includes(operation.do);
  if (!isChange || !('path' in operation)) return;
  const slash = operation.path.lastIndexOf('/');
  const folder = realPath(operation.path.slice(0, slash) || '/');
  if (folder === undefined) return;
  detach(`${folder}${operation.path.slice(slash)}`);
  const target = realPath(operation.path);
  if (target !== undefined) detach(target);
}

function realPath(path: ByteString): ByteString | undefined {
  try {
    return realpathSync(bytes(path), { encoding: 'buffer' }).toString('latin1');
  } catch {
    return undefined;
  }
}

function detach(path: ByteString): void {
  if (path.startsWith('/tree/')) return;
  const stat = lstatSync(bytes(path), { throwIfNoEntry: false });
  if (stat === undefined || stat.nlink < 2 || stat.isDirectory()) return;
  if (!stat.isFile()) {
    unlinkSync(bytes(path));
    return;
  }
  const own = `${path.slice(0, path.lastIndexOf('/'))}/.own-${process.pid}`;
  // Not by copyFile: libuv's never ends when another writer cuts the file short meanwhile.
  writeFileSync(bytes(own), readFileSync(bytes(path)), { mode: stat.mode & 0o7777 });
  renameSync(bytes(own), bytes(path));
}

function changeThrough(path: ByteString, pauseMs: number, seed: number): void {
  sleep(pauseMs);
  switch (seed % 3) {
    case 0:
      must(setxattr(path, 'user.n1', contentOf(seed, 20)));
      break;
    case 1:
      must(utimensat(AT_FDCWD, path, 1_300_000_000 + (seed % 1000), seed % 1e9));
      break;
    default:
      withFile(path, O_WRONLY | O_APPEND, (fd) => writeSync(fd, contentOf(seed, 500)));
  }
}

const renameFlags = { replace: 0, exchange: RENAME_EXCHANGE, noreplace: RENAME_NOREPLACE } as const;
/** For local and experimental use (devices.txt): no driver answers, and the file system is mounted nodev besides. */
const experimentalMajor = 60;

function act(operation: Operation, outerNames: boolean): void {
  if (!outerNames) leaveTree(operation);
  switch (operation.do) {
    case 'create':
      create(operation.path, operation.size, operation.seed);
      break;
    case 'write':
      withFile(operation.path, O_WRONLY | O_CREAT, (fd) => {
        writeSync(fd, contentOf(operation.seed, operation.size), 0, null, operation.at);
      });
      break;
    case 'append':
      withFile(operation.path, O_WRONLY | O_CREAT | O_APPEND, (fd) =>
        writePieces(fd, contentOf(operation.seed, operation.size), 2),
      );
      break;
    case 'log':
      log(operation.path, operation.times, operation.pauseMs, operation.seed);
      break;
    case 'truncate':
      withFile(operation.path, O_WRONLY, (fd) => ftruncateSync(fd, operation.size));
      break;
    case 'mmap':
      mmap(operation.path, operation.pauseMs, operation.seed);
      break;
    case 'stealth':
      stealth(operation.path, operation.seed);
      break;
    case 'twice':
      create(operation.path, operation.size, operation.seed);
      create(operation.path, operation.size, operation.seed + 1);
      break;
    case 'holes':
      holes(operation.path, operation.size, operation.seed);
      break;
    case 'copyRange':
      copyRange(operation.from, operation.path);
      break;
    case 'rename':
      must(renameat2(AT_FDCWD, operation.from, AT_FDCWD, operation.path, renameFlags[operation.how]));
      break;
    case 'link':
      linkSync(bytes(operation.from), bytes(operation.path));
      break;
    case 'outer':
      linkSync(bytes(operation.from), bytes(operation.path));
      if (outerNames) changeThrough(operation.path, operation.pauseMs, operation.seed);
      break;
    case 'unlink':
      unlinkSync(bytes(operation.path));
      break;
    case 'rmdir':
      rmdirSync(bytes(operation.path));
      break;
    case 'rmtree':
      rmtree(operation.path);
      break;
    case 'mkdirs':
      mkdirs(operation.path);
      break;
    case 'fifo':
      must(mknodat(AT_FDCWD, operation.path, S_IFIFO | 0o644));
      break;
    case 'socket':
      must(mknodat(AT_FDCWD, operation.path, S_IFSOCK | 0o644));
      break;
    case 'symlink':
      symlinkSync(bytes(operation.target), bytes(operation.path));
      break;
    case 'device':
      must(mknodat(AT_FDCWD, operation.path, S_IFCHR | 0o600, experimentalMajor, operation.minor));
      break;
    case 'chmod':
      // Through a link only inside the chroot.
      chmodSync(bytes(operation.path), operation.mode);
      break;
    case 'chown':
      lchownSync(bytes(operation.path), operation.uid, operation.gid);
      break;
    case 'utimes':
      must(utimensat(AT_FDCWD, operation.path, operation.mtimeS, operation.mtimeNs));
      break;
    case 'setxattr':
      must(setxattr(operation.path, operation.name, bytes(operation.value)));
      break;
    case 'removexattr':
      must(removexattr(operation.path, operation.name));
      break;
    case 'acl':
      must(
        setxattr(
          operation.path,
          operation.inherit ? 'system.posix_acl_default' : 'system.posix_acl_access',
          aclBytes(operation.uid),
        ),
      );
      break;
    case 'save':
      save(operation.path, operation.size, operation.seed);
      break;
    case 'rotate':
      rotate(operation.path, operation.seed);
      break;
    case 'checkout':
      checkout(operation.path, operation.files, operation.seed);
      break;
    case 'untar':
      untar(operation.path, operation.files, operation.seed);
      break;
    case 'sparse':
      sparse(operation.path, operation.size, operation.at, operation.seed);
      break;
    case 'attributes':
      attributes(operation.path, operation.namespace, operation.count, operation.size, operation.seed);
      break;
    case 'folders':
      folders(operation.path, operation.count, operation.seed);
      break;
    case 'busy':
      stayBusy(operation);
      break;
    case 'pause':
      sleep(operation.ms);
      break;
  }
}

/**
 * Performs one operation; the error's code when it failed.
 * @param outerNames what is in the tree may be changed under names outside of it
 */
export function perform(operation: Operation, outerNames: boolean): string | undefined {
  try {
    act(operation, outerNames);
    return undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code);
    throw error;
  }
}
