import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { compareTrees } from '../../test/oracle/compare-trees.ts';
import { entriesBelow } from '../../test/support/entries-below.ts';
import { Killed, ReplicaPair } from '../../test/support/replica-pair.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { rootId } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import { TreeStore } from '../tree/store.ts';
import { reconcileWindow } from '../wire/messages.ts';
import { Records } from './records.ts';

process.umask(0o022);

function makePair(): ReplicaPair {
  const pair = new ReplicaPair(tempFolder('fam-replica', '/dev/shm'));
  onTestFinished(() => pair.close());
  return pair;
}

function expectEqual(pair: ReplicaPair): void {
  expect(compareTrees(pair.source, pair.replica, { ignore: ['.fam'] })).toEqual([]);
}

/** After nothing but a first contact: a listing does not carry the root's own attributes. */
function expectEqualBelowRoot(pair: ReplicaPair): void {
  const differences = compareTrees(pair.source, pair.replica, { ignore: ['.fam'] });
  expect(differences.filter(({ path }) => path !== '')).toEqual([]);
}

function trashed(pair: ReplicaPair): string[] {
  const folder = join(pair.folder, '.fam-replica', 'trash');
  const list = join(folder, 'list.jsonl');
  if (!fs.existsSync(list)) return [];
  return fs
    .readFileSync(list, 'utf8')
    .trim()
    .split('\n')
    .map((line) => String(JSON.parse(line).path));
}

/** A file that first contact takes for any other one made so. */
function makeEqual(path: string): void {
  fs.writeFileSync(path, 'content');
  fs.utimesSync(path, 1_000, 1_000);
}

/** Names in the trash, but for those that fam gives there. */
function inTrash(pair: ReplicaPair): string[] {
  const trash = join(pair.folder, '.fam-replica/trash');
  const names = [...entriesBelow(trash)].map(({ name }) => name);
  return names.filter((name) => /^[a-z]/.test(name)).sort();
}

function fill(root: string): void {
  fs.mkdirSync(join(root, 'a/b/c'), { recursive: true });
  fs.writeFileSync(join(root, 'a/one'), 'one');
  fs.writeFileSync(join(root, 'a/b/two'), 'two'.repeat(1000), { mode: 0o640 });
  fs.writeFileSync(join(root, 'a/b/c/empty'), '');
  fs.linkSync(join(root, 'a/one'), join(root, 'a/b/one-again'));
  fs.symlinkSync('../a/one', join(root, 'a/b/link'));
  fs.writeFileSync(join(root, 'large'), Buffer.alloc(700_000, 'large'));
  fs.mkdirSync(join(root, 'sticky'), { mode: 0o777 });
  fs.chmodSync(join(root, 'sticky'), 0o1777);
  fs.writeFileSync(join(root, 'suid'), '#!', { mode: 0o755 });
  fs.chownSync(join(root, 'suid'), 1234, 2345);
  fs.chmodSync(join(root, 'suid'), 0o4755);
  fs.utimesSync(join(root, 'a/one'), 1, 1.000000001);
  fs.utimesSync(join(root, 'a/b'), 100, 200);
}

