// Chooses the monitor for a tree: fanotify where it can be had, else inotify, and says why.

import { FamError } from '../core/errors.ts';
import { type ByteString, displayBytes } from '../core/name.ts';
import {
  AT_FDCWD,
  EACCES,
  EINVAL,
  EMFILE,
  ENODEV,
  ENOSPC,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
  O_DIRECTORY,
  O_PATH,
} from './constants.ts';
import { close, openat } from './entry-calls.ts';
import type { EventSource, NameOf } from './event-source.ts';
import { FanotifySource } from './fanotify.ts';
import { describeFileSystem } from './file-system.ts';
import { InotifySource } from './inotify.ts';
import { ownInstance, shareInstance } from './inotify-instance.ts';
import { MixedSource } from './mixed-source.ts';
import { pathOf } from './mounts.ts';
import { check, isStarved, SysError } from './sys-error.ts';
import { instanceLimitAdvice } from './watch-limit.ts';

export interface OpenEventSourceOptions {
  /** The tree's root: a path, or a descriptor (O_PATH suffices) that stays the caller's. */
  readonly root: ByteString | number;
  /**
   * Only this one, or MONITOR_UNAVAILABLE. Default: fanotify, else inotify. File systems below the root that fanotify cannot mark get
   * inotify in either case.
   */
  readonly monitor?: 'fanotify' | 'inotify';
  /**
   * With inotify: one instance for all sources of this thread that share it. Not for one that is read seldom, or that has much to tell:
   * their queue is the same.
   */
  readonly sharesInstance?: boolean;
  /** Called when a source that shares has something to read, whoever has read that from the kernel. */
  readonly onTold?: () => void;
  /** Processes whose doings are left out (fanotify only: inotify does not say who). May change while events flow. */
  readonly ownPids?: ReadonlySet<number>;
  /** For what the kernel tells of an inode alone (`FanotifyOptions`), and for `addFile`. */
  readonly nameOf?: NameOf;
}

export interface OpenedEventSource {
  readonly source: EventSource;
  /** Why this monitor runs and not the other, for the log. */
  readonly reason: string;
}

/** Opens the event source of a tree. Throws FamError MONITOR_UNAVAILABLE, or a SysError when the root cannot be opened. */
export function openEventSource(options: OpenEventSourceOptions): OpenedEventSource {
  if (typeof options.root === 'number') return openAt(options.root, options);
  const fd = check(openat(AT_FDCWD, options.root, O_PATH | O_DIRECTORY), 'open', options.root);
  try {
    return openAt(fd, options);
  } finally {
    close(fd);
  }
}

function openAt(rootFd: number, options: OpenEventSourceOptions): OpenedEventSource {
  const { monitor, ownPids, nameOf } = options;
  const { type } = describeFileSystem(rootFd);
  if (monitor === 'inotify')
    return { source: openInotify(rootFd, options), reason: 'inotify, as it was asked for' };
  try {
    const fanotify = new FanotifySource(rootFd, {
      ...(ownPids && { ownPids }),
      ...(nameOf && { nameOf }),
      // For tests: as on kernels before 5.17.
      renameEvents: process.env['FAM_FANOTIFY_RENAME'] !== 'off',
    });
    const source = new MixedSource(fanotify, pathOf(rootFd), whyUnmarkable, nameOf);
    return { source, reason: `fanotify: one mark for the whole ${type} file system` };
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const why = whyNotFanotify(error, type);
    if (monitor === 'fanotify') {
      throw new FamError('MONITOR_UNAVAILABLE', `fanotify was asked for, but ${why}`, { cause: error });
    }
    return {
      source: openInotify(rootFd, options),
      reason: `inotify, one watch a directory, because ${why}`,
    };
  }
}

function openInotify(
  rootFd: number,
  { nameOf, sharesInstance, onTold }: OpenEventSourceOptions,
): InotifySource {
  try {
    return new InotifySource(rootFd, nameOf, sharesInstance === true ? shareInstance(onTold) : ownInstance());
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.errno === EACCES) {
      const message = `cannot watch ${displayBytes(pathOf(rootFd))}: no permission`;
      throw new FamError('SOURCE_UNREADABLE', message, { cause: error });
    }
    throw new FamError('MONITOR_UNAVAILABLE', `inotify cannot be used: ${whyNotInotify(error)}`, {
      cause: error,
    });
  }
}

/** Errors of name_to_handle_at and fanotify_mark that tell of the file system, not of the directory. */
const unmarkable: ReadonlySet<number> = new Set([EXDEV, EOPNOTSUPP, ENODEV, EINVAL]);

function whyUnmarkable(error: SysError, type: string): string | undefined {
  return unmarkable.has(error.errno) ? whyNotFanotify(error, type) : undefined;
}

/** What the kernel meant (fanotify_init(2), fanotify_mark(2)), and what to do about it. */
function whyNotFanotify(error: SysError, type: string): string {
  if (error.errno === EPERM) return 'fanotify needs CAP_SYS_ADMIN: run as root';
  if (error.errno === ENOSYS) return 'this kernel was built without fanotify';
  if (error.action === 'fanotify_init') {
    if (error.errno === EMFILE) return 'all fanotify groups are in use: raise fs.fanotify.max_user_groups';
    if (error.errno === EINVAL)
      return "this kernel's fanotify cannot report names: Linux 5.9 or later is needed";
  }
  switch (error.errno) {
    case EXDEV:
      return `this ${type} subvolume's top level cannot be reached: run with CAP_DAC_READ_SEARCH, or mount the top level`;
    case EOPNOTSUPP:
      return type === 'overlay'
        ? 'overlayfs gives no file handles: mount it with nfs_export=on, or mirror what lies below it'
        : `${type} gives no file handles`;
    case ENODEV:
      return `${type} has no file system id`;
    case ENOSPC:
      return 'all fanotify marks are in use: raise fs.fanotify.max_user_marks';
    case EINVAL:
      return `this kernel cannot mark a whole ${type} file system: Linux 5.9 or later is needed`;
    default:
      return `${error.action} failed on ${type} with ${error.code}`;
  }
}

function hasDescriptorLeft(): boolean {
  const fd = openat(AT_FDCWD, '/', O_PATH);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

function whyNotInotify(error: SysError): string {
  if (error.errno === EMFILE && error.action === 'inotify_init' && hasDescriptorLeft())
    return instanceLimitAdvice();
  if (isStarved(-error.errno))
    return 'no descriptor is left, and each tree or folder takes three: raise the limit of open files (`ulimit -n`)';
  if (error.errno === ENOSPC) return 'all watches are in use: raise fs.inotify.max_user_watches';
  if (error.errno === ENOSYS) return 'this kernel was built without it';
  return `${error.action} ${displayBytes(error.path)} failed with ${error.code}`;
}
