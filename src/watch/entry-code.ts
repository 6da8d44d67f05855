// What a shadow knows of one directory entry, in one small integer: 3 bits of kind, 28 bits of value. It fits V8's
// unboxed integers, so that a million entries are a million words.

import {
  DT_BLK,
  DT_CHR,
  DT_DIR,
  DT_FIFO,
  DT_LNK,
  DT_REG,
  DT_SOCK,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '../kernel/constants.ts';
import type { FileKind } from './event.ts';

/** An entry: `value * 8 + kind`. */
export type EntryCode = number;

export const EntryKind = {
  file: 0,
  /** A directory that is watched itself; the value is its tag. */
  entered: 1,
  symlink: 2,
  fifo: 3,
  socket: 4,
  device: 5,
  /** A directory that is only an entry: the request is not recursive, or it may not be read. */
  closed: 6,
} as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

const kindNames: readonly FileKind[] = [
  'file',
  'directory',
  'symlink',
  'fifo',
  'socket',
  'device',
  'directory',
];

/** Tags and identities stay below this. */
export const maxEntryValue = 2 ** 28;

export function entryCode(kind: EntryKind, value: number): EntryCode {
  return value * 8 + kind;
}

export function kindOf(code: EntryCode): number {
  return code & 7;
}

export function entryValue(code: EntryCode): number {
  return code >>> 3;
}

export function kindName(kind: number): FileKind {
  return kindNames[kind] ?? 'file';
}

/** An inode number folded to 28 bits: enough to tell whether a name still means the same inode. */
export function identityOf(inoHigh: number, inoLow: number): number {
  return (inoLow ^ (inoLow >>> 28) ^ Math.imul(inoHigh, 0x9e3779b1)) & (maxEntryValue - 1);
}

/** The kind of a directory listing's DT_*; a directory as `closed`; undefined where the file system does not say. */
export function kindOfListed(type: number): EntryKind | undefined {
  switch (type) {
    case DT_REG:
      return EntryKind.file;
    case DT_DIR:
      return EntryKind.closed;
    case DT_LNK:
      return EntryKind.symlink;
    case DT_FIFO:
      return EntryKind.fifo;
    case DT_SOCK:
      return EntryKind.socket;
    case DT_CHR:
    case DT_BLK:
      return EntryKind.device;
    default:
      return undefined;
  }
}

/** The kind of a stat's S_IF*; a directory as `closed`. */
export function kindOfType(type: number): EntryKind {
  switch (type & S_IFMT) {
    case S_IFREG:
      return EntryKind.file;
    case S_IFDIR:
      return EntryKind.closed;
    case S_IFLNK:
      return EntryKind.symlink;
    case S_IFIFO:
      return EntryKind.fifo;
    case S_IFSOCK:
      return EntryKind.socket;
    case S_IFCHR:
    case S_IFBLK:
      return EntryKind.device;
    default:
      return EntryKind.device;
  }
}

export function isDirectoryCode(code: EntryCode): boolean {
  const kind = kindOf(code);
  return kind === EntryKind.entered || kind === EntryKind.closed;
}

/** A directory's kind is `closed`, whether it is watched or not. */
export function plainKind(code: EntryCode): number {
  const kind = kindOf(code);
  return kind === EntryKind.entered ? EntryKind.closed : kind;
}