describe('first contact', () => {
  test('fills an empty replica', () => {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    const { problems } = pair.connect();
    expect(problems).toEqual([]);
    expectEqualBelowRoot(pair);
    expect(trashed(pair)).toEqual([]);
  });

  test('adopts an equal tree without content, and resumes afterwards with nothing to do', () => {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    pair.connect();
    fs.rmSync(join(pair.folder, '.fam-replica'), { recursive: true });
    const second = pair.connect();
    expectEqualBelowRoot(pair);
    expect(second.contentBytes).toBe(0);
    const third = pair.connect();
    expect(third.counts.get('listing')).toBeUndefined();
    // It says that nothing is lacking.
    expect(third.counts.get('batch')).toBe(1);
    expect(third.contentBytes).toBe(0);
  });

  test('has the root as the source has it, although it was killed when first contact had just ended', () => {
    const pair = makePair();
    fill(pair.source);
    fs.chmodSync(pair.source, 0o750);
    fs.utimesSync(pair.source, 1, 1);
    pair.record();
    const kill = (name: string): void => {
      if (name === 'reconciled') throw new Killed();
    };
    expect(() => pair.connect({}, kill)).toThrow(Killed);
    const again = pair.connect({}, undefined, () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
      return true;
    });
    expect(again.counts.get('listing')).toBeUndefined();
    const { mode, mtimeMs } = fs.statSync(pair.replica);
    expect([mode & 0o7777, mtimeMs]).toEqual([0o750, 1000]);
  });

  test('empties limbo on the next connection where it was killed before, although nothing has changed', () => {
    const pair = makePair();
    fill(pair.source);
    fs.mkdirSync(join(pair.source, 'goes/deep'), { recursive: true });
    pair.record();
    pair.connect();
    fs.rmSync(join(pair.source, 'goes'), { recursive: true });
    pair.record();
    const kill = (name: string): void => {
      if (name === 'committed') throw new Killed();
    };
    expect(() => pair.connect({}, kill)).toThrow(Killed);
    const limbo = join(pair.folder, '.fam-replica/limbo');
    expect(fs.readdirSync(limbo)).toHaveLength(1);
    pair.connect();
    expect(fs.readdirSync(limbo)).toEqual([]);
  });

  test('what a folder that it does not know holds comes, although it was killed when it had asked for it', () => {
    const pair = makePair();
    const at = (path: string): string => join(pair.source, path);
    fs.mkdirSync(at('folder/inner'), { recursive: true });
    fs.writeFileSync(at('folder/inner/file'), 'content');
    pair.record();
    pair.connect();
    const state = join(pair.folder, '.fam-replica', 'state');
    {
      // As after a defect: the records have lost the folder, and the tree, too.
      using store = TreeStore.open(state, { journal: false });
      const records = new Records(store);
      store.transaction(() => {
        const id = records.occupant(rootId, 'folder' as Name);
        const inner = records.occupant(id, 'inner' as Name);
        const file = records.occupant(inner, 'file' as Name);
        records.setEntry(rootId, 'folder' as Name, 0, 0);
        records.setEntry(id, 'inner' as Name, 0, 0);
        records.setEntry(inner, 'file' as Name, 0, 0);
        for (const gone of [id, inner, file]) records.forget(gone);
      });
      fs.rmSync(join(pair.replica, 'folder'), { recursive: true });
    }
    fs.renameSync(at('folder'), at('renamed'));
    pair.recordRename('folder' as Name, 'renamed' as Name);
    const onListing = (): void => {
      throw new Killed();
    };
    expect(() => pair.connect({ onListing })).toThrow(Killed);
    pair.connect();
    expectEqual(pair);
    // And is behind nothing any more.
    expect(pair.connect().counts.get('listing')).toBeUndefined();
  });

  test('keeps what only the replica has, and moves it to the trash with init', () => {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    fs.mkdirSync(join(pair.replica, 'mine/deep'), { recursive: true });
    fs.writeFileSync(join(pair.replica, 'mine/deep/file'), 'kept');
    fs.mkdirSync(join(pair.replica, 'large'));
    fs.writeFileSync(join(pair.replica, 'large/inside'), 'gives way');
    fs.writeFileSync(join(pair.replica, 'a'), 'a file where a folder belongs');
    const first = pair.connect();
    expect(first.events).toContainEqual({
      type: 'extras',
      extras: { type: 'extras', count: 1, paths: ['mine'] },
    });
    expect(fs.readFileSync(join(pair.replica, 'mine/deep/file'), 'utf8')).toBe('kept');
    expect(trashed(pair).sort()).toEqual(['a', 'large']);
    fs.rmSync(join(pair.folder, '.fam-replica'), { recursive: true });
    pair.connect({ init: true });
    expectEqualBelowRoot(pair);
    expect(trashed(pair)).toEqual(['mine']);
  });

  test('leaves what the agent of another mirror works with in a folder that is its replica, with init too', () => {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    pair.connect();
    const other = new ReplicaPair(join(pair.folder, 'other'), join(pair.replica, 'a'));
    onTestFinished(() => other.close());
    fs.writeFileSync(join(other.source, 'page'), 'page');
    fs.mkdirSync(join(pair.source, 'a/replica'));
    fs.mkdirSync(join(pair.source, 'a/.fam-mine'));
    pair.record();
    pair.connect();
    other.record();
    other.connect();
    fs.mkdirSync(join(pair.replica, 'a/.fam-extra'));
    fs.rmSync(join(pair.folder, '.fam-replica'), { recursive: true });
    const { events } = pair.connect({ init: true });
    expect(events.filter(({ type }) => type === 'extras')).toEqual([]);
    expect(fs.readdirSync(join(pair.replica, 'a/.fam-replica')).sort()).toContain('trash');
    expect(trashed(pair).sort()).toEqual(['a/.fam-extra', 'a/replica/page']);
  });

  test('a folder that goes before it is listed leaves nothing in the way', () => {
    const pair = makePair();
    // More than are listed before the first answer.
    for (let n = 0; n < 2 * reconcileWindow; n++) fs.mkdirSync(join(pair.source, `a${n}`));
    fs.mkdirSync(join(pair.source, 'z'));
    pair.record();
    fs.mkdirSync(pair.replica);
    fs.writeFileSync(join(pair.replica, 'z'), 'somebody’s');
    const onListing = (listings: number): void => {
      if (listings > 1) return;
      fs.rmdirSync(join(pair.source, 'z'));
      pair.record();
    };
    const { problems } = pair.connect({ onListing });
    expect(problems).toEqual([]);
    expectEqual(pair);
    expect(trashed(pair)).toEqual(['z']);
  });

  test.each([
    ['removed', (path: string) => fs.rmSync(path)],
    ['renamed', (path: string) => fs.renameSync(path, `${path}.new`)],
  ])('a file that is %s before its content has come leaves nothing in the way', (_, change) => {
    const pair = makePair();
    fs.mkdirSync(join(pair.source, 'folder'));
    fs.writeFileSync(join(pair.source, 'folder/large'), randomBytes(300_000));
    pair.record();
    fs.mkdirSync(join(pair.replica, 'folder'), { recursive: true });
    fs.writeFileSync(join(pair.replica, 'folder/large'), 'somebody’s');
    const onListing = (listings: number): void => {
      if (listings > 1) return;
      change(join(pair.source, 'folder/large'));
      pair.record();
    };
    const { problems } = pair.connect({ onListing });
    expect(problems).toEqual([]);
    expectEqual(pair);
    expect(trashed(pair)).toEqual(['folder/large']);
  });

  test('leaves no further name of what the tree shows in the trash', () => {
    const pair = makePair();
    const at = (path: string): string => join(pair.replica, path);
    fs.mkdirSync(join(pair.source, 'z'));
    makeEqual(join(pair.source, 'z/shown'));
    pair.record();
    for (const folder of ['z', 'mine/deep']) fs.mkdirSync(at(folder), { recursive: true });
    makeEqual(at('z/shown'));
    for (const further of ['a', 'mine/deep/b', 'z/c']) fs.linkSync(at('z/shown'), at(further));
    fs.writeFileSync(at('mine/deep/alone'), 'kept');
    fs.linkSync(at('mine/deep/alone'), at('mine/twin'));
    pair.connect({ init: true });
    expectEqualBelowRoot(pair);
    expect(fs.statSync(at('z/shown')).nlink).toBe(1);
    // What was kept (a, mine, z/c), and what was then found to be in the tree (a, mine/deep/b, z/c).
    expect(trashed(pair)).toHaveLength(3 + 3);
    expect(inTrash(pair)).toEqual(['alone', 'deep', 'list.jsonl', 'twin']);
  });

  test('leaves no further name in the trash from a folder that went before it was listed', () => {
    const pair = makePair();
    const at = (path: string): string => join(pair.replica, path);
    // More than are listed before the first answer.
    for (let n = 0; n < 2 * reconcileWindow; n++) fs.mkdirSync(join(pair.source, `a${n}`));
    fs.mkdirSync(join(pair.source, 'z'));
    makeEqual(join(pair.source, 'shown'));
    pair.record();
    fs.mkdirSync(at('z/deep'), { recursive: true });
    makeEqual(at('shown'));
    for (const further of ['z/one', 'z/deep/two']) fs.linkSync(at('shown'), at(further));
    fs.writeFileSync(at('z/mine'), 'kept');
    const onListing = (listings: number): void => {
      if (listings > 1) return;
      fs.rmdirSync(join(pair.source, 'z'));
      pair.record();
    };
    pair.connect({ onListing });
    expectEqual(pair);
    expect(fs.statSync(at('shown')).nlink).toBe(1);
    expect(inTrash(pair)).toEqual(['deep', 'list.jsonl', 'mine']);
  });

  test.each([undefined, 'limbo-emptied'])(
    'leaves no further name in the trash from a folder that is removed, killed at: %s',
    (killedAt) => {
      const pair = makePair();
      fill(pair.source);
      pair.record();
      pair.connect();
      const at = (path: string): string => join(pair.replica, path);
      fs.linkSync(at('large'), at('a/b/further'));
      fs.mkdirSync(at('a/b/own'));
      fs.writeFileSync(at('a/b/own/mine'), 'kept');
      fs.rmSync(join(pair.source, 'a'), { recursive: true });
      pair.record();
      const die = (step: string): void => {
        if (step === killedAt) throw new Killed();
      };
      if (killedAt === undefined) pair.connect({});
      else {
        expect(() => pair.connect({}, die)).toThrow(Killed);
        pair.connect();
      }
      expectEqual(pair);
      expect(fs.statSync(at('large')).nlink).toBe(1);
      expect(inTrash(pair)).toEqual(['list.jsonl', 'mine']);
    },
  );

  test('leaves no further name in the trash where the source has as many', () => {
    const pair = makePair();
    const at = (path: string): string => join(pair.replica, path);
    fs.symlinkSync('nowhere', join(pair.source, 'a'));
    makeEqual(join(pair.source, 'y'));
    fs.linkSync(join(pair.source, 'y'), join(pair.source, 'z'));
    pair.record();
    fs.mkdirSync(pair.replica);
    makeEqual(at('a'));
    fs.linkSync(at('a'), at('y'));
    pair.connect();
    expectEqualBelowRoot(pair);
    expect(fs.statSync(at('y')).nlink).toBe(2);
  });

  test('waits no longer for a content whose file has gone together with a folder', () => {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    pair.connect();
    const at = (name: string): string => join(pair.source, name);
    const rewrite = (): boolean => {
      fs.writeFileSync(at('large'), Buffer.alloc(4_000_000, 'new'));
      pair.record();
      return true;
    };
    const onPiece = (pieces: number): void => {
      if (pieces > 1) return;
      fs.mkdirSync(at('folder'));
      fs.renameSync(at('large'), at('folder/large'));
      pair.record();
      fs.rmSync(at('folder'), { recursive: true });
      pair.record();
    };
    pair.connect({ onPiece }, undefined, rewrite);
    expectEqual(pair);
    const state = join(pair.folder, '.fam-replica', 'state');
    using store = TreeStore.open(state, { journal: false });
    expect([...new Records(store).pending]).toEqual([]);
  });

  test('leaves no further link behind where somebody has made the same one already', () => {
    const pair = makePair();
    const at = (name: string): string => join(pair.source, name);
    fs.writeFileSync(at('one'), 'one');
    pair.record();
    pair.connect();
    fs.linkSync(join(pair.replica, 'one'), join(pair.replica, 'two'));
    fs.linkSync(at('one'), at('two'));
    pair.recordAttributes('two' as Name);
    pair.connect();
    const { nlink } = fs.statSync(join(pair.replica, 'two'));
    expect(nlink).toBe(2);
  });

  test('corrects hard links and attributes', () => {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    pair.connect();
    fs.rmSync(join(pair.folder, '.fam-replica'), { recursive: true });
    const at = (path: string): string => join(pair.replica, path);
    fs.copyFileSync(at('a/one'), at('a/b/copy'));
    fs.utimesSync(at('a/b/copy'), 1, 1.000000001);
    fs.renameSync(at('a/b/copy'), at('a/b/one-again'));
    fs.linkSync(at('large'), at('elsewhere'));
    fs.rmSync(at('suid'));
    fs.linkSync(at('a/b/c/empty'), at('suid'));
    fs.chmodSync(at('large'), 0o600);
    fs.chownSync(at('a/b'), 5, 6);
    fs.rmSync(at('a/b/link'));
    fs.symlinkSync('wrong', at('a/b/link'));
    pair.connect({ init: true });
    expectEqualBelowRoot(pair);
  });
});

