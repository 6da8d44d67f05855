// What kind of file system a descriptor is on (statfs(2)).

import { addressOf, syscall2 } from './ffi.ts';
import { check } from './sys-error.ts';
import { nr } from './syscall-numbers.ts';

interface Kind {
  readonly type: string;
  /** Other hosts can change it without this kernel knowing. */
  readonly network: boolean;
  /** A program answers for it; it may change things on its own. */
  readonly fuse: boolean;
}

function local(type: string): Kind {
  return { type, network: false, fuse: false };
}
function remote(type: string): Kind {
  return { type, network: true, fuse: false };
}

// linux/magic.h and the file systems' own headers
const kinds = new Map<number, Kind>([
  [0xef53, local('ext4')],
  [0x58465342, local('xfs')],
  [0x9123683e, local('btrfs')],
  [0x01021994, local('tmpfs')],
  [0x794c7630, local('overlay')],
  [0x2fc12fc1, local('zfs')],
  [0xf2f52010, local('f2fs')],
  [0xca451a4e, local('bcachefs')],
  [0x4d44, local('vfat')],
  [0x2011bab0, local('exfat')],
  [0x7366746e, local('ntfs3')],
  [0x858458f6, local('ramfs')],
  [0x65735546, { type: 'fuse', network: false, fuse: true }],
  [0x6969, remote('nfs')],
  [0xff534d42, remote('cifs')],
  [0xfe534d42, remote('smb2')],
  [0x01021997, remote('9p')],
  [0x00c36400, remote('ceph')],
  [0x5346414f, remote('afs')],
  [0x01161970, remote('gfs2')],
  [0x7461636f, remote('ocfs2')],
  [0x0bd00bd0, remote('lustre')],
]);

export interface FileSystemDescription extends Kind {
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
  const kind = kinds.get(magic) ?? local(`0x${magic.toString(16)}`);
  return { ...kind, magic, fsid: [words[14] ?? 0, words[15] ?? 0] };
}
