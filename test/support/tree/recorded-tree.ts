// A real folder, recorded in this thread by the real event source, for tests that want to step through it.

import { mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type InodeId, Kind, rootId } from '../../../src/core/attributes.ts';
import type { Problem } from '../../../src/core/problem.ts';
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from '../../../src/kernel/constants.ts';
import type { ConditionEvent, EventSource, KernelEvent } from '../../../src/kernel/event-source.ts';
import { openEventSource } from '../../../src/kernel/open-event-source.ts';
import * as sys from '../../../src/kernel/sys.ts';
import { kindOf } from '../../../src/tree/attributes-of.ts';
import { Copies } from '../../../src/tree/copies.ts';
import { nameOf } from '../../../src/tree/name-of.ts';
import { Recorder, type RecorderOptions } from '../../../src/tree/recorder.ts';
import type { InodeRecord } from '../../../src/tree/records.ts';
import { admitRoot } from '../../../src/tree/source-check.ts';
import { TreeStore } from '../../../src/tree/store.ts';
import { databaseFile } from '../../../src/tree/store-tables.ts';
import { consistency } from './consistency.ts';

export interface RecordedTreeOptions extends Partial<RecorderOptions> {
  readonly monitor?: 'fanotify' | 'inotify';
  readonly trusted?: boolean;
  /** A folder to use; default a fresh one below the system's temporary folder. */
  readonly base?: string;
}

export class RecordedTree implements Disposable {
  readonly base: string;
  readonly root: string;
  readonly problems: Problem[] = [];
  readonly conditions: ConditionEvent[] = [];
  #options: RecordedTreeOptions;
  #rootFd = -1;
  #store: TreeStore | undefined;
  #source: EventSource | undefined;
  #recorder: Recorder | undefined;

  constructor(options: RecordedTreeOptions = {}) {
    this.#options = options;
    this.base = options.base ?? mkdtempSync(join(tmpdir(), 'fam-tree-'));
    this.root = join(this.base, 'root');
    mkdirSync(this.root, { recursive: true });
  }

  /** One that is recorded and at rest, with what `prepare` has put there. */
  static settled(
    options: RecordedTreeOptions,
    prepare: (at: (path: string) => string) => void,
  ): RecordedTree {
    const tree = new RecordedTree(options);
    prepare((path) => tree.at(path));
    tree.start();
    tree.settle();
    return tree;
  }

  /** The absolute path of one that is relative to the root. */
  at(path: string): string {
    return join(this.root, path);
  }

