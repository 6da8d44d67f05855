// A kill takes along what the kernel had told and nobody had looked at yet: the next start's scan finds it (I8).

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { type InodeId, rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { AT_FDCWD, O_RDONLY } from '../kernel/constants.ts';
import { Hint, type KernelEvent } from '../kernel/event-source.ts';
import * as sys from '../kernel/sys.ts';

const name = (text: string): Name => text as Name;

function recordOf(tree: RecordedTree, path: Name) {
  return tree.store.transaction(() => {
    const id: InodeId = tree.store.entry(rootId, path)?.id ?? 0;
    return tree.store.inode(id);
  });
}

function setAttribute(path: string): void {
  const fd = sys.check(sys.openat(AT_FDCWD, path, O_RDONLY), 'open');
  sys.check(sys.fsetxattr(fd, 'user.note', Buffer.from('new')), 'setxattr');
  sys.close(fd);
}

function settle(tree: RecordedTree, lets: (event: KernelEvent) => boolean): void {
  const { recorder, source } = tree;
  for (let quiet = 0; quiet < 3; quiet++) {
    const events = source.read();
    if (events.length > 0) quiet = 0;
    recorder.feed(events.filter(lets));
    do recorder.step();
    while (recorder.busy);
    const { pendingUntil } = source;
    if (pendingUntil !== undefined) sys.poll([], Math.max(0, pendingUntil - performance.now()) + 1);
  }
}

describe.each(['fanotify', 'inotify'] as const)('Recorder with %s', (monitor) => {
  test.each(['file', 'folder'])('new attributes of a %s that was renamed since', (kind) => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    if (kind === 'file') writeFileSync(at('old'), 'x');
    else mkdirSync(at('old'));
    tree.start();
    tree.settle();
    const before = recordOf(tree, name('old'))?.seq ?? 0;
    setAttribute(at('old'));
    renameSync(at('old'), at('new'));
    settle(
      tree,
      (event) => event.type === 'rename' || (event.type === 'name' && (event.hints & Hint.attributes) === 0),
    );
    expect(recordOf(tree, name('new'))?.seq).toBe(before);
    tree.stop();
    tree.start();
    tree.settle();
    expect(recordOf(tree, name('new'))?.seq).toBeGreaterThan(before);
  });

  test('a rename that was followed by quiet leaves nothing to compare', () => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    writeFileSync(at('old'), 'x');
    tree.start();
    tree.settle();
    const before = recordOf(tree, name('old'))?.contentSeq ?? 0;
    renameSync(at('old'), at('new'));
    settle(tree, () => true);
    // Two more rounds.
    for (const other of ['a', 'b']) {
      writeFileSync(at(other), '');
      settle(tree, () => true);
    }
    tree.stop();
    tree.start();
    tree.settle();
    const after = recordOf(tree, name('new'));
    expect(after?.contentSeq).toBe(before);
    expect(after?.doubtful).toBe(false);
  });
});
