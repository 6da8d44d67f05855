// I4: a source that has lost its own records cannot tell that it is empty by mistake. Whom it has filled can.

import { rootId } from '../core/attributes.ts';
import { FamError } from '../core/errors.ts';
import { close, O_DIRECTORY, O_RDONLY, openat, readDirectory, Stat, statx } from '../kernel/sys.ts';
import type { Listing } from '../wire/messages.ts';
import type { FormerInodes } from './former-inodes.ts';
import type { Home } from './home.ts';
import { isReserved } from './reserved.ts';

/**
 * What a small tree has may have changed altogether while the source's records were lost; as many names do not (tree/recorder.ts). Where
 * the root is another folder as well, nothing speaks for that: a source that has its records asks then, however small it is.
 */
const maxReplaced = 1000;
/** The top of an empty disk holds this. */
const emptyDiskName = 'lost+found';

/**
 * An empty source is not followed by whom it has filled. It would have found out by itself, had it not lost its records. Before
 * anything is changed here: this is asked again at the next attempt.
 * @param former what fam had left here; undefined: nothing that counts
 * @param listing the first of the source's root
 * @param isOtherRoot the source's root is another folder than the one that all this came from
 * @throws FamError SOURCE_DOUBTFUL
 */
export function admitEmptied(
  home: Home,
  former: FormerInodes | undefined,
  listing: Listing,
  isOtherRoot: boolean,
): void {
  // More names than a message holds are no empty mount point.
  if (former === undefined || !listing.last) return;
  const listed = new Set<string>(listing.entries.map(({ name }) => name));
  listed.delete(emptyDiskName);
  if (listed.size > 0 && former.size <= maxReplaced && !isOtherRoot) return;
  const fd = openat(home.rootFd, '.', O_RDONLY | O_DIRECTORY);
  if (fd < 0) return;
  const stat = new Stat();
  let lacking = 0;
  let isAnyListed = false;
  readDirectory(fd, (name) => {
    if (name === emptyDiskName || isReserved(home, { parent: rootId, name })) return;
    if (statx(fd, name, stat) < 0 || !former.has(stat)) return;
    if (listed.has(name)) isAnyListed = true;
    else lacking += 1;
  });
  close(fd);
  if (lacking === 0 || isAnyListed) return;
  throw new FamError(
    'SOURCE_DOUBTFUL',
    `the source has lost its own records, and lacks everything that ${home.root} has from it, ${former.size} files and folders (is its file system not mounted?). If this is meant, start once with --trust-source; otherwise bring the source back first. Nothing was deleted.`,
  );
}
