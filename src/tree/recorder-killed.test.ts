// A kill takes along what the kernel had told and nobody had looked at yet: the next start's scan finds it (I8).

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { setNote } from '../../test/support/set-note.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { Hint } from '../kernel/event-source.ts';

describe.each(['fanotify', 'inotify'] as const)('Recorder with %s', (monitor) => {
  test.each(['file', 'folder'])('new attributes of a %s that was renamed since', (kind) => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    if (kind === 'file') writeFileSync(at('old'), 'x');
    else mkdirSync(at('old'));
    tree.start();
    tree.settle();
    const before = tree.recordOf('old')?.seq ?? 0;
    setNote(at('old'));
    renameSync(at('old'), at('new'));
    tree.settle(
      (event) => event.type === 'rename' || (event.type === 'name' && (event.hints & Hint.attributes) === 0),
    );
    expect(tree.recordOf('new')?.seq).toBe(before);
    tree.stop();
    tree.start();
    tree.settle();
    expect(tree.recordOf('new')?.seq).toBeGreaterThan(before);
  });

  test('a rename that was followed by quiet leaves nothing to compare', () => {
    using tree = new RecordedTree({ monitor });
    const at = (path: string): string => join(tree.root, path);
    writeFileSync(at('old'), 'x');
    tree.start();
    tree.settle();
    const before = tree.recordOf('old')?.contentSeq ?? 0;
    renameSync(at('old'), at('new'));
    tree.settle();
    // Two more rounds.
    for (const other of ['a', 'b']) {
      writeFileSync(at(other), '');
      tree.settle();
    }
    tree.stop();
    tree.provenAll();
    tree.start();
    tree.settle();
    const after = tree.recordOf('new');
    expect(after?.contentSeq).toBe(before);
    expect(after?.doubtful).toBe(false);
  });
});