describe('batches', () => {
  test('a content that cannot have all of its names leaves none in staging', () => {
    const pair = makePair();
    for (const folder of ['a', 'b']) fs.mkdirSync(join(pair.source, folder));
    fs.writeFileSync(join(pair.source, 'a/file'), 'old');
    fs.linkSync(join(pair.source, 'a/file'), join(pair.source, 'b/file'));
    pair.record();
    pair.connect();
    fs.renameSync(join(pair.replica, 'b'), join(pair.folder, 'moved-out'));
    fs.writeFileSync(join(pair.source, 'a/file'), 'new content');
    pair.record();
    const { problems } = pair.connect();
    expect(problems).not.toEqual([]);
    expect(fs.readFileSync(join(pair.replica, 'a/file'), 'utf8')).toBe('new content');
    expect(fs.readFileSync(join(pair.folder, 'moved-out/file'), 'utf8')).toBe('old');
    // The folder has been made again, with its name of the file, and there is no further one.
    expectEqual(pair);
    expect(fs.readdirSync(join(pair.folder, '.fam-replica/staging'))).toEqual([]);
  });

  /** Runs a change against a filled and mirrored pair, and compares. */
  function live(change: (at: (path: string) => string, pair: ReplicaPair) => void): ReplicaPair {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    pair.connect();
    change((path) => join(pair.source, path), pair);
    pair.record();
    const { problems } = pair.connect();
    expect(problems).toEqual([]);
    expectEqual(pair);
    expect(trashed(pair)).toEqual([]);
    return pair;
  }

  test('swaps of files and of folders', () => {
    live((at) => {
      fs.renameSync(at('a/one'), at('x'));
      fs.renameSync(at('suid'), at('a/one'));
      fs.renameSync(at('x'), at('suid'));
      fs.renameSync(at('a'), at('x'));
      fs.renameSync(at('sticky'), at('a'));
      fs.renameSync(at('x'), at('sticky'));
    });
  });

  test('a folder becomes a file and a file a folder', () => {
    live((at) => {
      fs.rmSync(at('a'), { recursive: true });
      fs.writeFileSync(at('a'), 'now a file');
      fs.rmSync(at('large'));
      fs.mkdirSync(at('large/deep'), { recursive: true });
      fs.writeFileSync(at('large/deep/file'), 'new');
    });
  });

  test('a folder moves into what was below it', () => {
    live((at) => {
      fs.renameSync(at('a/b'), at('b'));
      fs.renameSync(at('a'), at('b/a'));
      fs.renameSync(at('b/c'), at('c'));
      fs.renameSync(at('b'), at('c/b'));
    });
  });

  test('new content of a file with several names shows under each', () => {
    live((at) => {
      fs.writeFileSync(at('a/one'), 'changed');
      fs.linkSync(at('a/one'), at('third'));
      fs.rmSync(at('a/b/one-again'));
    });
  });

  test('log rotation and save by rename', () => {
    live((at) => {
      fs.renameSync(at('a/one'), at('a/one.1'));
      fs.writeFileSync(at('a/one'), 'fresh');
      fs.writeFileSync(at('new'), 'new content');
      fs.renameSync(at('new'), at('suid'));
    });
  });

  test('a large file is replaced, with a hole, and everything else goes on', () => {
    live((at) => {
      const fd = fs.openSync(at('sparse'), 'w');
      fs.writeSync(fd, Buffer.alloc(100_000, 1), 0, 100_000, 5_000_000);
      fs.ftruncateSync(fd, 20_000_000);
      fs.closeSync(fd);
      fs.writeFileSync(at('next'), Buffer.alloc(900_000, 'x'));
      fs.renameSync(at('next'), at('large'));
      fs.renameSync(at('a/b/two'), at('two'));
    });
  });

  test('what could not be done here comes with the next contact after it has been mended', ({ skip }) => {
    // Not on tmpfs, which cannot lock a folder before Linux 6.6.
    const pair = new ReplicaPair(tempFolder('fam-replica'));
    onTestFinished(() => pair.close());
    fill(pair.source);
    pair.record();
    pair.connect();
    const locked = join(pair.replica, 'a');
    const lock = (how: string): boolean => spawnSync('chattr', [how, locked]).status === 0;
    if (!lock('+i')) skip('this file system has no immutable folders, or this user may not make one');
    onTestFinished(() => {
      lock('-i');
    });
    fs.writeFileSync(join(pair.source, 'a/new'), 'new');
    fs.writeFileSync(join(pair.source, 'a/one'), 'two');
    fs.rmSync(join(pair.source, 'a/b/two'));
    fs.renameSync(join(pair.source, 'suid'), join(pair.source, 'a/suid'));
    pair.record();
    const codes = (problems: readonly { readonly code: string }[]): string[] => [
      ...new Set(problems.map(({ code }) => code)),
    ];
    expect(codes(pair.connect().problems)).toContain('EPERM');
    // Told again for as long as it is so.
    expect(codes(pair.connect().problems)).toContain('EPERM');
    lock('-i');
    expect(pair.connect().problems).toEqual([]);
    expectEqual(pair);
    expect(pair.connect().events).toContainEqual(expect.objectContaining({ type: 'met', mode: 'resume' }));
  });

  test('attributes of everything, of the root too', () => {
    live((at) => {
      fs.chmodSync(at(''), 0o751);
      fs.chownSync(at(''), 7, 8);
      fs.chownSync(at('suid'), 0, 0);
      fs.chmodSync(at('suid'), 0o6711);
      fs.lchownSync(at('a/b/link'), 3, 4);
      fs.lutimesSync(at('a/b/link'), 5, 6);
      fs.utimesSync(at('a'), 7, 8);
      fs.utimesSync(at(''), 9, 10);
    });
  });

  test('extended attributes and ACLs, also in a new folder that passes them on', () => {
    live((at) => {
      execFileSync('setfattr', ['-n', 'user.mark', '-v', 'one', at('a/one')]);
      execFileSync('setfacl', ['-m', 'u:1234:r', at('a/b/two')]);
      fs.mkdirSync(at('acl'));
      fs.writeFileSync(at('acl/before'), 'no ACL');
      execFileSync('setfacl', ['-d', '-m', 'u:1234:rwx', at('acl')]);
      fs.writeFileSync(at('acl/after'), 'inherits');
    });
  });

  test('what somebody changed on the replica goes to the trash when it is replaced or removed', () => {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    pair.connect();
    fs.writeFileSync(join(pair.replica, 'a/one'), 'edited on the replica');
    fs.rmSync(join(pair.replica, 'a/b/two'));
    fs.writeFileSync(join(pair.replica, 'a/b/two'), 'replaced on the replica');
    fs.writeFileSync(join(pair.replica, 'taken'), 'was here first');
    fs.writeFileSync(join(pair.replica, 'a/b/c/extra'), 'in a folder that goes');
    fs.writeFileSync(join(pair.source, 'a/one'), 'new at the source');
    fs.rmSync(join(pair.source, 'a/b/two'));
    fs.writeFileSync(join(pair.source, 'taken'), 'from the source');
    fs.rmSync(join(pair.source, 'a/b/c'), { recursive: true });
    pair.record();
    pair.connect();
    expectEqual(pair);
    expect(trashed(pair).sort()).toEqual(['a/b/c/extra', 'a/b/one-again', 'a/b/two', 'a/one', 'taken']);
  });
});

