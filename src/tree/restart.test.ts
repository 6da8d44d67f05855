import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RecordedTree, type RecordedTreeOptions } from '../../test/support/tree/recorded-tree.ts';
import type { Name } from '../core/name.ts';
import { Hint } from '../kernel/event-source.ts';

/** Records a tree, stops, lets `change` happen while nobody watches, starts again and settles. */
function restarted(
  prepare: (root: string) => void,
  change: (root: string, tree: RecordedTree) => void,
  over: RecordedTreeOptions = {},
) {
  const tree = new RecordedTree();
  prepare(tree.root);
  tree.start();
  tree.settle();
  const ids = new Map<string, number>();
  const idBefore = (path: string): number => ids.get(path) ?? 0;
  for (const path of ['a', 'a/f', 'a/g', 'b', 'f', 'a/b', 'a/b/c']) ids.set(path, tree.idOf(path));
  const head = tree.store.head;
  tree.stop();
  tree.provenAll();
  change(tree.root, tree);
  try {
    tree.start(over);
  } catch (error) {
    tree[Symbol.dispose]();
    throw error;
  }
  return { tree, idBefore, head };
}

function small(root: string): void {
  mkdirSync(join(root, 'a/b/c'), { recursive: true });
  mkdirSync(join(root, 'b'));
  writeFileSync(join(root, 'a/f'), '1');
  writeFileSync(join(root, 'a/g'), '1');
  writeFileSync(join(root, 'f'), '1');
}

