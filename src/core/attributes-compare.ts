// Which attributes of two inodes differ.

import { type Attributes, Kind, type Xattr } from './attributes.ts';

/** What cannot be changed in place: kind, symlink target, device number. */
export function isSameNode(a: Attributes, b: Attributes): boolean {
  return (
    a.kind === b.kind && a.target === b.target && a.rdevMajor === b.rdevMajor && a.rdevMinor === b.rdevMinor
  );
}

/** Extended attributes that were not read differ from nothing. */
export function isSameXattrs(a: readonly Xattr[] | undefined, b: readonly Xattr[] | undefined): boolean {
  if (a === undefined || b === undefined) return true;
  if (a.length !== b.length) return false;
  return a.every((xattr, index) => {
    const other = b[index];
    return other !== undefined && xattr.name === other.name && isSameBytes(xattr.value, other.value);
  });
}

export function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Everything that can be set in place is as recorded; a known inode's xattrs are never compared with unread ones. */
export function isSameAttributes(recorded: Attributes, wanted: Attributes): boolean {
  if (wanted.xattrs !== undefined && recorded.xattrs === undefined) return false;
  return (
    recorded.mode === wanted.mode &&
    recorded.uid === wanted.uid &&
    recorded.gid === wanted.gid &&
    recorded.mtimeS === wanted.mtimeS &&
    recorded.mtimeNs === wanted.mtimeNs &&
    (recorded.kind !== Kind.file || recorded.size === wanted.size) &&
    isSameXattrs(recorded.xattrs, wanted.xattrs)
  );
}
