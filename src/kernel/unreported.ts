// File systems that can change without this kernel knowing, so that no monitor can tell of it. Pure.

import { type ByteString, displayBytes } from '../core/name.ts';

/** Other hosts write to them. Types as in mountinfo (proc_pid_mountinfo(5)). */
const networkTypes: ReadonlySet<string> = new Set([
  'nfs',
  'nfs4',
  'cifs',
  'smb3',
  '9p',
  'virtiofs',
  'ceph',
  'afs',
  'coda',
  'lustre',
  'gfs2',
  'ocfs2',
  'orangefs',
  'beegfs',
  'gpfs',
  'vboxsf',
]);

/**
 * How a file system of this type can change unseen; undefined: it cannot. A FUSE file system on a block device (`fuseblk`, as
 * ntfs-3g has it) is no other program's view of something else: it changes through this kernel alone.
 */
export function changesUnseen(type: string): 'by other hosts' | 'by its own program' | undefined {
  if (networkTypes.has(type)) return 'by other hosts';
  if (type === 'fuse' || type.startsWith('fuse.')) return 'by its own program';
  return undefined;
}

/** For people: what is not told, and what to do. `path` is absolute. */
export function unreportedAdvice(path: ByteString, type: string): string {
  const shown = displayBytes(path);
  return changesUnseen(type) === 'by its own program'
    ? `${shown} is a FUSE file system (${type}): what changes behind it, not through this mount, is not reported; watch what lies behind it where you can`
    : `${shown} is a network file system (${type}): what other hosts change there is not reported; run fam on the host that serves it where you can`;
}
