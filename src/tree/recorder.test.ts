import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { noteOf, setNote } from '../../test/support/set-note.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { Kind, rootId } from '../core/attributes.ts';
import { AT_FDCWD, RENAME_EXCHANGE } from '../kernel/constants.ts';
import * as sys from '../kernel/sys.ts';

describe.each(['fanotify', 'inotify'] as const)('Recorder with %s', (monitor) => {
  const started = (prepare: (root: string) => void = () => {}): RecordedTree =>
    RecordedTree.settled({ monitor }, (at) => prepare(at('')));

  test('first scan: everything is base, without journal', () => {
    using tree = started((root) => {
      mkdirSync(join(root, 'a/b/c'), { recursive: true });
      writeFileSync(join(root, 'a/f'), 'x');
      linkSync(join(root, 'a/f'), join(root, 'a/b/g'));
      symlinkSync('nowhere', join(root, 'l'));
    });
    expect(tree.differences()).toEqual([]);
    expect([...tree.store.journal(0)]).toEqual([]);
    expect(tree.store.head).toBe(1);
    expect(tree.idOf('a/f')).toBe(tree.idOf('a/b/g'));
  });

  test('a rename of a folder is two changes and its own times, whatever hangs below it', () => {
    using tree = started((root) => {
      mkdirSync(join(root, 'a/b'), { recursive: true });
      for (let i = 0; i < 100; i++) writeFileSync(join(root, 'a/b', `f${i}`), 'x');
    });
    const id = tree.idOf('a');
    const before = tree.store.head;
    renameSync(join(tree.root, 'a'), join(tree.root, 'z'));
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.idOf('z')).toBe(id);
    const changes = tree.store.transaction(() => [...tree.store.journal(before)]);
    expect(changes.map((c) => (c.type === 'inode' ? `inode ${c.id}` : c.name))).toEqual([
      'z',
      'a',
      `inode ${rootId}`,
    ]);
    writeFileSync(join(tree.root, 'z/b/new'), 'x');
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a folder with many folders is removed: nothing else is compared for that', () => {
    using tree = started((root) => {
      // More than are kept open: most of them cannot be reached any more when what was in them is looked at.
      for (let i = 0; i < 600; i++) {
        mkdirSync(join(root, `top/d${i}`), { recursive: true });
        for (let k = 0; k < 5; k++) writeFileSync(join(root, `top/d${i}/f${k}`), 'x');
      }
    });
    const before = tree.recorder.scanned;
    rmSync(join(tree.root, 'top'), { recursive: true });
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.recorder.scanned).toEqual(before);
  });

  test('replaced by rename: the name never has a tombstone, the old inode is dead', () => {
    using tree = started((root) => writeFileSync(join(root, 'page'), 'old'));
    const old = tree.idOf('page');
    writeFileSync(join(tree.root, '.page.tmp'), 'new');
    renameSync(join(tree.root, '.page.tmp'), join(tree.root, 'page'));
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.store.transaction(() => tree.store.inode(old)?.links)).toBe(0);
    expect(tree.idOf('page')).not.toBe(old);
  });

  test('exchange: both inodes live on under the other name', () => {
    using tree = started((root) => {
      writeFileSync(join(root, 'a'), '1');
      mkdirSync(join(root, 'b'));
      writeFileSync(join(root, 'b/f'), '1');
    });
    const [a, b] = [tree.idOf('a'), tree.idOf('b')];
    sys.check(
      sys.renameat2(AT_FDCWD, join(tree.root, 'a'), AT_FDCWD, join(tree.root, 'b'), RENAME_EXCHANGE),
      'exchange',
    );
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect([tree.idOf('a'), tree.idOf('b')]).toEqual([b, a]);
  });

  test('a folder that is deleted leaves one tombstone, and nothing below it', () => {
    using tree = started((root) => {
      mkdirSync(join(root, 'a/b/c'), { recursive: true });
      writeFileSync(join(root, 'a/b/c/f'), 'x');
      writeFileSync(join(root, 'keep'), 'x');
      linkSync(join(root, 'keep'), join(root, 'a/b/kept'));
    });
    rmSync(join(tree.root, 'a'), { recursive: true });
    tree.settle();
    expect(tree.differences()).toEqual([]);
    expect(tree.store.stats).toEqual({ inodes: 2, entries: 1 });
  });

  test('mkdir -p and cp: what appeared before the folder was known is found', () => {
    using tree = started();
    for (let i = 0; i < 20; i++) {
      mkdirSync(join(tree.root, `d${i}/e/f`), { recursive: true });
      writeFileSync(join(tree.root, `d${i}/e/f/g`), 'x');
    }
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a file being written is recorded when it settles, a closed one at once', () => {
    using tree = new RecordedTree({ monitor, settleMs: 60_000, hotFileMaxDelayMs: 60_000 });
    tree.start();
    tree.turn();
    const fd = openSync(join(tree.root, 'hot'), 'w');
    writeSync(fd, 'x');
    for (let i = 0; i < 5; i++) tree.turn();
    expect(tree.idOf('hot')).toBe(0);
    expect(tree.recorder.deadline).toBeGreaterThan(performance.now());
    renameSync(join(tree.root, 'hot'), join(tree.root, 'renamed'));
    for (let i = 0; i < 5; i++) tree.turn();
    sys.poll([], 10);
    for (let i = 0; i < 5; i++) tree.turn();
    expect(tree.idOf('renamed')).toBe(0);
    closeSync(fd);
    for (let i = 0; i < 5; i++) tree.turn();
    expect(tree.idOf('renamed')).toBeGreaterThan(0);
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('same size, same time: a second write within the clock tick is a change of content', () => {
    using tree = started((root) => writeFileSync(join(root, 'f'), '1'));
    const id = tree.idOf('f');
    const { atime, mtime } = lstatSync(join(tree.root, 'f'));
    writeFileSync(join(tree.root, 'f'), '2');
    utimesSync(join(tree.root, 'f'), atime, mtime);
    tree.settle();
    const first = tree.store.transaction(() => tree.store.inode(id)?.contentSeq ?? 0);
    expect(first).toBeGreaterThan(1);
    chmodSync(join(tree.root, 'f'), 0o600);
    tree.settle();
    const record = tree.store.transaction(() => tree.store.inode(id));
    expect(record?.contentSeq).toBe(first);
    expect(record?.seq).toBeGreaterThan(first);
  });

  test('what is written through a descriptor whose name was removed is recorded under the name that is left', () => {
    using tree = started((root) => {
      writeFileSync(join(root, 'f'), '1');
      linkSync(join(root, 'f'), join(root, 'g'));
    });
    const id = tree.idOf('g');
    const fd = openSync(join(tree.root, 'f'), 'r+');
    rmSync(join(tree.root, 'f'));
    tree.settle();
    const before = tree.store.transaction(() => tree.store.inode(id)?.contentSeq ?? 0);
    writeSync(fd, 'long');
    closeSync(fd);
    tree.settle();
    const record = tree.store.transaction(() => tree.store.inode(id));
    expect(record).toMatchObject({ size: 4, links: 1 });
    expect(record?.contentSeq).toBeGreaterThan(before);
    expect(tree.differences()).toEqual([]);
  });

  test('a write to one of two files that have traded names ends the round', () => {
    using tree = started((root) => {
      writeFileSync(join(root, 'a'), 'first');
      writeFileSync(join(root, 'b'), 'second');
    });
    const at = (name: string): string => join(tree.root, name);
    for (const [from, to] of [
      ['a', 'c'],
      ['b', 'a'],
      ['c', 'b'],
    ] as const) {
      renameSync(at(from), at(to));
      tree.settle();
    }
    appendFileSync(at('a'), '!');
    tree.settle();
    appendFileSync(at('b'), '!');
    tree.settle();
    expect(tree.differences()).toEqual([]);
  });

  test('a file that is made under the name of another, and takes its time, does not keep the round open', () => {
    using tree = started((root) => {
      writeFileSync(join(root, 'f'), 'old');
      linkSync(join(root, 'f'), join(root, 'g'));
    });
    const at = (name: string): string => join(tree.root, name);
    const id = tree.idOf('f');
    rmSync(at('f'));
    const fd = openSync(at('f'), 'w');
    writeSync(fd, 'half');
    // A slow machine does not get through the round in one step.
    for (let turns = 0; turns === 0 || (tree.recorder.busy && turns < 100); turns++) tree.turn();
    expect(tree.recorder.busy).toBe(false);
    expect(tree.idOf('f')).toBe(id);
    closeSync(fd);
    tree.settle();
    expect(tree.idOf('f')).not.toBe(id);
    expect(tree.differences()).toEqual([]);
  });

  test('a rotated log does not change with each line of the new one', async () => {
    using tree = started((root) => writeFileSync(join(root, 'log'), 'old'));
    const at = (name: string): string => join(tree.root, name);
    const id = tree.idOf('log');
    renameSync(at('log'), at('log.1'));
    tree.settle();
    writeFileSync(at('log'), 'first\n');
    tree.settle();
    // Longer than any clock of a file system needs to move on.
    await waitFor(() => Date.now() - lstatSync(at('log.1')).ctimeMs > 3000, { describe: 'an old file' });
    const before = tree.store.transaction(() => tree.store.inode(id)?.contentSeq ?? 0);
    appendFileSync(at('log'), 'second\n');
    tree.settle();
    const record = tree.store.transaction(() => tree.store.inode(id));
    expect(record?.contentSeq).toBe(before);
    expect(tree.differences()).toEqual([]);
  });

  test('what changed in a folder is recorded although it was moved out and the folder removed before anybody looked', () => {
    using tree = started((root) => {
      mkdirSync(join(root, 'a/b'), { recursive: true });
      writeFileSync(join(root, 'a/b/f'), 'x');
      // More than are kept open: nothing holds the folder any more.
      for (let n = 0; n < 600; n++) mkdirSync(join(root, `z${n}`));
    });
    const id = tree.idOf('a/b/f');
    const before = tree.store.transaction(() => tree.store.inode(id)?.seq ?? 0);
    execFileSync('setfattr', ['-n', 'user.color', '-v', 'green', join(tree.root, 'a/b/f')]);
    renameSync(join(tree.root, 'a/b/f'), join(tree.root, 'g'));
    rmSync(join(tree.root, 'a'), { recursive: true });
    tree.settle();
    expect(tree.idOf('g')).toBe(id);
    expect(tree.store.transaction(() => tree.store.inode(id)?.seq)).toBeGreaterThan(before);
    expect(tree.differences()).toEqual([]);
  });

  test('any history ends in records that equal the folder', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 60, size: 'max' }), (operations) => {
        using tree = started((root) => {
          mkdirSync(join(root, 'a/b'), { recursive: true });
          writeFileSync(join(root, 'a/f'), 'x');
        });
        const outside = join(tree.base, 'outside');
        mkdirSync(outside);
        using writers = new Writers();
        const snapshots: { cursor: number; replica: Replica; versions: Map<string, string> }[] = [];
        let last = 'a';
        for (const given of operations) {
          const op = 'at' in given && given.at === lastPlace ? { ...given, at: last } : given;
          if ('at' in op) last = 'to' in op ? op.to : op.at;
          if (isWriting(op)) writers.perform(tree.root, op);
          else if (op.kind === 'settle') {
            tree.settle();
            // What is being uploaded is recorded later.
            if (writers.areAtWork) continue;
            expect(tree.differences()).toEqual([]);
            snapshots.push({ cursor: tree.store.head, replica: replicaOf(tree), versions: versionsOf(tree) });
          } else if (op.kind === 'turn') tree.turn();
          else if (op.kind === 'feed') tree.recorder.feed(tree.source.read());
          else if (op.kind === 'step') tree.recorder.step();
          else if (op.kind === 'restart') {
            tree.stop();
            tree.start({ trusted: true });
          } else {
            perform(tree.root, outside, op as Change);
            // What is done through a link that has gone before anybody knew of it is told of the file itself, or not at all.
            if (monitor === 'inotify') {
              // Of a link that is made outside of the tree inotify does not tell.
              if (op.kind === 'linkOut') perform(tree.root, outside, { kind: 'chmod', at: op.at });
              if (op.kind === 'link' || op.kind === 'linkOut') tree.settle();
            }
          }
        }
        writers.endAll();
        tree.settle();
        expect(tree.differences()).toEqual([]);
        const now = replicaOf(tree);
        const versions = versionsOf(tree);
        for (const { cursor, replica, versions: before } of snapshots) {
          expect(replay(tree, cursor, replica)).toEqual(now);
          for (const [version, held] of before) expect(versions.get(version) ?? held).toBe(held);
        }
      }),
      { numRuns: Number(process.env['FAM_TREE_RUNS'] ?? 100) },
    );
  });
});