test('a name that a rewritten file was given shows nothing but its new content (I2)', () => {
  const pair = makePair();
  fill(pair.source);
  const at = (path: string): string => join(pair.source, path);
  fs.writeFileSync(at('upload.part'), Buffer.alloc(600_000, 'half'));
  fs.writeFileSync(at('page'), 'before');
  pair.record();
  pair.connect();
  const whole = Buffer.alloc(900_000, 'whole');
  fs.writeFileSync(at('upload.part'), whole);
  fs.renameSync(at('upload.part'), at('upload'));
  fs.linkSync(at('upload'), at('again'));
  fs.renameSync(at('again'), at('page'));
  pair.record();
  const torn: string[] = [];
  pair.connect({}, (step) => {
    for (const name of ['upload', 'page']) {
      const path = join(pair.replica, name);
      const content = fs.existsSync(path) ? fs.readFileSync(path) : whole;
      if (!content.equals(whole) && content.toString() !== 'before') torn.push(`${step}: ${name}`);
    }
    if (!fs.existsSync(join(pair.replica, 'page'))) torn.push(`${step}: no page`);
  });
  expect(torn).toEqual([]);
  expectEqual(pair);
});

test('times that are set after a file was written send nothing of it again, and a content that nobody told of comes', () => {
  const pair = makePair();
  const at = (name: string): string => join(pair.source, name);
  const touch = (name: string, seconds: number): void => {
    fs.utimesSync(at(name), seconds, seconds);
    pair.recordAttributes(name as Name);
  };
  fs.writeFileSync(at('one'), '');
  pair.record();
  pair.connect();
  const larger = 'x'.repeat(5000);
  fs.writeFileSync(at('one'), larger);
  fs.writeFileSync(at('two'), larger);
  pair.record();
  const first = pair.connect({}, undefined, () => {
    for (const name of ['one', 'two']) touch(name, 1_000);
    return true;
  });
  expectEqual(pair);
  expect(first.contentBytes).toBe(2 * larger.length);
  const second = pair.connect({}, undefined, () => {
    fs.writeFileSync(at('two'), 'y'.repeat(5000));
    touch('two', 2_000);
    return true;
  });
  expectEqual(pair);
  expect(second.contentBytes).toBe(larger.length);
});

