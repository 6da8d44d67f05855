// Directories that the watching user may not read, and may read later. In this thread: a test changes who it is.

import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { SteppedWatch } from '../../test/support/stepped-watch.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';

const isRoot = process.geteuid?.() === 0;
const nobody = 65534;

/** What is done as the root user while somebody else watches. */
function asRoot(act: () => void): void {
  process.seteuid?.(0);
  try {
    act();
  } finally {
    process.seteuid?.(nobody);
  }
}

/** A folder that somebody else watches until the test ends. */
function watchedByAnother(
  prepare: (root: string) => void = () => {},
  folder = '',
): { root: string; watch: SteppedWatch } {
  const root = tempFolder();
  chmodSync(root, 0o755);
  prepare(root);
  process.seteuid?.(nobody);
  onTestFinished(() => process.seteuid?.(0));
  return {
    root,
    watch: new SteppedWatch(join(root, folder), { monitor: 'inotify', followSymlinks: folder !== '' }),
  };
}

describe.skipIf(!isRoot)(`a directory that may not be read${isRoot ? '' : ' (skipped: not root)'}`, () => {
  test('when it comes is watched from when it may', () => {
    const { root, watch } = watchedByAnother();
    const folder = join(root, 'folder');
    asRoot(() => {
      mkdirSync(folder, { mode: 0o700 });
      mkdirSync(join(folder, 'deep'));
      writeFileSync(join(folder, 'deep', 'file'), '');
    });
    watch.untilTold('created folder');
    asRoot(() => chmodSync(folder, 0o711));
    watch.untilTold('attributes folder');
    expect(watch.problems).toHaveLength(1);
    asRoot(() => chmodSync(folder, 0o755));
    watch.untilTold('created folder/deep', 'changed folder/deep/file');
    asRoot(() => writeFileSync(join(folder, 'deep', 'later'), ''));
    watch.untilTold('changed folder/deep/later');
  });

  test('when the watch begins is watched from when it may', () => {
    const { root, watch } = watchedByAnother((at) => mkdirSync(join(at, 'folder'), { mode: 0o700 }));
    asRoot(() => chmodSync(join(root, 'folder'), 0o755));
    watch.untilTold('attributes folder');
    asRoot(() => writeFileSync(join(root, 'folder', 'file'), ''));
    watch.untilTold('changed folder/file');
    asRoot(() => chmodSync(join(root, 'folder'), 0o700));
    asRoot(() => chmodSync(join(root, 'folder'), 0o755));
    watch.settle();
    expect(watch.lines.filter((line) => line === 'created folder/file')).toHaveLength(1);
  });

  test('on the way to what a link leads to is told, and what can be watched is', () => {
    const { root, watch } = watchedByAnother((at) => {
      mkdirSync(join(at, 'tree'));
      mkdirSync(join(at, 'closed', 'open'), { recursive: true });
      writeFileSync(join(at, 'closed', 'open', 'target'), '');
      chmodSync(join(at, 'closed'), 0o711);
      symlinkSync('../closed/open/target', join(at, 'tree', 'link'));
    }, 'tree');
    expect(watch.problems).toEqual([`${join(root, 'closed')} EACCES`]);
    asRoot(() => writeFileSync(join(root, 'closed', 'open', 'target'), 'new'));
    watch.untilTold('changed link');
    expect(watch.problems).toHaveLength(1);
  });

  test('above a root that goes is told, and that it is there again', () => {
    const { root, watch } = watchedByAnother((at) => {
      mkdirSync(join(at, 'closed', 'open', 'tree'), { recursive: true });
      chmodSync(join(at, 'closed'), 0o711);
    }, 'closed/open/tree');
    asRoot(() => rmSync(join(root, 'closed', 'open', 'tree'), { recursive: true }));
    watch.untilTold('deleted .');
    expect(watch.problems).toEqual([`${join(root, 'closed')} EACCES`]);
    asRoot(() => mkdirSync(join(root, 'closed', 'open', 'tree')));
    watch.untilTold('created .');
  });
});