test('Recorder that is not root: a folder that could not be read is listed when its permissions change', () => {
  const euid = process.geteuid?.() ?? 0;
  process.seteuid?.(65_534);
  try {
    using tree = new RecordedTree({ monitor: 'inotify' });
    tree.start();
    tree.settle();
    const folder = join(tree.root, 'd');
    mkdirSync(folder, 0);
    tree.settle();
    expect(tree.problems).toContainEqual(expect.objectContaining({ path: 'd', code: 'EACCES' }));
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, 'f'), 'x');
    tree.settle();
    expect(tree.differences()).toEqual([]);
  } finally {
    process.seteuid?.(euid);
  }
});

// --- histories ------------------------------------------------------------------------------------------------------------

/** Where the last operation left what it was about: what happens to one thing before anybody looks is where mistakes are. */
const lastPlace = '.';

const place = fc.constantFrom(
  'a',
  'b',
  'c',
  'a/f',
  'a/g',
  'a/b',
  'a/b/f',
  'a/b/c',
  'a/b/c/f',
  'b/f',
  'b/c',
  'b/c/\xff',
  'l',
);
const path = fc.oneof({ weight: 2, arbitrary: place }, { weight: 1, arbitrary: fc.constant(lastPlace) });

type Change =
  | {
      kind:
        | 'write'
        | 'mkdir'
        | 'rm'
        | 'chmod'
        | 'touch'
        | 'symlink'
        | 'fifo'
        | 'append'
        | 'xattr'
        | 'stealth';
      at: string;
    }
  | { kind: 'rename' | 'link' | 'exchange'; at: string; to: string }
  | { kind: 'out' | 'in' | 'linkOut' | 'appendOut'; at: string; slot: number };