test('files that are together longer than a number can say are mirrored like any others', () => {
  const pair = makePair();
  for (const name of ['one', 'two', 'three']) {
    fs.writeFileSync(join(pair.source, name), name);
    fs.truncateSync(join(pair.source, name), 2 ** 52);
  }
  pair.record();
  pair.connect();
  for (const name of ['one', 'two', 'three'])
    expect(fs.statSync(join(pair.replica, name)).size).toBe(2 ** 52);
});

/** Its mode was changed while nobody watched, so that its content may be another one. */
function makeDoubtful(pair: ReplicaPair): void {
  fs.chmodSync(join(pair.source, 'large'), 0o600);
  pair.record();
}

test('a large file whose times were set, and which is doubtful at the source, comes to a replica that has lost its state', () => {
  const pair = makePair();
  fill(pair.source);
  pair.record();
  pair.connect();
  fs.utimesSync(join(pair.source, 'large'), 1_000, 1_000);
  pair.record();
  makeDoubtful(pair);
  fs.rmSync(join(pair.folder, '.fam-replica'), { recursive: true });
  pair.connect({ init: true });
  expectEqualBelowRoot(pair);
  // It is recorded, too: what changes next is a change of this file.
  fs.chmodSync(join(pair.source, 'large'), 0o640);
  pair.record();
  pair.connect();
  expectEqual(pair);
});

