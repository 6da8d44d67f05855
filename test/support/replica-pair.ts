// A source and a replica in one thread, nothing between them but encoded frames: every step is in the test's hands. The
// source's tree is a real directory, brought up to date by scans; the replica is the real agent below its threads.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { rootId } from '../../src/core/attributes.ts';
import { bytesOfText, type Name } from '../../src/core/name.ts';
import type { Problem } from '../../src/core/problem.ts';
import { Hint } from '../../src/kernel/event-source.ts';
import { AT_FDCWD, check, close, O_DIRECTORY, O_RDONLY, openat, syncfs } from '../../src/kernel/sys.ts';
import { type Home, openHome } from '../../src/replica/home.ts';
import { ReplicaSession } from '../../src/replica/session.ts';
import { BlockLedger } from '../../src/source/block-ledger.ts';
import { Contents } from '../../src/source/contents.ts';
import { Session, type SessionEvent } from '../../src/source/session.ts';
import { hostPlaceOf } from '../../src/tree/host-place.ts';
import { Recorder } from '../../src/tree/recorder.ts';
import { admitRoot } from '../../src/tree/source-check.ts';
import { sourceIdOf } from '../../src/tree/source-id.ts';
import { TreeStore } from '../../src/tree/store.ts';
import { decodeToAgent, decodeToSource, encode } from '../../src/wire/codec.ts';
import type { ToAgent, ToSource } from '../../src/wire/messages.ts';

/** Thrown by a step hook: the agent is gone from here on, as after SIGKILL. */
export class Killed extends Error {}

export interface PairOptions {
  readonly init?: boolean;
  readonly trusted?: boolean;
  /** The source says which folder its root is. */
  readonly saysRoot?: boolean;
  readonly durability?: 'none' | 'batch' | 'file';
  /** Called after the agent has taken a piece of a stream, with how many it has taken; may throw `Killed`. */
  readonly onPiece?: (pieces: number) => void;
  /** Called after the agent has taken a listing, with how many it has taken; may throw `Killed`. */
  readonly onListing?: (listings: number) => void;
  /** Called when the agent has told what it has of a content that is to be streamed. */
  readonly onBase?: () => void;
}

export interface Connection {
  readonly events: readonly SessionEvent[];
  readonly problems: readonly Problem[];
  /** Messages by type. */
  readonly counts: ReadonlyMap<string, number>;
  /** Bytes of content that the source sent, and of all that it sent. */
  readonly contentBytes: number;
  readonly sentBytes: number;
}

export class ReplicaPair implements Disposable {
  readonly source: string;
  readonly replica: string;
  readonly #folder: string;
  readonly #store: TreeStore;
  readonly #rootFd: number;
  readonly #recorder: Recorder;
  readonly #contents: Contents;
  readonly #ledger: BlockLedger;

