// What POSIX keeps of an inode, as both sides of a mirror record and compare it.

import type { ByteString } from './name.ts';

/** What an inode is. Sockets are not mirrored. The numbers are wire and disk format. */
export const Kind = {
  file: 1,
  directory: 2,
  symlink: 3,
  fifo: 4,
  charDevice: 5,
  blockDevice: 6,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** One extended attribute; the name is a byte string with its namespace (`user.x`, `system.posix_acl_access`). */
export interface Xattr {
  readonly name: ByteString;
  readonly value: Uint8Array;
}

/** Everything invariant I1 keeps of an inode, except content and hard-link structure. */
export interface Attributes {
  readonly kind: Kind;
  /** Permission bits with set-id and sticky: 0..0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; 0 for anything but a file. */
  readonly size: number;
  /** Modification time: seconds since 1970 (may be negative) and nanoseconds 0..999,999,999. */
  readonly mtimeS: number;
  readonly mtimeNs: number;
  /** Device nodes: major and minor; 0 for everything else. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** A symlink's target; '' for everything else. */
  readonly target: ByteString;
  /** Extended attributes sorted by name; undefined where they were not read. */
  readonly xattrs: readonly Xattr[] | undefined;
}

/** Our own number for an inode: allocated by the source, the same on every replica, never reused. */
export type InodeId = number;

/** The id of the mirrored root itself. */
export const rootId: InodeId = 1;

/** Sequence number of a recorded change: a positive safe integer, raised by one each time. */
export type Seq = number;
