import { linkSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { AT_FDCWD, O_RDONLY } from '../kernel/constants.ts';
import * as sys from '../kernel/sys.ts';

/** A folder whose listing takes several steps keeps the round open. */
function openRound(tree: RecordedTree): void {
  const aside = join(tree.base, 'large');
  mkdirSync(aside);
  for (let n = 0; n < 6_000; n++) writeFileSync(join(aside, String(n)), '');
  renameSync(aside, join(tree.root, 'large'));
  tree.turn();
}

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s keeps a name that went and came back before a long round was over',
  (monitor) => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    mkdirSync(at('folder/inside'), { recursive: true });
    writeFileSync(at('file'), 'x');
    tree.start();
    tree.settle();
    openRound(tree);
    renameSync(at('folder'), join(tree.base, 'aside'));
    rmSync(at('file'));
    tree.turn();
    expect(tree.recorder.busy).toBe(true);
    renameSync(join(tree.base, 'aside'), at('folder'));
    writeFileSync(at('file'), 'y');
    tree.turn();
    tree.settle();
    expect(tree.differences()).toEqual([]);
  },
);

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s: a change of a file whose name another one has before the round is over is seen under its other name',
  (monitor) => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    writeFileSync(at('file'), 'x');
    linkSync(at('file'), at('other'));
    tree.start();
    tree.settle();
    const seqOf = (): number | undefined =>
      tree.store.transaction(() => {
        const entry = tree.store.entry(rootId, 'other' as Name);
        return tree.store.inode(entry?.id ?? 0)?.seq;
      });
    const before = seqOf() ?? 0;
    openRound(tree);
    // Nothing but the event and the ctime, which a removed name changes as well, tells of it.
    const fd = sys.check(sys.openat(AT_FDCWD, at('file'), O_RDONLY), 'open');
    sys.check(sys.fsetxattr(fd, 'user.note', Buffer.from('new')), 'setxattr');
    sys.close(fd);
    rmSync(at('file'));
    tree.turn();
    expect(tree.recorder.busy).toBe(true);
    symlinkSync('nowhere', at('file'));
    tree.turn();
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(seqOf()).toBeGreaterThan(before);
  },
);
