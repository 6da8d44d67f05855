// Makes inodes and sets their attributes, by directory descriptor and name. Everything that I1 keeps of an inode except its
// names. What this process may not set is noted once as a missing capability and is no failure.

import { chmodSync } from 'node:fs';
import { type Attributes, Kind, type Xattr } from '../core/attributes.ts';
import { isSameBytes } from '../core/attributes-compare.ts';
import type { ByteString } from '../core/name.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  close,
  EDQUOT,
  EEXIST,
  EINVAL,
  ENOSPC,
  EPERM,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  fdatasync,
  fgetxattr,
  flistxattr,
  fremovexattr,
  fsetxattr,
  fstat,
  futimens,
  getxattrat,
  listxattrat,
  mkdirat,
  mknodat,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat,
  procPath,
  removexattrat,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  Stat,
  setxattrat,
  statx,
  symlinkat,
  utimensat,
  writeAll,
} from '../kernel/sys.ts';
import type { Capabilities } from './capabilities.ts';

/** POSIX ACLs that new inodes in a directory get: the only attribute that one inode passes to another. */
const defaultAcl = 'system.posix_acl_default';

const isRoot = process.geteuid?.() === 0;

export class Maker {
  readonly #capabilities: Capabilities;
  /** Of the inode made or changed last. */
  readonly stat = new Stat();

  /** Contents are on disk before they appear under a name. */
  syncFiles = false;

  constructor(capabilities: Capabilities) {
    this.#capabilities = capabilities;
  }

  /**
   * Makes a file with this content, complete. Nothing may be at the name. 0 or -errno, and then nothing is left there.
   */
  file(dirfd: number, name: ByteString, attributes: Attributes, bytes: Uint8Array): number {
    const fd = openat(dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, attributes.mode & 0o777);
    if (fd < 0) return fd;
    let result = bytes.length === 0 ? 0 : writeAll(fd, bytes);
    if (result >= 0) result = this.#complete(fd, attributes, name);
    close(fd);
    return Math.min(result, 0);
  }

  /** Sets everything of a file whose content is in place. 0 or -errno. */
  finish(dirfd: number, name: ByteString, attributes: Attributes): number {
    const fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return fd;
    const result = this.#complete(fd, attributes, name);
    close(fd);
    return result;
  }

  /** Makes an inode without content. A directory's time is for later. 0 or -errno. */
  node(dirfd: number, name: ByteString, attributes: Attributes): number {
    const made = this.#make(dirfd, name, attributes);
    if (made < 0) return made;
    const { stat } = this;
    const result = statx(dirfd, name, stat);
    if (result < 0) return result;
    return this.#setAt(dirfd, name, attributes);
  }