/** A writer that keeps a file open. */
type Writing = { kind: 'open' | 'begin'; at: string; slot: number } | { kind: 'goOn' | 'end'; slot: number };
type Operation = Change | Writing | { kind: 'turn' | 'feed' | 'step' | 'settle' | 'restart' };

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constantFrom('write', 'mkdir', 'rm', 'append'), at: path }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('chmod', 'touch', 'symlink', 'fifo'), at: path }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('xattr', 'stealth'), at: path }) },
  {
    weight: 9,
    arbitrary: fc.record({ kind: fc.constantFrom('rename', 'link', 'exchange'), at: path, to: place }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('out', 'in'), at: path, slot: fc.nat(2) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('linkOut', 'appendOut'), at: path, slot: fc.nat(2) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('open', 'begin'), at: path, slot: fc.nat(1) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('goOn', 'end'), slot: fc.nat(1) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('turn', 'feed', 'step', 'settle') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart') }) },
) as fc.Arbitrary<Operation>;

/** Not blocking: the name may be a FIFO, which nobody reads. */
const writeFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK;

function put(path: string, flags: number, text: string): void {
  const fd = openSync(path, flags);
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

/** Writers at work, by slot. */
class Writers implements Disposable {
  readonly #open = new Map<number, number>();

  get areAtWork(): boolean {
    return this.#open.size > 0;
  }

  perform(root: string, op: Writing): void {
    try {
      if (op.kind === 'open' || op.kind === 'begin') {
        this.#end(op.slot);
        const flags = op.kind === 'open' ? writeFlags : writeFlags | constants.O_TRUNC;
        this.#open.set(op.slot, openSync(join(root, op.at), flags));
      }
      const fd = this.#open.get(op.slot);
      if (op.kind === 'end') this.#end(op.slot);
      else if (fd !== undefined) writeSync(fd, `${Math.random()}`);
    } catch (error) {
      if (!(error instanceof Error && 'errno' in error)) throw error;
    }
  }

  #end(slot: number): void {
    const fd = this.#open.get(slot);
    this.#open.delete(slot);
    if (fd !== undefined) closeSync(fd);
  }

  endAll(): void {
    for (const slot of [...this.#open.keys()]) this.#end(slot);
  }

  [Symbol.dispose](): void {
    this.endAll();
  }
}

function isWriting(op: Operation): op is Writing {
  return op.kind === 'open' || op.kind === 'begin' || op.kind === 'goOn' || op.kind === 'end';
}

/** Does it if it can be done; what the kernel refuses is no operation. */
function perform(root: string, outside: string, op: Change): void {
  const at = join(root, op.at);
  try {
    const found = lstatSync(at, { throwIfNoEntry: false });
    switch (op.kind) {
      case 'write':
        put(at, writeFlags | constants.O_TRUNC, `${Math.random()}`);
        return;
      case 'append':
        put(at, writeFlags | constants.O_APPEND, 'more');
        return;
      case 'xattr':
        if (found?.isFile() === true || found?.isDirectory() === true) setNote(at, `${Math.random()}`);
        return;
      case 'stealth':
        if (found?.isFile() !== true) return;
        put(at, constants.O_WRONLY, `${Math.random()}`.padEnd(found.size).slice(0, found.size));
        utimesSync(at, found.atime, found.mtime);
        return;
      case 'mkdir':
        mkdirSync(at, { recursive: true });
        writeFileSync(join(at, 'made'), 'x');
        return;
      case 'rm':
        rmSync(at, { recursive: true, force: true });
        return;
      case 'chmod':
        chmodSync(at, lstatSync(at).mode ^ 0o020);
        return;
      case 'touch':
        utimesSync(at, 1, Math.random() * 1e9);
        return;
      case 'symlink':
        symlinkSync(op.at, at);
        return;
      case 'fifo':
        sys.mknodat(AT_FDCWD, at, 0o010644);
        return;
      case 'rename':
        renameSync(at, join(root, op.to));
        return;
      case 'link':
        linkSync(at, join(root, op.to));
        return;
      case 'exchange':
        sys.renameat2(AT_FDCWD, at, AT_FDCWD, join(root, op.to), RENAME_EXCHANGE);
        return;
      case 'out':
        if (!existsSync(join(outside, `${op.slot}`))) renameSync(at, join(outside, `${op.slot}`));
        return;
      case 'linkOut':
        linkSync(at, join(outside, `${op.slot}`));
        return;
      case 'appendOut': {
        const there = join(outside, `${op.slot}`);
        const isFolder = lstatSync(there, { throwIfNoEntry: false })?.isDirectory() === true;
        put(
          isFolder ? join(there, 'f') : there,
          constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK,
          'more',
        );
        return;
      }
      case 'in':
        if (readdirSync(dirname(at)).length < 20) renameSync(join(outside, `${op.slot}`), at);
        return;
    }
  } catch (error) {
    if (!(error instanceof Error && 'errno' in error)) throw error;
  }
}

// --- what a replica would make of the journal ------------------------------------------------------------------------------

interface Replica {
  readonly entries: Map<string, number>;
  readonly inodes: Map<number, string>;
}

function describeInode(tree: RecordedTree, id: number): string | undefined {
  const r = tree.store.inode(id);
  if (r === undefined || r.links === 0) return undefined;
  return `${r.kind} ${r.mode} ${r.size} ${r.mtimeS}.${r.mtimeNs} ${r.target} ${r.contentSeq}`;
}

function replicaOf(tree: RecordedTree): Replica {
  return tree.store.transaction(() => {
    const replica: Replica = {
      entries: new Map(),
      inodes: new Map([[rootId, describeInode(tree, rootId) ?? '']]),
    };
    reach(tree, replica, rootId);
    return replica;
  });
}

/** What each inode has, by id and seq: one version never has two contents, nor two values of an extended attribute. */
function versionsOf(tree: RecordedTree): Map<string, string> {
  return tree.store.transaction(() => {
    const versions = new Map<string, string>();
    for (const record of tree.store.inodes()) {
      const path = tree.store.pathOf(record.id);
      if (record.links === 0 || path === undefined) continue;
      const at = Buffer.from(join(tree.root, path), 'latin1');
      if (record.kind === Kind.file)
        versions.set(`content ${record.id}@${record.contentSeq}`, readFileSync(at, 'latin1'));
      if (record.kind === Kind.file || record.kind === Kind.directory)
        versions.set(`attribute ${record.id}@${record.seq}`, noteOf(at));
    }
    return versions;
  });
}

function reach(tree: RecordedTree, replica: Replica, id: number): void {
  for (const entry of tree.store.list(id)) {
    replica.entries.set(`${id}/${entry.name}`, entry.id);
    replica.inodes.set(entry.id, describeInode(tree, entry.id) ?? '');
    reach(tree, replica, entry.id);
  }
}

/** Applies what the journal tells after the cursor; then what no name leads to any more is dropped. */
function replay(tree: RecordedTree, cursor: number, before: Replica): Replica {
  return tree.store.transaction(() => {
    const entries = new Map(before.entries);
    const inodes = new Map(before.inodes);
    for (const record of tree.store.journal(cursor)) {
      if (record.type === 'inode') {
        const described = describeInode(tree, record.id);
        if (described !== undefined) inodes.set(record.id, described);
      } else {
        const id = tree.store.entry(record.parent, record.name)?.id ?? 0;
        const key = `${record.parent}/${record.name}`;
        if (id === 0) entries.delete(key);
        else entries.set(key, id);
      }
    }
    const reached: Replica = { entries: new Map(), inodes: new Map([[rootId, inodes.get(rootId) ?? '']]) };
    const pending: number[] = [rootId];
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      for (const [key, child] of entries) {
        if (!key.startsWith(`${id}/`)) continue;
        reached.entries.set(key, child);
        reached.inodes.set(child, inodes.get(child) ?? 'unknown');
        pending.push(child);
      }
    }
    return reached;
  });
}
