// replica/: the agent's side of docs/protocol.md. May import core, kernel, runtime, tree and wire.
//
// This file: where a replica's own things are. Staging, limbo, trash and state are on the root's own file system and
// mount, because everything is placed by rename: beside the root where that is possible, else in ROOT/.fam.

import { ftruncateSync, mkdirSync, readFileSync, realpathSync, statfsSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { codeOf, FamError } from '../core/errors.ts';
import { type ByteString, bytesOfText, displayBytes, type Name } from '../core/name.ts';
import {
  AT_FDCWD,
  close,
  EAGAIN,
  EEXIST,
  ENOENT,
  ENOTDIR,
  EROFS,
  errnoName,
  flock,
  fstat,
  LOCK_EX,
  LOCK_NB,
  mkdirat,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  openat,
  readDirectory,
  Stat,
  SysError,
  statx,
} from '../kernel/sys.ts';
import { refuseUnmounted } from './mount-note.ts';
import { successionIn } from './succession-file.ts';

/** The name that is ours at the top of a root whose parent directory cannot be used. */
export const innerHomeName = '.fam';
/** With the root's own name, that of one beside it. */
const outerHomePrefix = `${innerHomeName}-`;

export interface Home {
  /** The real path of the root, for people. */
  readonly root: string;
  readonly rootFd: number;
  readonly stagingFd: number;
  readonly limboFd: number;
  readonly trashFd: number;
  /** Path of the folder that holds all of these. */
  readonly path: string;
  /** Path of the state folder, for the store. */
  readonly state: string;
  readonly stateFd: number;
  /** True when home is ROOT/.fam: that name at the top is left out of everything. */
  readonly isInside: boolean;
  /** Releases the lock and every descriptor. Idempotent. */
  close(): void;
}

/**
 * Opens the root, making it if only its last component is missing, and the folders of our own.
 * @throws FamError DESTINATION_UNWRITABLE, DESTINATION_NOT_DIRECTORY, REPLICA_BUSY (the caller may try again)
 */
export function openHome(path: string): Home {
  const root = openRoot(path);
  const fds: number[] = [root.fd];
  const closeAll = (): void => {
    for (const fd of fds.splice(0).reverse()) close(fd);
  };
  try {
    const { fd: homeFd, path: homePath, isInside } = openHomeFolder(root.path, root.fd);
    fds.push(homeFd);
    fds.push(takeLock(homeFd, root.path));
    const sub = (name: string): number => {
      const fd = subfolder(homeFd, name, homePath);
      fds.push(fd);
      return fd;
    };
    return {
      root: root.path,
      rootFd: root.fd,
      stagingFd: sub('staging'),
      limboFd: sub('limbo'),
      trashFd: sub('trash'),
      stateFd: sub('state'),
      path: homePath,
      state: join(homePath, 'state'),
      isInside,
      close: closeAll,
    };
  } catch (error) {
    closeAll();
    throw error;
  }
}

/** Whether a path, by which a root was opened, still leads to it. A look that fails for another reason than that it is gone says nothing. */
export function leadsToRoot(path: string, home: Home): boolean {
  const named = new Stat();
  const opened = new Stat();
  const result = statx(AT_FDCWD, bytesOfText(path), named, 0);
  if (result < 0 || fstat(home.rootFd, opened) < 0) return result !== -ENOENT && result !== -ENOTDIR;
  return named.isSameInode(opened);
}

/** lmdb takes what is written in part for EIO: whoever fails where there is no room fails because of that. */
const leastRoomBytes = 64 * 1024;

export function hasNoRoom(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize < leastRoomBytes;
  } catch {
    return false;
  }
}

/** The name that is ours beside a root. */
function outerHomeName(root: string): string {
  return `${outerHomePrefix}${basename(root)}`;
}

/** Whether a name in a directory is the own folder of a replica beside it: it remembers there whom it follows. */
export function isReplicaHome(dirfd: number, name: ByteString): boolean {
  return name.startsWith(outerHomePrefix) && statx(dirfd, successionIn(name), new Stat()) === 0;
}

/** A replica's own folder, as far as it can be told without opening it. */
export interface HomePlace {
  readonly path: string;
  readonly isInside: boolean;
  /** The user that its agents run as. */
  readonly uid: number;
}

/** Where the own folder of a root (its real path) is, if it has one. */
export function findHome(root: string): HomePlace | undefined {
  const [inside, beside] = homesOf(root);
  return homeAt(inside, true) ?? (beside === undefined ? undefined : homeAt(beside, false));
}

/** Paths where the own folder of a root can be, the one that comes first first. */
export function homesOf(root: string): readonly [inside: string, ...beside: string[]] {
  const inside = join(root, innerHomeName);
  return root === '/' ? [inside] : [inside, join(dirname(root), outerHomeName(root))];
}

/**
 * A user's folder may bear the name: an agent has been at work in ours, and nobody else can look into it. What it says decides who is
 * the main, so another user's counts only where that user needed others to make it.
 */
function homeAt(path: string, isInside: boolean): HomePlace | undefined {
  const stat = new Stat();
  const isFound = (at: string): boolean => statx(AT_FDCWD, bytesOfText(at), stat) === 0;
  const isOurs = (): boolean => stat.uid === 0 || stat.uid === process.geteuid?.();
  if (!isFound(join(path, 'lock')) || !stat.isFile || !isFound(path) || (stat.mode & 0o077) !== 0)
    return undefined;
  const { uid } = stat;
  const isTrusted =
    isOurs() || (!isInside && isFound(dirname(path)) && isOurs() && (stat.mode & 0o022) === 0);
  return isTrusted ? { path, isInside, uid } : undefined;
}

