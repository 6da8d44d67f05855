// File handles: what names an inode across renames, and for as long as it lives (open_by_handle_at(2)).

import type { ByteString } from '../core/name.ts';
import { AT_EMPTY_PATH, EINVAL, O_CLOEXEC } from './constants.ts';
import { addressOf, syscall3, syscall5 } from './ffi.ts';
import { first } from './scratch.ts';
import { nr } from './syscall-numbers.ts';

/** MAX_HANDLE_SZ (linux/exportfs.h) */
const maxHandleBytes = 128;

/** Memory for one struct file_handle (u32 bytes, s32 type, the handle) and, behind it, the mount id. */
export class HandleBuffer {
  readonly bytes = Buffer.from(new ArrayBuffer(8 + maxHandleBytes + 8));
  /** bytes, type, handle...: the layout in which fanotify's events carry handles too. */
  readonly words = new Uint32Array(this.bytes.buffer);
  readonly address = addressOf(this.bytes);

  get mountId(): number {
    return this.words[2 + maxHandleBytes / 4] ?? 0;
  }

  /** name_to_handle_at into this buffer. 0 or -errno. */
  load(dirfd: number, name: ByteString, flags: number): number {
    const bad = first.set(name);
    if (bad < 0) return bad;
    this.words[0] = maxHandleBytes;
    const mountIdAddress = this.address + 8 + maxHandleBytes;
    return syscall5(nr.nameToHandleAt, dirfd, first.address, this.address, mountIdAddress, flags);
  }
}

const shared = new HandleBuffer();

export interface FileHandle {
  /** Type (4 bytes) and handle as a byte string: equal for the same inode of the same file system. */
  readonly handle: ByteString;
  readonly mountId: number;
}

/** The handle of a name (an empty one with AT_EMPTY_PATH: of the descriptor, O_PATH suffices), or -errno. */
export function nameToHandleAt(
  dirfd: number,
  name: ByteString,
  flags = name === '' ? AT_EMPTY_PATH : 0,
): FileHandle | number {
  const result = shared.load(dirfd, name, flags);
  if (result < 0) return result;
  const handle = shared.bytes.toString('latin1', 4, 8 + (shared.words[0] ?? 0));
  return { handle, mountId: shared.mountId };
}

/** Opens what a handle names; needs CAP_DAC_READ_SEARCH. The descriptor or -errno (ESTALE: gone). */
export function openByHandleAt(mountFd: number, handle: ByteString, flags: number): number {
  if (handle.length < 4 || handle.length > 4 + maxHandleBytes) return -EINVAL;
  shared.words[0] = handle.length - 4;
  shared.bytes.write(handle, 4, 'latin1');
  return syscall3(nr.openByHandleAt, mountFd, shared.address, flags | O_CLOEXEC);
}