test('a doubtful content that a local user changes before the replica has said that it is the same is sent', () => {
  const pair = makePair();
  fill(pair.source);
  pair.record();
  pair.connect();
  makeDoubtful(pair);
  let hasChanged = false;
  pair.connect({
    onBase: () => {
      if (!hasChanged) fs.appendFileSync(join(pair.replica, 'large'), 'a local user');
      hasChanged = true;
    },
  });
  expect(hasChanged).toBe(true);
  expectEqual(pair);
});

describe('a killed agent', () => {
  /** Kills the agent at the nth step of whatever kind, connects again, and compares; until n is never reached. */
  function killEverywhere(
    change: (at: (path: string) => string) => void,
    check: (pair: ReplicaPair) => void,
    meanwhile: (at: (path: string) => string) => void = () => undefined,
    before: (at: (path: string) => string) => void = () => undefined,
  ): void {
    for (let n = 1; ; n++) {
      const pair = makePair();
      fill(pair.source);
      before((path) => join(pair.source, path));
      pair.record();
      pair.connect();
      change((path) => join(pair.source, path));
      pair.record();
      let left = n;
      let last = '';
      const die = (step: string): void => {
        last = step;
        if (--left === 0) throw new Killed();
      };
      let killed = false;
      try {
        pair.connect({}, die);
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
        killed = true;
        meanwhile((path) => join(pair.source, path));
        pair.record();
        pair.connect();
      }
      try {
        expectEqual(pair);
        check(pair);
      } catch (error) {
        throw new Error(`killed at step ${n} (${last})`, { cause: error });
      }
      if (!killed) return;
      expect(n).toBeLessThan(200);
    }
  }

  test('leaves nothing behind, whatever step it was killed at: renames and links', () => {
    killEverywhere(
      (at) => {
        fs.renameSync(at('a/b'), at('b'));
        fs.renameSync(at('a'), at('b/a'));
        fs.renameSync(at('suid'), at('x'));
        fs.renameSync(at('large'), at('suid'));
        fs.renameSync(at('x'), at('large'));
        fs.linkSync(at('large'), at('sticky/hard'));
        fs.rmSync(at('b/one-again'));
      },
      (pair) => expect(trashed(pair)).toEqual([]),
    );
  });

  test('leaves nothing behind, whatever step it was killed at: new content and new folders', () => {
    killEverywhere(
      (at) => {
        fs.writeFileSync(at('a/one'), 'changed');
        fs.rmSync(at('sticky'), { recursive: true });
        fs.writeFileSync(at('sticky'), 'a file now');
        fs.mkdirSync(at('new/deep'), { recursive: true });
        fs.writeFileSync(at('new/deep/file'), 'in a new folder');
        fs.renameSync(at('a/b'), at('new/b'));
        fs.writeFileSync(at('large'), Buffer.alloc(800_000, 'other'));
        fs.chmodSync(at('a'), 0o700);
      },
      (pair) => expect(trashed(pair)).toEqual([]),
    );
  });

  test('knows again what had given way when it was killed: nothing of it comes again', () => {
    const pair = makePair();
    const at = (path: string): string => join(pair.source, path);
    fs.mkdirSync(at('a/inner'), { recursive: true });
    fs.writeFileSync(at('a/inner/file'), Buffer.alloc(40_000, 'content'));
    fs.mkdirSync(at('z'));
    pair.record();
    pair.connect();
    fs.renameSync(at('a'), at('z/b'));
    fs.mkdirSync(at('a'));
    pair.record();
    const die = (step: string): void => {
      if (step === 'exchange') throw new Killed();
    };
    expect(() => pair.connect({}, die)).toThrow(Killed);
    const { counts, contentBytes } = pair.connect();
    expect(contentBytes).toBe(0);
    expect(counts.get('listing')).toBeUndefined();
    expectEqual(pair);
  });

  test('records what was gone from limbo when it was killed', () => {
    const pair = makePair();
    const at = (path: string): string => join(pair.source, path);
    fs.mkdirSync(at('a/inner'), { recursive: true });
    fs.writeFileSync(at('a/inner/file'), 'x');
    fs.linkSync(at('a/inner/file'), at('further'));
    pair.record();
    pair.connect();
    fs.rmSync(at('a'), { recursive: true });
    pair.record();
    const state = join(pair.folder, '.fam-replica', 'state');
    const limbo = join(pair.folder, '.fam-replica', 'limbo');
    const saved = join(pair.folder, 'saved');
    let isSaved = false;
    const die = (step: string): void => {
      if (step === 'committed' && fs.readdirSync(limbo).length > 0) {
        fs.cpSync(state, saved, { recursive: true });
        isSaved = true;
      }
      if (step === 'limbo-emptied') throw new Killed();
    };
    expect(() => pair.connect({}, die)).toThrow(Killed);
    expect(isSaved).toBe(true);
    // As a kill in the middle leaves it: what was removed is removed, but nothing of that was recorded.
    fs.copyFileSync(join(saved, 'db/data.mdb'), join(state, 'db/data.mdb'));
    pair.connect();
    expectEqual(pair);
    using store = TreeStore.open(state, { journal: false });
    expect([...store.inodes()].map(({ links }) => links)).toEqual([1, 1]);
    expect(fs.statSync(join(pair.replica, 'further')).nlink).toBe(1);
  });

  test('what it had placed goes when the source removes it before the next agent is there', () => {
    killEverywhere(
      (at) => {
        fs.mkdirSync(at('new/deep'), { recursive: true });
        fs.writeFileSync(at('new/deep/file'), 'in a new folder');
        fs.renameSync(at('a/b/two'), at('new/two'));
        fs.writeFileSync(at('page'), 'a page');
        fs.linkSync(at('page'), at('a/page'));
        fs.symlinkSync('new', at('current'));
        fs.mkdirSync(at('a/empty'));
        fs.rmSync(at('suid'));
        fs.writeFileSync(at('suid'), 'new content');
      },
      (pair) => expect(trashed(pair)).toEqual([]),
      (at) => {
        fs.rmSync(at('new'), { recursive: true, force: true });
        for (const path of ['page', 'a/page', 'current', 'suid']) fs.rmSync(at(path), { force: true });
        fs.rmSync(at('a/empty'), { recursive: true, force: true });
        fs.writeFileSync(at('a/b/c/empty'), 'no longer');
      },
    );
  });

  const namesOfOne = ['large', 'sticky/large', 'z'];
  test.each(namesOfOne)(
    'has new content under each name of a file, of which %s goes before the next agent is there',
    (gone) => {
      killEverywhere(
        (at) => {
          fs.writeFileSync(at('large'), 'new content');
        },
        (pair) => {
          expect(trashed(pair)).toEqual([]);
          // What is recorded is what is there: each name follows.
          fs.appendFileSync(join(pair.source, namesOfOne.find((name) => name !== gone) ?? ''), 'more');
          pair.record();
          pair.connect();
          expectEqual(pair);
        },
        (at) => fs.rmSync(at(gone)),
        (at) => {
          for (const name of namesOfOne.slice(1)) fs.linkSync(at('large'), at(name));
        },
      );
    },
  );

  test('leaves no link behind: a new folder with further names of a known file, of which the source keeps none', () => {
    killEverywhere(
      (at) => {
        fs.mkdirSync(at('new/deep'), { recursive: true });
        for (const name of ['new/first', 'new/second', 'new/deep/third']) fs.linkSync(at('large'), at(name));
        fs.renameSync(at('a/one'), at('new/deep/one'));
        fs.linkSync(at('new/deep/one'), at('new/deep/again'));
      },
      (pair) => {
        expect(trashed(pair)).toEqual([]);
        expect(fs.readdirSync(join(pair.folder, '.fam-replica', 'limbo'))).toEqual([]);
      },
      (at) => {
        fs.renameSync(at('new/deep/one'), at('a/one'));
        fs.rmSync(at('new'), { recursive: true });
      },
    );
  });

  test('lacks nothing, whatever steps two of them were killed at: a folder in place of another one', () => {
    let isSecondKilled = true;
    for (let n = 1; isSecondKilled; n++) {
      for (let m = 1; m === 1 || isSecondKilled; m++) {
        const pair = makePair();
        const at = (path: string): string => join(pair.source, path);
        for (const path of ['a/below', 'b']) fs.mkdirSync(at(path), { recursive: true });
        for (const path of ['a/page', 'a/below/page', 'b/page']) fs.writeFileSync(at(path), path);
        pair.record();
        pair.connect();
        fs.rmSync(at('b'), { recursive: true });
        fs.renameSync(at('a'), at('b'));
        pair.record();
        const isFirstKilled = pair.connectKilledAt(n);
        isSecondKilled = isFirstKilled && pair.connectKilledAt(m);
        pair.connect();
        expect(compareTrees(pair.source, pair.replica), `killed at steps ${n} and ${m}`).toEqual([]);
        expect(trashed(pair), `killed at steps ${n} and ${m}`).toEqual([]);
        if (!isFirstKilled) return;
      }
      isSecondKilled = true;
      expect(n).toBeLessThan(50);
    }
  });

  test('a file that a local user put where it would have placed one is kept', () => {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    pair.connect();
    fs.writeFileSync(join(pair.source, 'page'), 'from the source');
    pair.record();
    const die = (step: string): void => {
      if (step === 'before-commit') throw new Killed();
    };
    expect(() => pair.connect({}, die)).toThrow(Killed);
    fs.rmSync(join(pair.replica, 'page'));
    fs.writeFileSync(join(pair.replica, 'page'), 'somebody else’s');
    pair.connect();
    expectEqual(pair);
    expect(trashed(pair)).toEqual(['page']);
  });

  test('between an exchange and the trash loses nothing of a local user’s', () => {
    const pair = makePair();
    fill(pair.source);
    pair.record();
    pair.connect();
    fs.mkdirSync(join(pair.source, 'new'));
    fs.writeFileSync(join(pair.source, 'new/page'), 'from the source');
    pair.record();
    const die = (step: string): void => {
      if (step === 'before-commit') throw new Killed();
    };
    expect(() => pair.connect({}, die)).toThrow(Killed);
    // What a kill in that moment leaves: the new folder has its name, the one that was there before is in limbo.
    const home = join(pair.folder, '.fam-replica');
    const rows = JSON.parse(fs.readFileSync(join(home, 'state/applying')).subarray(5).toString());
    const id = rows.find((row: unknown[]) => row[1] === 'new')[2];
    fs.mkdirSync(join(home, 'limbo', String(id)));
    fs.writeFileSync(join(home, 'limbo', String(id), 'page'), 'somebody else’s');
    pair.connect();
    expectEqual(pair);
    expect(trashed(pair)).toEqual([`(${id})`]);
  });

  test('during first contact loses nothing that was done', () => {
    for (const n of [1, 3, 5]) {
      const pair = makePair();
      fill(pair.source);
      pair.record();
      pair.connectKilledAt(n);
      pair.connect();
      expectEqualBelowRoot(pair);
    }
  });
});