  get store(): TreeStore {
    if (this.#store === undefined) throw new Error('not started');
    return this.#store;
  }

  get recorder(): Recorder {
    if (this.#recorder === undefined) throw new Error('not started');
    return this.#recorder;
  }

  get source(): EventSource {
    if (this.#source === undefined) throw new Error('not started');
    return this.#source;
  }

  /** As if it had been watched for long after the last change: what has not changed in its times has not changed. */
  provenAll(): void {
    const later = Date.now() / 1000 + 3600;
    utimesSync(databaseFile(join(this.base, 'state')), later, later);
  }

  /** Opens and begins to scan; `settle` brings it to rest. */
  start(over: RecordedTreeOptions = {}): void {
    const options = { ...this.#options, ...over };
    this.#rootFd = sys.check(sys.openat(AT_FDCWD, this.root, O_RDONLY | O_DIRECTORY), 'open');
    this.#store = TreeStore.open(join(this.base, 'state'));
    this.#source = openEventSource({
      root: this.#rootFd,
      nameOf: nameOf(this.#store),
      ...(options.monitor === undefined ? {} : { monitor: options.monitor }),
    }).source;
    this.#recorder = new Recorder({
      onProblem: (problem) => this.problems.push(problem),
      onCondition: (condition) => this.conditions.push(condition),
      ...options,
      store: this.#store,
      rootFd: this.#rootFd,
      source: this.#source,
    });
    const isFirst = admitRoot(this.#store, this.#rootFd, this.root, options.trusted ?? false);
    this.#recorder.startScan(isFirst, options.trusted ?? false);
  }

  /**
   * One read of the kernel's queue and one step.
   * @param isHeard what of it is told; the rest is lost
   */
  turn(isHeard: (event: KernelEvent) => boolean = () => true): void {
    this.recorder.feed(this.source.read().filter(isHeard));
    this.recorder.step();
  }

  /** The least that a step can do, as if its time were over when it begins (`src/tree/pace.ts`). */
  shortStep(): void {
    this.recorder.step(-1e6);
  }

  /** Turns until nothing is left to record, files still being written included. */
  settle(isHeard?: (event: KernelEvent) => boolean): void {
    const deadline = performance.now() + 30_000;
    for (let quiet = 0; quiet < 2; ) {
      this.turn(isHeard);
      const { pendingUntil } = this.source;
      if (pendingUntil !== undefined) sys.poll([], Math.max(0, pendingUntil - performance.now()) + 1);
      const busy = this.recorder.busy || this.source.queued() > 0 || pendingUntil !== undefined;
      quiet = busy ? 0 : quiet + 1;
      if (!busy) this.recorder.settleAll(performance.now());
      if (performance.now() > deadline) throw new Error('the recorder does not come to rest');
    }
  }

  /** Turns until what has happened is recorded; what is being written is not settled. */
  record(): void {
    do this.turn();
    while (this.recorder.busy || this.source.queued() > 0);
  }

  /** Begins a round that takes several steps: a folder with many names appears. */
  openLongRound(): void {
    const aside = join(this.base, 'large');
    mkdirSync(aside);
    for (let n = 0; n < 6000; n++) writeFileSync(join(aside, String(n)), '');
    renameSync(aside, join(this.root, 'large'));
    this.turn();
  }

  /** What a path relative to the root is recorded as; 0: nothing. */
  idOf(path: string): InodeId {
    return this.store.transaction(() => this.store.idAt(path) ?? 0);
  }

  recordOf(path: string): InodeRecord | undefined {
    const id = this.idOf(path);
    return this.store.transaction(() => this.store.inode(id));
  }

  stop(): void {
    this.#recorder?.close();
    this.#source?.close();
    this.#store?.close();
    if (this.#rootFd >= 0) sys.close(this.#rootFd);
    this.#recorder = undefined;
    this.#source = undefined;
    this.#store = undefined;
    this.#rootFd = -1;
  }

  [Symbol.dispose](): void {
    this.stop();
    if (this.#options.base === undefined) rmSync(this.base, { recursive: true, force: true });
  }

  /** Everything that differs between the records and the folder, or between the records themselves; [] is good. */
  differences(): string[] {
    return this.store.transaction(() => [...this.#againstFolder(), ...consistency(this.store)]);
  }

  #againstFolder(): string[] {
    const out: string[] = [];
    const stat = new sys.Stat();
    const copies = new Copies(this.#rootFd);
    const idOf = new Map<string, number>();
    const walk = (fd: number, id: number, path: string): void => {
      sys.fstat(fd, stat);
      const own = this.store.inode(id);
      if (own?.mtimeNs !== stat.mtimeNs || own.mode !== stat.mode)
        out.push(`${path}/: attributes of the folder`);
      const seen = new Set<string>();
      const listed = sys.check(sys.openat(fd, '.', O_RDONLY | O_DIRECTORY), 'open');
      const found = sys.getdents(listed);
      if (typeof found === 'number') throw new Error(`getdents ${path}: ${found}`);
      for (const { name } of found) {
        sys.check(sys.statx(fd, name, stat), 'stat');
        stat.dev = copies.deviceOf(stat);
        const kind = kindOf(stat);
        const where = `${path}/${name}`;
        const entry = this.store.entry(id, name);
        if (kind === undefined) {
          if (entry !== undefined && entry.id !== 0) out.push(`${where}: a socket is recorded`);
          continue;
        }
        seen.add(name);
        if (entry === undefined || entry.id === 0) {
          out.push(`${where}: not recorded`);
          continue;
        }
        const record = this.store.inode(entry.id);
        if (record === undefined) {
          out.push(`${where}: entry without inode ${entry.id}`);
          continue;
        }
        const expected = {
          kind,
          mode: stat.mode,
          uid: stat.uid,
          gid: stat.gid,
          size: kind === Kind.file ? stat.size : 0,
          mtimeS: stat.mtimeS,
          mtimeNs: stat.mtimeNs,
          dev: stat.dev,
          inoHigh: stat.inoHigh,
          inoLow: stat.inoLow,
          links: kind === Kind.directory ? 1 : record.links,
        };
        for (const [key, value] of Object.entries(expected)) {
          const recorded: unknown = Reflect.get(record, key);
          if (recorded !== value) out.push(`${where}: ${key} is ${value}, recorded ${String(recorded)}`);
        }
        const object = `${stat.dev}:${stat.inoHigh}:${stat.inoLow}`;
        const other = idOf.get(object);
        if (other !== undefined && other !== entry.id)
          out.push(`${where}: one inode, ids ${other} and ${entry.id}`);
        idOf.set(object, entry.id);
        if (kind === Kind.symlink && sys.readlinkat(fd, name) !== record.target) out.push(`${where}: target`);
        if (kind === Kind.directory) {
          if (!record.listed) out.push(`${where}: not listed`);
          const child = sys.check(sys.openat(fd, name, O_RDONLY | O_DIRECTORY), 'open');
          walk(child, entry.id, where);
          sys.close(child);
        }
      }
      sys.close(listed);
      for (const entry of this.store.list(id))
        if (!seen.has(entry.name)) out.push(`${path}/${entry.name}: recorded, gone`);
    };
    walk(this.#rootFd, rootId, '');
    return out;
  }
}
