// Random histories of one folder: whatever happens, and whenever somebody looks, the records equal it in the end, and the journal tells all.

import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
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
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type MountedFileSystem, mountFileSystem, whyNotMountable } from '../../test/contract/filesystems.ts';
import { noteOf, setNote } from '../../test/support/set-note.ts';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { Kind, rootId } from '../core/attributes.ts';
import { AT_FDCWD, RENAME_EXCHANGE } from '../kernel/constants.ts';
import * as sys from '../kernel/sys.ts';

// A short step: one hint, one folder to open, or two names of one to compare.
vi.mock('./pace.ts', () => ({ stepMs: 10, hintsAtOnce: 1, namesAtOnce: 2 }));

const whyNot = whyNotMountable('overlay');

describe.each([
  { title: 'fanotify', monitor: 'fanotify', onOverlay: false },
  { title: 'inotify', monitor: 'inotify', onOverlay: false },
  // There directories cannot be found by handle.
  {
    title: `inotify on overlayfs${whyNot === undefined ? '' : ` (skipped: ${whyNot})`}`,
    monitor: 'inotify',
    onOverlay: true,
  },
] as const)('Recorder with $title', ({ monitor, onOverlay }) => {
  let mounted: MountedFileSystem | undefined;
  const isSkipped = onOverlay && whyNot !== undefined;
  beforeAll(() => {
    if (onOverlay && !isSkipped) mounted = mountFileSystem('overlay');
  });
  afterAll(() => mounted?.unmount());

  test.skipIf(isSkipped)('any history ends in records that equal the folder', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 60, size: 'max' }), (operations) => {
        const base = mkdtempSync(join(mounted?.path ?? tmpdir(), 'fam-history-'));
        using _ = { [Symbol.dispose]: () => rmSync(base, { recursive: true, force: true }) };
        using tree = RecordedTree.settled({ monitor, base }, (at) => {
          mkdirSync(at('a/b'), { recursive: true });
          writeFileSync(at('a/f'), 'x');
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
          else if (op.kind === 'shortStep') tree.shortStep();
          else if (op.kind === 'compare') tree.recorder.rescan(rootId);
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
type Operation =
  | Change
  | Writing
  | { kind: 'turn' | 'feed' | 'step' | 'shortStep' | 'settle' | 'compare' | 'restart' };

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
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('shortStep') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('restart', 'compare') }) },
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