  #make(dirfd: number, name: ByteString, attributes: Attributes): number {
    const { kind, mode } = attributes;
    switch (kind) {
      case Kind.directory:
        return mkdirat(dirfd, name, mode & 0o777);
      case Kind.symlink:
        return symlinkat(attributes.target, dirfd, name);
      case Kind.fifo:
        return mknodat(dirfd, name, S_IFIFO | (mode & 0o777));
      case Kind.charDevice:
      case Kind.blockDevice: {
        const type = kind === Kind.charDevice ? S_IFCHR : S_IFBLK;
        const made = mknodat(dirfd, name, type | (mode & 0o777), attributes.rdevMajor, attributes.rdevMinor);
        if (made === -EPERM) this.#capabilities.lack('device-nodes', () => name);
        return made;
      }
      case Kind.file:
        return -EINVAL;
    }
  }

  /**
   * Sets what differs on what is at the name, provided that it is still the inode in `stat`.
   * @param setTime false for directories: they get their time after their content
   * @returns 0, -EEXIST when another inode is there, or -errno
   */
  change(dirfd: number, name: ByteString, attributes: Attributes, setTime: boolean): number {
    // RACE: the name may be given to another inode between the caller's look and this; so the inode is opened (O_PATH:
    // without touching it), compared, and changed through the descriptor.
    const fd = openat(dirfd, name, O_PATH | O_NOFOLLOW);
    if (fd < 0) return fd;
    const now = this.#opened;
    let result = fstat(fd, now);
    if (result === 0 && !now.isSameInode(this.stat)) result = -EEXIST;
    if (result === 0) result = this.#changeOpened(fd, now, dirfd, name, attributes, setTime);
    close(fd);
    return result;
  }

  readonly #opened = new Stat();

  #changeOpened(
    fd: number,
    now: Stat,
    dirfd: number,
    name: ByteString,
    attributes: Attributes,
    setTime: boolean,
  ): number {
    // Locked (`chattr`) it takes nothing, which says nothing of what the file system can keep.
    if (now.isLocked) return this.#isAsWanted(now, dirfd, name, attributes, setTime) ? 0 : -EPERM;
    let result = 0;
    const owned = this.#owner(now, attributes, name, () => fchown(fd, attributes.uid, attributes.gid));
    // A change of owner takes set-id bits away, so the mode comes after it.
    const isModeWrong = now.mode !== attributes.mode || (owned && (attributes.mode & 0o6000) !== 0);
    if (isModeWrong && attributes.kind !== Kind.symlink) result = chmodOpened(fd, attributes.mode);
    const { xattrs } = attributes;
    if (xattrs !== undefined) {
      const canOpen = attributes.kind === Kind.file || attributes.kind === Kind.directory;
      const readable = canOpen ? openat(AT_FDCWD, procPath(fd), O_RDONLY | O_NONBLOCK) : -1;
      if (readable >= 0) {
        this.#syncXattrs(readable, xattrs, name);
        close(readable);
      } else this.#syncXattrsAt(dirfd, name, xattrs);
    }
    if (!setTime || (now.mtimeS === attributes.mtimeS && now.mtimeNs === attributes.mtimeNs)) return result;
    const timed = utimensat(fd, '', attributes.mtimeS, attributes.mtimeNs, AT_EMPTY_PATH);
    return result < 0 ? result : timed;
  }

  #isAsWanted(now: Stat, dirfd: number, name: ByteString, attributes: Attributes, setTime: boolean): boolean {
    // Nobody but root can give files away.
    const isOwner = !isRoot || (now.uid === attributes.uid && now.gid === attributes.gid);
    const isTime = !setTime || (now.mtimeS === attributes.mtimeS && now.mtimeNs === attributes.mtimeNs);
    return isOwner && isTime && now.mode === attributes.mode && this.hasXattrs(dirfd, name, attributes);
  }

  /** Whether the extended attributes of what is at the name are these. */
  hasXattrs(dirfd: number, name: ByteString, attributes: Attributes): boolean {
    if (attributes.xattrs === undefined) return true;
    const names = listxattrat(dirfd, name);
    if (typeof names === 'number') return attributes.xattrs.length === 0;
    const mine = names.filter((one) => !isLeftAlone(one));
    if (mine.length !== attributes.xattrs.length) return false;
    return attributes.xattrs.every((xattr) => {
      const value = getxattrat(dirfd, name, xattr.name);
      return typeof value !== 'number' && isSameBytes(value, xattr.value);
    });
  }

  /** Owner, mode, extended attributes and time of an open file; `stat` says afterwards which inode it is. */
  #complete(fd: number, attributes: Attributes, name: ByteString): number {
    const { stat } = this;
    let result = fstat(fd, stat);
    if (result < 0) return result;
    const owned = this.#owner(stat, attributes, name, () => fchown(fd, attributes.uid, attributes.gid));
    // A change of owner takes set-id bits away, so the mode comes after it.
    if (stat.mode !== attributes.mode || (owned && (attributes.mode & 0o6000) !== 0)) {
      result = fchmod(fd, attributes.mode);
      if (result < 0) return result;
    }
    if (attributes.xattrs !== undefined && (this.#mayInherit || attributes.xattrs.length > 0)) {
      this.#syncXattrs(fd, attributes.xattrs, name);
    }
    result = futimens(fd, attributes.mtimeS, attributes.mtimeNs);
    return result === 0 && this.syncFiles ? fdatasync(fd) : result;
  }

  #setAt(dirfd: number, name: ByteString, attributes: Attributes): number {
    const { stat } = this;
    this.#owner(stat, attributes, name, () => fchownat(dirfd, name, attributes.uid, attributes.gid));
    if (attributes.kind !== Kind.symlink && stat.mode !== attributes.mode) {
      const result = fchmodat(dirfd, name, attributes.mode);
      if (result < 0) return result;
    }
    const { xattrs } = attributes;
    if (xattrs !== undefined && (this.#mayInherit || xattrs.length > 0))
      this.#syncXattrsAt(dirfd, name, xattrs);
    if (attributes.kind === Kind.directory) return 0;
    return utimensat(dirfd, name, attributes.mtimeS, attributes.mtimeNs);
  }

  #owner(stat: Stat, attributes: Attributes, name: ByteString, set: () => number): boolean {
    if (stat.uid === attributes.uid && stat.gid === attributes.gid) return false;
    const result = set();
    if (result < 0) this.#capabilities.lack('owner', () => name);
    return result === 0;
  }

  /** True while inodes are made in directories that may pass ACLs on. */
  #mayInherit = false;

  /**
   * Says where the next inodes are made: with a default ACL there, they get ACLs that the source may not have.
   * @param xattrs the directory's, where they are known; else it is asked
   */
  inheritsFrom(dirfd: number, xattrs: readonly Xattr[] | undefined): void {
    this.#mayInherit =
      xattrs === undefined
        ? typeof getxattrat(dirfd, '.', defaultAcl) !== 'number'
        : xattrs.some((xattr) => xattr.name === defaultAcl);
  }

  /** The next inodes are made in folders of our own. */
  inheritsNothing(): void {
    this.#mayInherit = false;
  }

  #syncXattrs(fd: number, wanted: readonly Xattr[], name: ByteString): void {
    const present = flistxattr(fd);
    for (const one of typeof present === 'number' ? [] : present) {
      if (!isLeftAlone(one) && !wanted.some((xattr) => xattr.name === one)) fremovexattr(fd, one);
    }
    for (const { name: key, value } of wanted) {
      const now = fgetxattr(fd, key);
      if (typeof now !== 'number' && isSameBytes(now, value)) continue;
      this.#noteXattr(fsetxattr(fd, key, value), key, name);
    }
  }

  #syncXattrsAt(dirfd: number, name: ByteString, wanted: readonly Xattr[]): void {
    const present = listxattrat(dirfd, name);
    for (const one of typeof present === 'number' ? [] : present) {
      if (!isLeftAlone(one) && !wanted.some((xattr) => xattr.name === one)) removexattrat(dirfd, name, one);
    }
    for (const { name: key, value } of wanted) {
      const now = getxattrat(dirfd, name, key);
      if (typeof now !== 'number' && isSameBytes(now, value)) continue;
      this.#noteXattr(setxattrat(dirfd, name, key, value), key, name);
    }
  }

  #noteXattr(result: number, key: ByteString, name: ByteString): void {
    if (result === 0) return;
    const isFull = result === -ENOSPC || result === -EDQUOT;
    this.#capabilities.lack(isFull ? 'xattr:space' : `xattr:${key.split('.')[0] ?? key}`, () => name);
  }
}

/** Changes the mode of what an O_PATH descriptor refers to: fchmod refuses those, /proc names the inode itself. */
function chmodOpened(fd: number, mode: number): number {
  try {
    chmodSync(procPath(fd), mode);
    return 0;
  } catch (error) {
    const errno = error instanceof Error && 'errno' in error ? Number(error.errno) : -EPERM;
    return errno < 0 ? errno : -EPERM;
  }
}

/** What the local system writes by itself and no source sends: labels of the security module. */
function isLeftAlone(name: ByteString): boolean {
  return (
    name === 'security.selinux' ||
    name === 'security.SMACK64' ||
    name === 'security.ima' ||
    name === 'security.evm'
  );
}
