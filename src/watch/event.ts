// What a watch tells, for the outside: FAM's vocabulary, typed.

/** What bears a name. `device` is a character or block device. */
export type FileKind = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'device';

/** Every event is about one absolute path. */
interface About {
  /** Absolute. Bytes that are not UTF-8 show as U+FFFD; `pathBytes` has them. */
  readonly path: string;
  /** The same path to the letter; only present when it is not UTF-8. */
  readonly pathBytes?: Uint8Array;
}

/** Who did it, where the kernel says: fanotify names the process; inotify does not. */
interface By {
  readonly pid?: number;
  /** Its name as `ps -o comm` shows it; missing when it had ended before it was asked. */
  readonly command?: string;
}

interface AboutObject extends About, By {
  readonly kind: FileKind;
}

/** The name was there when the watch began (only with `initial`). */
export interface ExistsEvent extends About {
  readonly type: 'exists';
  readonly kind: FileKind;
}

/** The initial listing of this request is complete; `path` is the request's. What follows are changes. */
export interface EndExistEvent extends About {
  readonly type: 'endExist';
}

/** The name is new. A file's content may still be on its way: `changed` tells when it is complete. */
export interface CreatedEvent extends AboutObject {
  readonly type: 'created';
}

/**
 * A file's content is complete: closed after writing, put in place by a rename, or quiet for `settleMs`. Of a symlink: it
 * points elsewhere (with `followSymlinks`: or what it points to has changed).
 */
export interface ChangedEvent extends AboutObject {
  readonly type: 'changed';
}

/** Mode, owner, times, link count or extended attributes. */
export interface AttributesEvent extends AboutObject {
  readonly type: 'attributes';
}

/** The name is gone, and with a directory all that was below it. */
export interface DeletedEvent extends AboutObject {
  readonly type: 'deleted';
}

/** Renamed, and with a directory all that is below it. What had the name `path` before is gone. */
export interface MovedEvent extends AboutObject {
  readonly type: 'moved';
  /** The former path; `path` is the new one. */
  readonly from: string;
  /** Only present when `from` is not UTF-8. */
  readonly fromBytes?: Uint8Array;
}

/**
 * `unreported`: what lies at the path can change without this kernel knowing (NFS, FUSE and the like), and then nothing is told.
 * `otherMonitor`: from the path down another kernel interface is used than for the rest.
 */
export type NoticeCode = 'unreported' | 'otherMonitor';

/** Something to know about the file system that a path is on. Not an event: nothing has happened. */
export interface WatchNotice extends About {
  readonly code: NoticeCode;
  /** For people. */
  readonly message: string;
}

export type RescanReason =
  /** The kernel's queue overflowed: events were lost. */
  | 'overflow'
  /** A file system was mounted on, or unmounted from, the path. */
  | 'mounted'
  | 'unmounted'
  /** The watched directory itself was replaced by another one, or is back. */
  | 'replaced';

/** Events were lost below `path`. It has been compared with what was known, and the differences follow as events. */
export interface RescanEvent extends About {
  readonly type: 'rescan';
  readonly why: RescanReason;
}

/** A process began to run the program (or script) at `path` (only with `executions`). */
export interface ExecutionStartedEvent extends About {
  readonly type: 'executionStarted';
  readonly pid: number;
  readonly command?: string;
}

/** The process that ran it has ended. */
export interface ExecutionStoppedEvent extends About {
  readonly type: 'executionStopped';
  readonly pid: number;
  readonly command?: string;
}

export type WatchEvent =
  | ExistsEvent
  | EndExistEvent
  | CreatedEvent
  | ChangedEvent
  | AttributesEvent
  | DeletedEvent
  | MovedEvent
  | RescanEvent
  | ExecutionStartedEvent
  | ExecutionStoppedEvent;

export type WatchEventType = WatchEvent['type'];

/** All of them, in the order of a watch's life. */
export const watchEventTypes: readonly WatchEventType[] = [
  'exists',
  'endExist',
  'created',
  'changed',
  'attributes',
  'deleted',
  'moved',
  'rescan',
  'executionStarted',
  'executionStopped',
];