  constructor(folder: string, replicaFolder = folder) {
    this.#folder = folder;
    this.source = join(folder, 'source');
    this.replica = join(replicaFolder, 'replica');
    const state = join(folder, 'source-state');
    mkdirSync(this.source, { recursive: true });
    mkdirSync(state, { recursive: true });
    const root = bytesOfText(this.source);
    this.#rootFd = check(openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY), 'open');
    this.#store = TreeStore.open(state, { sourceId: sourceIdOf(root) });
    const source = {
      add: () => 0,
      remove: () => undefined,
      addFile: () => false,
      removeFile: () => undefined,
      queued: () => 0,
      isDrained: true,
    };
    this.#recorder = new Recorder({ store: this.#store, rootFd: this.#rootFd, source });
    const isFirst = admitRoot(this.#store, this.#rootFd, root, true);
    this.#recorder.startScan(isFirst, true);
    this.#contents = new Contents(this.#store, root);
    this.#ledger = new BlockLedger(state, this.#store.epoch);
    this.#finishScan();
  }

  get folder(): string {
    return this.#folder;
  }

  /** Brings the source's records up to its tree. */
  record(): void {
    this.#recorder.rescan(rootId);
    this.#finishScan();
  }

  /** Forgets what was deleted, as a source does when it has been long ago. */
  prune(): void {
    this.#store.prune(this.#store.head);
    this.#store.refresh();
  }

  /** Brings the records up to a file at the top whose attributes have changed, as the kernel's hint does. */
  recordAttributes(name: Name): void {
    this.#feed(name, Hint.attributes);
    this.#finishScan();
  }

  /** The same for one that was written to and closed. */
  recordWritten(name: Name): void {
    this.#feed(name, Hint.modified | Hint.closedWrite);
    this.#finishScan();
  }

  /** The same for a folder at the top that was renamed: nobody looks at anything else. */
  recordRename(from: Name, to: Name): void {
    this.#recorder.feed([
      {
        type: 'rename',
        fromDirectory: rootId,
        fromName: from,
        toDirectory: rootId,
        toName: to,
        isDirectory: true,
        pid: 0,
      },
    ]);
    this.#finishScan();
  }

  #feed(name: Name, hints: number): void {
    this.#recorder.feed([{ type: 'name', directory: rootId, name, hints, pid: 0 }]);
  }

  #finishScan(): void {
    while (this.#recorder.busy || this.#recorder.scanning) this.#recorder.step();
    this.#store.refresh();
  }

  /**
   * Connects, carries frames both ways until nothing is left to say, and ends in order.
   * @param step the agent's step hook; what it throws ends the agent like SIGKILL, and is thrown on
   * @param during called once when everything is quiet for the first time; may change the source and return true to go on
   */
  connect(options: PairOptions = {}, step?: (name: string) => void, during?: () => boolean): Connection {
    const home = openHome(this.replica);
    let store: TreeStore | undefined;
    try {
      store = TreeStore.open(home.state, { journal: false });
      return this.#carry(home, store, options, step, during);
    } finally {
      store?.close();
      home.close();
    }
  }

  #carry(
    home: Home,
    store: TreeStore,
    options: PairOptions,
    step: ((name: string) => void) | undefined,
    during: (() => boolean) | undefined,
  ): Connection {
    const toAgent: Uint8Array[] = [];
    const toSource: Uint8Array[] = [];
    const events: SessionEvent[] = [];
    const problems: Problem[] = [];
    const counts = new Map<string, number>();
    let contentBytes = 0;
    let sentBytes = 0;
    const count = (message: ToAgent | ToSource): void => {
      counts.set(message.type, (counts.get(message.type) ?? 0) + 1);
      if (message.type === 'stream') contentBytes += message.bytes.length;
      else if (message.type === 'contents') {
        for (const { content } of message.files)
          if (content.from === 'inline') contentBytes += content.bytes.length;
      } else if (message.type === 'batch') {
        for (const change of message.changes) {
          if (change.type === 'inode' && change.content.from === 'inline')
            contentBytes += change.content.bytes.length;
        }
      } else if (message.type === 'listing') {
        for (const { content } of message.entries)
          if (content.from === 'inline') contentBytes += content.bytes.length;
      }
    };
    const session = new Session(
      this.#store,
      this.#contents,
      { batch: undefined, ledger: this.#ledger, scanning: false },
      {
        send: (message) => {
          count(message);
          const frame = encode(message);
          sentBytes += frame.length;
          toAgent.push(frame);
          return frame;
        },
        sendFrame: (frame) => {
          toAgent.push(frame);
        },
        event: (event) => {
          events.push(event);
          if (event.type === 'problems') problems.push(...event.problems);
        },
      },
      {
        version: 'test',
        init: options.init ?? false,
        durability: options.durability ?? 'none',
        trusted: options.trusted,
        place: options.saysRoot === true ? hostPlaceOf(this.source) : undefined,
        hotFileMaxDelayMs: 2000,
      },
    );
    let agent: ReplicaSession | undefined;
    try {
      const made = new ReplicaSession(home, store, {
        version: 'test',
        send: (message) => {
          count(message);
          toSource.push(encode(message));
          if (message.type === 'base') options.onBase?.();
        },
        sync: (cursor) => {
          check(syncfs(home.rootFd), 'sync');
          setImmediate(() => undefined);
          synced.push(cursor);
        },
        ...(step === undefined ? {} : { step }),
      });
      const synced: number[] = [];
      agent = made;
      toSource.push(encode(made.hello()));
      let changed = during;
      let pieces = 0;
      let listings = 0;
      for (;;) {
        let moved = false;
        for (const frame of toSource.splice(0)) {
          session.receive(decodeToSource(frame));
          moved = true;
        }
        while (session.pump(performance.now())) moved = true;
        for (const frame of toAgent.splice(0)) {
          const message = decodeToAgent(frame);
          made.receive(message, frame.length);
          if (message.type === 'stream') options.onPiece?.(++pieces);
          if (message.type === 'listing') options.onListing?.(++listings);
          moved = true;
        }
        for (const cursor of synced.splice(0)) made.synced(cursor);
        made.flush(true);
        while (made.work()) moved = true;
        if (moved || toSource.length > 0) continue;
        if (changed === undefined || !changed()) break;
        changed = undefined;
      }
      const failed = events.find((event) => event.type === 'failed');
      if (failed !== undefined) throw new Error(JSON.stringify(failed));
      return { events, problems, counts, contentBytes, sentBytes };
    } finally {
      session.close();
      agent?.close();
    }
  }

  /** Connects, and kills the agent at its nth step of whatever kind; false: it ended before that. */
  connectKilledAt(n: number): boolean {
    let left = n;
    try {
      this.connect({}, () => {
        if (--left === 0) throw new Killed();
      });
      return false;
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      return true;
    }
  }

  close(): void {
    this.#recorder.close();
    this.#contents.closeAll();
    this.#ledger.close();
    this.#store.close();
    close(this.#rootFd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
