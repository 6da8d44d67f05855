// What kind of file system a descriptor is on (statfs(2)).

import { addressOf, syscall2 } from './ffi.ts';
import { check } from './sys-error.ts';
import { nr } from './syscall-numbers.ts';

// linux/magic.h and the file systems' own headers
const types = new Map<number, string>([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlay'],
  [0x2fc12fc1, 'zfs'],
  [0xf2f52010, 'f2fs'],
  [0xca451a4e, 'bcachefs'],
  [0x4d44, 'vfat'],
  [0x2011bab0, 'exfat'],
  [0x7366746e, 'ntfs3'],
  [0x858458f6, 'ramfs'],
  [0x65735546, 'fuse'],
  [0x6969, 'nfs'],
  [0xff534d42, 'cifs'],
  [0xfe534d42, 'smb2'],
  [0x01021997, '9p'],
  [0x00c36400, 'ceph'],
  [0x5346414f, 'afs'],
  [0x01161970, 'gfs2'],
  [0x7461636f, 'ocfs2'],
  [0x0bd00bd0, 'lustre'],
]);

export interface FileSystemDescription {
  /** `ext4`; of one that is not known its number. */
  readonly type: string;
  /** statfs's f_type. */
  readonly magic: number;
  /** statfs's f_fsid, as fanotify's events carry it. */
  readonly fsid: readonly [number, number];
}

// struct statfs of the 64-bit processors (asm-generic/statfs.h): f_type first, f_fsid at byte 56.
const words = new Uint32Array(new ArrayBuffer(120));
const address = addressOf(words);

/** The file system that a descriptor (O_PATH suffices) is on. Throws a SysError. */
export function describeFileSystem(fd: number): FileSystemDescription {
  check(syscall2(nr.fstatfs, fd, address), 'statfs');
  const magic = words[0] ?? 0;
  const type = types.get(magic) ?? `0x${magic.toString(16)}`;
  return { type, magic, fsid: [words[14] ?? 0, words[15] ?? 0] };
}
