// One interface over fanotify and inotify. No policy: what an event means is the tree's business.

import type { ByteString, Name } from '../core/name.ts';

/**
 * How a listener names a directory that it wants events of: a number of the listener's own (the tree
 * uses inode ids). The source hands it back with each event, so nobody builds a path.
 */
export type DirectoryTag = number;

/** How a listener names a file that it wants to hear of under any of its names: a number of the listener's own. */
export type FileTag = number;

/**
 * The listener's index of inodes: a name of the inode (device as in `Stat.dev`) in a directory that was added, for what the kernel tells of the
 * inode alone.
 */
export type NameOf = (
  dev: number,
  inoHigh: number,
  inoLow: number,
) => { readonly directory: DirectoryTag; readonly name: Name } | undefined;

/** What happened to a name, as bits; several may have merged, their order is lost. A hint, never the truth. */
export const Hint = {
  /** The name appeared (created, linked, moved in). */
  appeared: 1,
  /** The name went (deleted, moved away). */
  vanished: 2,
  /** Content was modified by somebody who may still have the file open. */
  modified: 4,
  /** A descriptor that was open for writing was closed. */
  closedWrite: 8,
  /** Mode, owner, times, link count, xattrs. */
  attributes: 16,
  /** This event's object is a directory. */
  directory: 32,
  /** The name was the target of a rename, or its origin (with `vanished`). */
  moved: 64,
} as const;

/** One hint about one name in one directory; an empty name means the directory itself. */
export interface NameEvent {
  readonly type: 'name';
  readonly directory: DirectoryTag;
  readonly name: Name | '';
  readonly hints: number;
  /** Process that did it; 0 where the kernel does not say (inotify). */
  readonly pid: number;
}

/** Both names of one rename inside what is watched. Reported besides, and after, nothing else. */
export interface RenameEvent {
  readonly type: 'rename';
  readonly fromDirectory: DirectoryTag;
  readonly fromName: Name;
  readonly toDirectory: DirectoryTag;
  readonly toName: Name;
  readonly isDirectory: boolean;
  readonly pid: number;
}

/**
 * A file system, or part of one, was mounted on a directory or file below the root, or unmounted from it. May be told before that the directory, or one that leads
 * to it, has come to its name.
 */
export interface MountEvent {
  readonly type: 'mounted' | 'unmounted';
  /** Relative to the root. */
  readonly path: ByteString;
  /** It is a file, over another one. */
  readonly isFile?: true;
}

/**
 * Something happened to a file that is mounted over another one. The directory in which that lies has an entry of another name for it, or is
 * not of the tree, so this is told by path.
 */
export interface MountedFileEvent {
  readonly type: 'mounted-file';
  /** Relative to the root. */
  readonly path: ByteString;
  readonly hints: number;
}

/** The named conditions; each has its recovery at the listener. */
export type ConditionEvent =
  /** The kernel's queue overflowed: anything may have happened. Rescan everything. */
  | { readonly type: 'overflow' }
  | MountEvent
  /** The root itself was moved, deleted or unmounted: nothing that follows can be trusted. */
  | { readonly type: 'root-gone'; readonly why: 'moved' | 'deleted' | 'unmounted' }
  /** inotify: fs.inotify.max_user_watches is reached; `needed`: the directories of the tree. */
  | { readonly type: 'watch-limit'; readonly limit: number; readonly needed: number }
  /**
   * What the root lies on, or what is mounted at `path` below it, can change without this kernel knowing. Told once for each
   * mount; '' is the root.
   */
  | { readonly type: 'unreported'; readonly path: ByteString; readonly fileSystem: string }
  /** From `path` down another monitor has to be used than for the root, and why. Told once for each file system. */
  | { readonly type: 'other-monitor'; readonly path: ByteString; readonly reason: string };

export type KernelEvent = NameEvent | RenameEvent | MountedFileEvent | ConditionEvent;

/**
 * A stream of kernel events for one tree, for one thread: every call is synchronous.
 *
 * Life: `open*()` places the mark (fanotify) or makes the instance (inotify); the listener then calls `add` for each
 * directory BEFORE it lists it; events flow from that moment. `close` is idempotent and frees everything.
 */
export interface EventSource extends Disposable {
  /** That of the root's file system. */
  readonly monitor: 'fanotify' | 'inotify';
  /** Readable when events wait; for poll(2). */
  readonly fds: readonly number[];
  /**
   * Starts to report events of the directory that `fd` (O_PATH suffices) refers to, under `tag`.
   * Adding a directory that is known moves it to the new tag. Throws ENOSPC at the watch limit.
   */
  add(fd: number, tag: DirectoryTag): void;
  /** Stops reporting the directory. Unknown tags are ignored. */
  remove(tag: DirectoryTag): void;
  /**
   * From now on what happens to the file under names outside of the directories that were added is told as of the name that `NameOf` finds for
   * it. `name` in `dirfd`, which was added, is one of its names; a tag that is known moves to this file. False where that cannot be
   * done. Throws ENOSPC at the watch limit.
   */
  addFile(dirfd: number, name: Name, tag: FileTag): boolean;
  /** Stops that. Unknown tags are ignored. */
  removeFile(tag: FileTag): void;
  /**
   * When `read` should be called again though nothing is readable, in ms of `performance.now()`: an event is held back
   * because its other half may still come. undefined: nothing is.
   */
  readonly pendingUntil: number | undefined;
  /**
   * Everything that can be read now without blocking, at most about `maxEvents`; [] when nothing of it concerns the
   * listener. What `ownPids` (option at open) did has been left out.
   */
  read(maxEvents?: number): KernelEvent[];
  /** The last `read` found the end of the kernel's queue: whatever had happened before it has been read. */
  readonly isDrained: boolean;
  /** How many bytes the kernel's queue holds at this moment (FIONREAD), for the barrier. */
  queued(): number;
  close(): void;
}
