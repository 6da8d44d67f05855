import { describe, expect, test } from 'vitest';
import { changesUnseen, unreportedAdvice } from './unreported.ts';

describe('changesUnseen', () => {
  test.each(['nfs', 'nfs4', 'cifs', 'smb3', '9p', 'virtiofs', 'ceph', 'afs', 'gfs2', 'ocfs2', 'lustre'])(
    '%s changes by other hosts',
    (type) => expect(changesUnseen(type)).toBe('by other hosts'),
  );

  test.each(['fuse', 'fuse.sshfs', 'fuse.glusterfs', 'fuse.bindfs'])(
    '%s changes by its own program',
    (type) => expect(changesUnseen(type)).toBe('by its own program'),
  );

  test.each(['ext4', 'xfs', 'btrfs', 'tmpfs', 'overlay', 'zfs', 'fuseblk', 'fusectl', 'nfsd', 'squashfs'])(
    '%s changes through this kernel alone',
    (type) => expect(changesUnseen(type)).toBeUndefined(),
  );
});

test('unreportedAdvice names the path, the type and what is not told', () => {
  expect(unreportedAdvice('/srv/www', 'nfs4')).toMatch(
    /^\/srv\/www is a network file system \(nfs4\): what other hosts change there is not reported/,
  );
  expect(unreportedAdvice('/srv/new\nline', 'fuse.sshfs')).toMatch(
    /^\/srv\/new\\nline is a FUSE file system \(fuse\.sshfs\): what changes behind it/,
  );
});
