// A process without descriptors cannot look at what it is told of.

import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SteppedWatch } from '../../test/support/stepped-watch.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { withoutDescriptors } from '../../test/support/without-descriptors.ts';

describe.each(['fanotify', 'inotify'] as const)('without a descriptor left, by %s,', (monitor) => {
  function begin(): { root: string; outside: string; watch: SteppedWatch } {
    const top = tempFolder();
    const [root, outside] = [join(top, 'root'), join(top, 'outside')];
    for (const path of [join(root, 'a/b'), join(outside, 'in')]) mkdirSync(path, { recursive: true });
    for (const path of [join(root, 'a/b/file'), join(outside, 'in/file')]) writeFileSync(path, '');
    const watch = new SteppedWatch(root, { monitor });
    watch.settle();
    watch.forget();
    return { root, outside, watch };
  }

  test('what happens for long is compared, and told, when there is one again', () => {
    const { root, outside, watch } = begin();
    withoutDescriptors(() => {
      mkdirSync(join(root, 'new'));
      renameSync(join(outside, 'in'), join(root, 'a/in'));
      renameSync(join(root, 'a/b/file'), join(root, 'moved'));
      chmodSync(join(root, 'a/b'), 0o700);
      watch.turnFor(4000);
    });
    expect(watch.problems).toEqual([`${root} EMFILE`]);
    watch.untilTold('rescan .', 'created new', 'created a/in', 'created a/in/file');
    watch.settle();
    expect(watch.lines.filter((line) => line === 'rescan .')).toHaveLength(1);
    expect(watch.lines.some((line) => line.endsWith('moved'))).toBe(true);
    watch.forget();
    writeFileSync(join(root, 'a/in/later'), '');
    watch.settle();
    expect(watch.lines).toEqual(['created a/in/later', 'changed a/in/later']);
  });

  test('what happens for a moment is told as ever', () => {
    const { root, watch } = begin();
    withoutDescriptors(() => {
      mkdirSync(join(root, 'new'));
      watch.turnFor(200);
    });
    watch.untilTold('created new');
    expect(watch.lines).not.toContain('rescan .');
  });

  test('a root that goes is gone when that can be looked at', () => {
    const { root, watch } = begin();
    withoutDescriptors(() => {
      renameSync(root, `${root}-away`);
      mkdirSync(root);
      watch.turnFor(300);
      expect(watch.lines).toEqual([]);
    });
    watch.untilTold('deleted a');
    writeFileSync(join(root, 'later'), '');
    watch.untilTold('changed later');
  });

  test('descriptors that are kept give way: a wide tree needs few', () => {
    const { root, watch } = begin();
    const wide = join(root, '../wide');
    for (let i = 0; i < 40; i++) mkdirSync(join(wide, `${i}/x/y`), { recursive: true });
    withoutDescriptors(() => {
      renameSync(wide, join(root, 'wide'));
      watch.untilTold('created wide/39/x/y');
      watch.settle();
    }, 6);
    expect(watch.lines).not.toContain('rescan .');
    expect(watch.problems).toEqual([]);
  });
});