describe('restart scan', () => {
  test('nothing happened: nothing is recorded', () => {
    const { tree, head } = restarted(small, () => {});
    using _ = tree;
    tree.settle();
    expect(tree.store.head).toBe(head);
    expect(tree.differences()).toEqual([]);
  });

  test('what has changed right before the end may have changed after it, with no new time: it is to be compared', () => {
    const tree = RecordedTree.settled({}, (at) => small(at('')));
    using _ = tree;
    const before = tree.recordOf('f');
    tree.stop();
    tree.start();
    tree.settle();
    const after = tree.recordOf('f');
    expect(after).toMatchObject({ doubtful: true, touched: true, ctimeNs: before?.ctimeNs });
    expect(after?.contentSeq).toBeGreaterThan(before?.contentSeq ?? 0);
    // Once only: the next one has watched it for long enough.
    tree.stop();
    tree.provenAll();
    tree.start();
    tree.settle();
    expect(tree.recordOf('f')?.contentSeq).toBe(after?.contentSeq);
  });

  test('moves across folders keep their ids, in either direction of the walk', () => {
    const { tree, idBefore } = restarted(small, (root) => {
      renameSync(join(root, 'a/f'), join(root, 'b/later'));
      renameSync(join(root, 'f'), join(root, 'a/b/earlier'));
      renameSync(join(root, 'a/b/c'), join(root, 'c'));
    });
    using _ = tree;
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.idOf('b/later')).toBe(idBefore('a/f'));
    expect(tree.idOf('a/b/earlier')).toBe(idBefore('f'));
    expect(tree.idOf('c')).toBe(idBefore('a/b/c'));
  });

  test('a parent that became its own grandchild', () => {
    const { tree, idBefore } = restarted(small, (root) => {
      renameSync(join(root, 'a/b'), join(root, 'top'));
      renameSync(join(root, 'a'), join(root, 'top/c/a'));
    });
    using _ = tree;
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.idOf('top')).toBe(idBefore('a/b'));
    expect(tree.idOf('top/c/a')).toBe(idBefore('a'));
  });

  test('content changed and mtime put back by hand: the content is news', () => {
    const { tree, idBefore, head } = restarted(small, (root) => {
      const { atime, mtime } = lstatSync(join(root, 'f'));
      writeFileSync(join(root, 'f'), '2');
      utimesSync(join(root, 'f'), atime, mtime);
    });
    using _ = tree;
    tree.settle();
    expect(tree.store.transaction(() => tree.store.inode(idBefore('f'))?.contentSeq)).toBeGreaterThan(head);
  });

  test('a reused inode number is another inode', () => {
    const { tree, idBefore } = restarted(small, (root) => {
      const { ino } = lstatSync(join(root, 'f'));
      unlinkSync(join(root, 'f'));
      for (let i = 0; i < 200; i++) {
        writeFileSync(join(root, 'b', `new${i}`), '1');
        if (lstatSync(join(root, 'b', `new${i}`)).ino === ino) break;
      }
    });
    using _ = tree;
    tree.settle();
    expect(tree.differences()).toEqual([]);
    const dead = tree.store.transaction(() => tree.store.inode(idBefore('f')));
    expect(dead?.links).toBe(0);
  });

  test('hard links made and unmade while nobody watched', () => {
    const { tree, idBefore } = restarted(
      (root) => {
        small(root);
        linkSync(join(root, 'f'), join(root, 'b/f2'));
      },
      (root) => {
        unlinkSync(join(root, 'f'));
        linkSync(join(root, 'a/g'), join(root, 'b/g2'));
      },
    );
    using _ = tree;
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.idOf('b/f2')).toBe(idBefore('f'));
    expect(tree.idOf('b/g2')).toBe(idBefore('a/g'));
  });

  test('the root is empty, or another one: refused, nothing recorded; trusted: recorded', () => {
    expect(() =>
      restarted(small, (root) => {
        for (const path of ['a', 'b', 'f']) rmSync(join(root, path), { recursive: true });
      }),
    ).toThrow(expect.objectContaining({ code: 'SOURCE_DOUBTFUL' }));
    expect(() =>
      restarted(small, (root) => {
        renameSync(root, `${root}.away`);
        mkdirSync(root);
        writeFileSync(join(root, 'other'), '');
      }),
    ).toThrow(expect.objectContaining({ code: 'SOURCE_DOUBTFUL' }));
    const { tree } = restarted(
      small,
      (root) => {
        for (const path of ['a', 'b', 'f']) rmSync(join(root, path), { recursive: true });
      },
      { trusted: true },
    );
    using _ = tree;
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a power loss has taken the records, and the root is another one: refused at every start until it is back', () => {
    const powerLoss = (tree: RecordedTree): void => {
      const boot = join(tree.base, 'state', 'boot');
      const mark: unknown = JSON.parse(readFileSync(boot, 'utf8'));
      writeFileSync(boot, JSON.stringify(Object.assign({}, mark, { bootId: 'another', clean: false })));
    };
    const { tree } = restarted(small, (_, stopped) => powerLoss(stopped));
    using _ = tree;
    tree.settle();
    expect(tree.differences()).toEqual([]);
    tree.stop();
    powerLoss(tree);
    renameSync(tree.root, `${tree.root}.away`);
    mkdirSync(tree.root);
    writeFileSync(join(tree.root, 'stray'), '');
    for (let start = 0; start < 2; start++) {
      expect(() => tree.start()).toThrow(expect.objectContaining({ code: 'SOURCE_DOUBTFUL' }));
      tree.stop();
    }
    rmSync(tree.root, { recursive: true });
    renameSync(`${tree.root}.away`, tree.root);
    tree.start();
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('more missing than maxDelete allows: refused, and all entries are still there', () => {
    const many = (root: string): void => {
      small(root);
      for (let i = 0; i < 30; i++) writeFileSync(join(root, 'a/b/c', `f${i}`), '');
    };
    const { tree } = restarted(many, (root) => rmSync(join(root, 'a'), { recursive: true }), {
      maxDeleteCount: 20,
    });
    using _ = tree;
    const before = tree.store.stats.entries;
    expect(() => tree.settle()).toThrow(expect.objectContaining({ code: 'SOURCE_DOUBTFUL' }));
    expect(tree.store.stats.entries).toBe(before);
    tree.stop();
    tree.start({ trusted: true });
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('what is removed while a restart scan runs is no reason to refuse it', () => {
    const folders = 12;
    const { tree } = restarted(
      (root) => {
        for (let n = 0; n < folders; n++) {
          mkdirSync(join(root, `${n}`));
          for (let i = 0; i < 700; i++) writeFileSync(join(root, `${n}`, `${i}`), '');
        }
      },
      () => {},
    );
    using _ = tree;
    while (tree.recorder.scanned.directories < 3) tree.turn();
    expect(tree.recorder.scanning).toBe(true);
    for (let n = 1; n < folders; n++) rmSync(join(tree.root, `${n}`), { recursive: true });
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a scan goes on, however much is hinted at meanwhile', () => {
    const folders = 2000;
    const busy = 3000;
    const { tree } = restarted(
      (root) => {
        for (let n = 0; n < folders; n++) mkdirSync(join(root, `${n}`));
        mkdirSync(join(root, 'busy'));
        for (let n = 0; n < busy; n++) writeFileSync(join(root, 'busy', `${n}`), '');
      },
      () => {},
    );
    using _ = tree;
    const directory = tree.idOf('busy');
    let turns = 0;
    let idle = 0;
    for (; tree.recorder.scanned.directories < folders / 2; turns++) {
      const { directories } = tree.recorder.scanned;
      // Each time more than a step can look at.
      tree.recorder.feed(
        Array.from({ length: busy }, (_unused, n) => ({
          type: 'name' as const,
          directory,
          name: `${n}` as Name,
          hints: Hint.attributes,
          pid: 0,
        })),
      );
      tree.recorder.step();
      if (tree.recorder.scanned.directories === directories) idle++;
    }
    // To open a folder and to take in what it lists are two things to do, and each step does one at least.
    expect(idle).toBeLessThanOrEqual(turns / 2 + 1);
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('overflow: a rescan repairs what was not heard of', () => {
    using tree = new RecordedTree();
    small(tree.root);
    tree.start();
    tree.settle();
    const id = tree.idOf('a/f');
    renameSync(join(tree.root, 'a/f'), join(tree.root, 'b/moved'));
    chmodSync(join(tree.root, 'f'), 0o600);
    mkdirSync(join(tree.root, 'new/deep'), { recursive: true });
    tree.source.read();
    tree.recorder.feed([{ type: 'overflow' }]);
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.idOf('b/moved')).toBe(id);
  });
});

test('kill -9 at any moment: the records are whole, and the next start repairs them', {
  timeout: 120_000,
}, async () => {
  const base = mkdtempSync(join(tmpdir(), 'fam-kill-'));
  try {
    using tree = new RecordedTree({ base });
    small(tree.root);
    const runner = join(base, 'run.mjs');
    const thread = new URL('../../dist/source/tree-thread.js', import.meta.url).href;
    writeFileSync(
      runner,
      `import { TreeThread } from ${JSON.stringify(thread)};
       const tree = await TreeThread.start(
         { root: ${JSON.stringify(tree.root)}, stateDir: ${JSON.stringify(join(base, 'state'))}, trustSource: true }, () => {});
       console.log('ready');
       process.stdin.on('end', () => process.exit(9)).resume();`,
    );
    for (let round = 0; round < 8; round++) {
      const child = spawn(process.execPath, [runner], { stdio: ['pipe', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      const work = round * 40;
      for (let i = 0; i < 400; i++) {
        const at = join(tree.root, `d${round}`, `${i % 7}`);
        mkdirSync(at, { recursive: true });
        writeFileSync(join(at, `${i}`), `${i}`);
        if (i % 3 === 0) renameSync(join(at, `${i}`), join(tree.root, 'b', `${round}.${i}`));
        if (i % 50 === 49) renameSync(at, join(tree.root, 'a/b', `${round}.${i}`));
        if (i === work) child.kill('SIGKILL');
        if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      expect(child.signalCode).toBe('SIGKILL');
      tree.start({ trusted: true });
      expect(tree.store.fresh).toBe(false);
      tree.settle();
      expect(tree.differences()).toEqual([]);
      tree.stop();
    }
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});