/** The process that holds the lock in such a folder, as it has written there. */
export function lockHolder(home: HomePlace): number | undefined {
  const pid = Number(readFileSync(join(home.path, 'lock'), 'latin1'));
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}

/** The names in one of the folders of our own. */
export function namesIn(folderFd: number): Name[] {
  const fd = openat(folderFd, '.', O_RDONLY | O_DIRECTORY);
  const names: Name[] = [];
  readDirectory(fd, (name) => {
    names.push(name);
  });
  close(fd);
  return names;
}

/** Whether the root holds nothing but our own folder. */
export function isEmptyRoot(home: Home): boolean {
  const fd = openat(home.rootFd, '.', O_RDONLY | O_DIRECTORY);
  if (fd < 0) return false;
  let empty = true;
  readDirectory(fd, (name) => {
    if (home.isInside && name === innerHomeName) return true;
    empty = false;
    return false;
  });
  close(fd);
  return empty;
}

function openRoot(path: string): { path: string; fd: number } {
  refuseUnmounted(path);
  const bytes = bytesOfText(path);
  const stat = new Stat();
  let result = statx(AT_FDCWD, bytes, stat, 0);
  if (result === -ENOENT) {
    try {
      mkdirSync(path, { mode: 0o755 });
    } catch (cause) {
      const code = codeOf(cause) ?? 'EIO';
      const parent = dirname(path);
      const advice =
        code === 'ENOENT'
          ? `its parent folder ${parent} does not exist either: create it first (mkdir -p ${parent})`
          : `it does not exist and cannot be created (${code}): create it, or give the agent's user write permission in ${parent}`;
      throw new FamError('DESTINATION_UNWRITABLE', `cannot use ${path} as a replica: ${advice}`, { cause });
    }
    result = statx(AT_FDCWD, bytes, stat, 0);
  }
  if (result === -ENOTDIR || (result === 0 && !stat.isDirectory)) {
    throw new FamError(
      'DESTINATION_NOT_DIRECTORY',
      `${path} is not a folder: a replica's root has to be one`,
    );
  }
  if (result < 0) throw unwritable(path, result);
  const real = realpathSync(path);
  const fd = openat(AT_FDCWD, bytesOfText(real), O_RDONLY | O_DIRECTORY);
  if (fd < 0) throw unwritable(path, fd);
  return { path: real, fd };
}

function unwritable(path: string, errno: number): FamError {
  const advice =
    errno === -EROFS
      ? "its file system is mounted read-only: see why (the kernel's log), then remount it"
      : "give the agent's user write permission there";
  return new FamError('DESTINATION_UNWRITABLE', `cannot write to ${path} (${errnoName(errno)}): ${advice}`, {
    cause: new SysError(errno, 'open', bytesOfText(path)),
  });
}

function openHomeFolder(root: string, rootFd: number): { fd: number; path: string; isInside: boolean } {
  const inside = openFolder(rootFd, innerHomeName, false);
  if (inside >= 0) return { fd: inside, path: join(root, innerHomeName), isInside: true };
  if (root !== '/') {
    const parent = dirname(root);
    const name = outerHomeName(root);
    const parentFd = openat(AT_FDCWD, bytesOfText(parent), O_RDONLY | O_DIRECTORY);
    if (parentFd >= 0) {
      const fd = isSameMount(rootFd, parentFd) ? openFolder(parentFd, bytesOfText(name), true) : -1;
      close(parentFd);
      if (fd >= 0) return { fd, path: join(parent, name), isInside: false };
    }
  }
  const fd = openFolder(rootFd, innerHomeName, true);
  if (fd < 0) throw unwritable(root, fd);
  return { fd, path: join(root, innerHomeName), isInside: true };
}

/** A rename from one to the other is possible: same file system, same mount. */
function isSameMount(a: number, b: number): boolean {
  const one = new Stat();
  const other = new Stat();
  if (fstat(a, one) < 0 || fstat(b, other) < 0) return false;
  return one.dev === other.dev && one.mountId === other.mountId;
}

/** Opens a folder that nobody else can look into: ours, mode 0700. The descriptor or -errno. */
function openFolder(parentFd: number, name: ByteString, create: boolean): number {
  if (create) {
    const made = mkdirat(parentFd, name, 0o700);
    if (made < 0 && made !== -EEXIST) return made;
  }
  const fd = openat(parentFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd < 0) return fd;
  // RACE: somebody else may have put a folder of this name here: what is not ours alone is not used. The check is
  // on the opened folder itself, so it cannot be replaced after it.
  const stat = new Stat();
  const result = fstat(fd, stat);
  if (result < 0 || stat.uid !== process.geteuid?.() || (stat.mode & 0o077) !== 0) {
    close(fd);
    return -EEXIST;
  }
  return fd;
}

function subfolder(homeFd: number, name: ByteString, homePath: string): number {
  const fd = openFolder(homeFd, name, true);
  if (fd < 0) {
    throw new FamError(
      'DESTINATION_UNWRITABLE',
      `cannot use ${homePath}/${displayBytes(name)} (${errnoName(fd)})`,
    );
  }
  return fd;
}

function takeLock(homeFd: number, root: string): number {
  const fd = openat(homeFd, 'lock', O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  if (fd < 0) throw unwritable(root, fd);
  const result = flock(fd, LOCK_EX | LOCK_NB);
  if (result === 0) {
    notePid(fd);
    return fd;
  }
  close(fd);
  if (result !== -EAGAIN) throw unwritable(root, result);
  throw new FamError('REPLICA_BUSY', `another agent is writing to ${root}`, { retryable: true });
}

/** Whoever promotes this replica ends us by this. A full disk is no reason not to serve: there may be something to remove. */
function notePid(fd: number): void {
  try {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
  } catch {
    // It is ended by hand then.
  }
}