describe('random histories', () => {
  const pick = fc.nat({ max: 8 });
  const operation = fc.tuple(fc.nat({ max: 7 }), pick, pick, pick);
  const round = fc.record({
    operations: fc.array(operation, { minLength: 1, maxLength: 12 }),
    killAt: fc.option(fc.integer({ min: 1, max: 25 })),
  });

  function act(root: string, [kind, a, b, size]: readonly [number, number, number, number]): void {
    const paths = ['a', 'b', 'c', 'a/a', 'a/b', 'b/a', 'b/b', 'a/b/a', 'c/a'];
    const one = join(root, paths[a] ?? 'a');
    const other = join(root, paths[b] ?? 'b');
    const actions = [
      () => fs.writeFileSync(one, Buffer.alloc(size * 30_000, size + 64)),
      () => fs.writeFileSync(one, `content ${a} ${b} ${size}`),
      () => fs.mkdirSync(one),
      () => fs.renameSync(one, other),
      () => fs.renameSync(one, other),
      () => fs.linkSync(one, other),
      () => fs.rmSync(one, { recursive: true }),
      () => fs.chmodSync(one, 0o600 + size),
    ];
    try {
      actions[kind]?.();
    } catch (error) {
      // What POSIX refuses (not there, not empty, into itself) is not part of the history.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }

  test('end equal, with kills at any step and changes while connected', () => {
    fc.assert(
      fc.property(fc.array(round, { minLength: 1, maxLength: 4 }), (rounds) => {
        const folder = fs.mkdtempSync('/dev/shm/fam-random-');
        const pair = new ReplicaPair(folder);
        try {
          for (const { operations, killAt } of rounds) {
            const half = operations.length >> 1;
            for (const one of operations.slice(0, half)) act(pair.source, one);
            pair.record();
            let left = killAt ?? Number.POSITIVE_INFINITY;
            const die = (): void => {
              if (--left === 0) throw new Killed();
            };
            const during = (): boolean => {
              for (const one of operations.slice(half)) act(pair.source, one);
              pair.record();
              return true;
            };
            try {
              pair.connect({}, die, during);
            } catch (error) {
              if (!(error instanceof Killed)) throw error;
            }
            fs.utimesSync(pair.source, 1, 1 + killCount++);
            pair.record();
            expect(pair.connect().problems).toEqual([]);
            expectEqual(pair);
          }
        } finally {
          pair.close();
          fs.rmSync(folder, { recursive: true });
        }
      }),
      { numRuns: Number(process.env['FAM_REPLICA_RUNS'] ?? 25) },
    );
  }, 120_000);

  let killCount = 0;
});

describe('a replica that keeps its own folder inside its root', () => {
  function makeInner(): ReplicaPair {
    const folder = tempFolder('fam-replica', '/dev/shm');
    fs.mkdirSync(join(folder, 'replica/.fam'), { recursive: true, mode: 0o700 });
    const pair = new ReplicaPair(folder);
    onTestFinished(() => pair.close());
    fs.writeFileSync(join(pair.source, 'a'), 'x');
    pair.record();
    pair.connect();
    return pair;
  }

  function expectOwnFolder(pair: ReplicaPair): void {
    const own = fs.readdirSync(join(pair.replica, '.fam')).sort();
    expect(own).toEqual(['limbo', 'lock', 'staging', 'state', 'succession.json', 'trash']);
    expect(fs.readdirSync(join(pair.replica, '.fam/limbo'))).toEqual([]);
    expectEqual(pair);
  }

  test.each(['file', 'folder', 'large file'])('keeps it when the source makes a %s of that name', (kind) => {
    const pair = makeInner();
    const at = join(pair.source, '.fam');
    if (kind === 'folder') {
      fs.mkdirSync(join(at, 'state'), { recursive: true });
      fs.writeFileSync(join(at, 'state/data.mdb'), 'in');
      fs.linkSync(join(pair.source, 'a'), join(at, 'a'));
    } else fs.writeFileSync(at, kind === 'file' ? 'x' : 'x'.repeat(300_000));
    pair.record();
    const { problems } = pair.connect();
    expect(problems).toEqual([{ path: '.fam', action: 'create', code: 'reserved' }]);
    expectOwnFolder(pair);
    fs.rmSync(at, { recursive: true });
    fs.writeFileSync(join(pair.source, 'a'), 'y');
    pair.record();
    expect(pair.connect().problems).toEqual([]);
    expectOwnFolder(pair);
  });

  test('shows a folder no more that gets that name', () => {
    const pair = makeInner();
    fill(join(pair.source, 'site'));
    pair.record();
    pair.connect();
    expectEqual(pair);
    fs.renameSync(join(pair.source, 'site'), join(pair.source, '.fam'));
    pair.record();
    pair.connect({}, undefined, () => {
      expectOwnFolder(pair);
      fs.mkdirSync(join(pair.source, '.fam/new'));
      fs.writeFileSync(join(pair.source, '.fam/new/file'), 'content');
      pair.record();
      return true;
    });
    expectOwnFolder(pair);
    expect(fs.existsSync(join(pair.replica, 'site'))).toBe(false);
  });

  test('is not asked to list everything for each name in there', () => {
    const pair = makeInner();
    fs.mkdirSync(join(pair.source, '.fam'));
    pair.record();
    const { counts, problems } = pair.connect({}, undefined, () => {
      fs.mkdirSync(join(pair.source, '.fam/in/side'), { recursive: true });
      fs.writeFileSync(join(pair.source, '.fam/in/side/file'), 'content');
      pair.record();
      return true;
    });
    expect(counts.get('listing')).toBeUndefined();
    expect(problems).toHaveLength(1);
    expectOwnFolder(pair);
  });
});
