// What inotify(7) tells as bits, and what they hint at.

import { IN_MOVED_FROM } from './constants.ts';
import { Hint } from './event-source.ts';

// sys/inotify.h
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_CLOSE_WRITE = 0x8;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_UNMOUNT = 0x2000;
export const IN_Q_OVERFLOW = 0x4000;
export const IN_IGNORED = 0x8000;
export const IN_ISDIR = 0x40000000;

/** 0 for what only concerns the watch itself. */
export function hintsOf(mask: number): number {
  let hints = 0;
  if ((mask & (IN_CREATE | IN_MOVED_TO)) !== 0) hints |= Hint.appeared;
  if ((mask & (IN_DELETE | IN_MOVED_FROM)) !== 0) hints |= Hint.vanished;
  if ((mask & (IN_MOVED_FROM | IN_MOVED_TO)) !== 0) hints |= Hint.moved;
  if ((mask & IN_MODIFY) !== 0) hints |= Hint.modified;
  if ((mask & IN_CLOSE_WRITE) !== 0) hints |= Hint.closedWrite;
  if ((mask & IN_ATTRIB) !== 0) hints |= Hint.attributes;
  if (hints !== 0 && (mask & IN_ISDIR) !== 0) hints |= Hint.directory;
  return hints;
}
