// What statx says, in the words of the records.

import { type Attributes, type InodeId, Kind } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from '../kernel/constants.ts';
import type { Stat } from '../kernel/sys.ts';
import type { InodeRecord, LocalIdentity } from './records.ts';

/** undefined for sockets, which are not mirrored. */
export function kindOf(stat: Stat): Kind | undefined {
  switch (stat.type) {
    case S_IFREG:
      return Kind.file;
    case S_IFDIR:
      return Kind.directory;
    case S_IFLNK:
      return Kind.symlink;
    case S_IFIFO:
      return Kind.fifo;
    case S_IFCHR:
      return Kind.charDevice;
    case S_IFBLK:
      return Kind.blockDevice;
    default:
      return undefined;
  }
}

/** What a new inode's record begins as; who gives out ids and seqs fills them in. One object, without copies: scans make millions. */
export type NewInode = { -readonly [K in keyof InodeRecord]: InodeRecord[K] };

export function newInode(kind: Kind, stat: Stat, target: string, parent: InodeId, name: Name): NewInode {
  const isDevice = kind === Kind.charDevice || kind === Kind.blockDevice;
  return {
    id: 0,
    kind,
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    size: kind === Kind.file ? stat.size : 0,
    mtimeS: stat.mtimeS,
    mtimeNs: stat.mtimeNs,
    rdevMajor: isDevice ? stat.rdevMajor : 0,
    rdevMinor: isDevice ? stat.rdevMinor : 0,
    target,
    xattrs: undefined,
    dev: stat.dev,
    inoHigh: stat.inoHigh,
    inoLow: stat.inoLow,
    birth: stat.birth,
    ctimeS: stat.ctimeS,
    ctimeNs: stat.ctimeNs,
    parent,
    name,
    links: 1,
    bornSeq: 0,
    seq: 0,
    contentSeq: 0,
    doubtful: false,
    touched: false,
    listed: false,
  };
}

type Observed = Attributes & LocalIdentity & Pick<InodeRecord, 'ctimeS' | 'ctimeNs'>;

/** Everything that a record keeps of an inode as it is seen now; `target` is the caller's to read. */
export function observed(kind: Kind, stat: Stat, target: string): Observed {
  const isDevice = kind === Kind.charDevice || kind === Kind.blockDevice;
  return {
    kind,
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    size: kind === Kind.file ? stat.size : 0,
    mtimeS: stat.mtimeS,
    mtimeNs: stat.mtimeNs,
    rdevMajor: isDevice ? stat.rdevMajor : 0,
    rdevMinor: isDevice ? stat.rdevMinor : 0,
    target,
    xattrs: undefined,
    dev: stat.dev,
    inoHigh: stat.inoHigh,
    inoLow: stat.inoLow,
    birth: stat.birth,
    ctimeS: stat.ctimeS,
    ctimeNs: stat.ctimeNs,
  };
}
