import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type InodeId, Kind, rootId } from '../core/attributes.ts';
import { bytesOfText } from '../core/name.ts';
import { socketpair } from '../kernel/sys.ts';
import { decodeToAgent, encode } from '../wire/codec.ts';
import type { Link } from '../wire/link.ts';
import { inlineMaxBytes, type ReplicaState, type ToAgent, type ToSource } from '../wire/messages.ts';
import { linkOver } from '../wire/pipe-link.ts';
import { ReaderThread, type SessionEnd } from './reader-thread.ts';
import { ReadingTurn } from './reading-turn.ts';
import type { SessionEvent, SessionOptions } from './session.ts';
import { TreeThread } from './tree-thread.ts';

/** A replica without a disk: keeps names and contents as the messages say, and acks at once. */
class PaperReplica {
  readonly messages: ToAgent[] = [];
  readonly events: SessionEvent[] = [];
  readonly contents = new Map<InodeId, string>();
  readonly #staged = new Map<InodeId, Buffer[]>();
  readonly entries = new Map<string, InodeId>();
  readonly #reader: ReaderThread;
  readonly #state: ReplicaState | null;
  readonly #empty: boolean;
  #session = 0;
  #link: Link | undefined;
  #consumed = 0;
  #tellEnd: (end: SessionEnd) => void = () => {};
  readonly ended = new Promise<SessionEnd>((resolve) => {
    this.#tellEnd = resolve;
  });
  cursor = 0;

  constructor(reader: ReaderThread, state: ReplicaState | null, empty: boolean) {
    this.#reader = reader;
    this.#state = state;
    this.#empty = empty;
  }

  connect(options: Partial<SessionOptions> = {}): void {
    const [inputFd, theirOutputFd] = pair();
    const [outputFd, theirInputFd] = pair();
    this.#link = linkOver({ inputFd: theirInputFd, outputFd: theirOutputFd, received: new Uint8Array() });
    this.#link.onFrame = (frame) => this.#receive(frame);
    this.#session = this.#reader.attach(
      { version: 'test', init: false, durability: 'none', hotFileMaxDelayMs: 2000, ...options },
      { inputFd, outputFd, received: new Uint8Array() },
      {
        event: (event) => this.events.push(event),
        ended: (end) => this.#tellEnd(end),
      },
    );
    const hello = { protocol: 1, version: 'test', root: '/r', pid: 1, lacks: [] };
    this.send({ type: 'hello', ...hello, empty: this.#empty, state: this.#state });
  }

  send(message: ToSource): void {
    this.#link?.send(encode(message));
  }

  sendBytes(frame: Uint8Array): void {
    this.#link?.send(frame);
  }

  /** The agent's process ends. */
  vanish(): void {
    this.#link?.close(false);
  }

  async disconnect(graceful = true): Promise<void> {
    this.#reader.close(this.#session, graceful);
    await this.ended;
  }

  #receive(frame: Uint8Array): void {
    const message = decodeToAgent(frame);
    this.messages.push(message);
    this.#consumed += frame.length;
    switch (message.type) {
      case 'listing':
        for (const entry of message.entries) {
          this.entries.set(`${message.directory}/${entry.name}`, entry.id);
          if (entry.content.from === 'inline') this.contents.set(entry.id, text(entry.content.bytes));
        }
        this.send({ type: 'wants', directory: message.directory, contents: [], missing: [] });
        break;
      case 'reconciled':
        this.cursor = message.seq;
        this.ack(true);
        break;
      case 'base-wanted':
        this.send({
          type: 'base',
          id: message.id,
          attempt: message.attempt,
          size: 0,
          version: new Uint8Array(),
        });
        break;
      case 'stream':
        // A file that was seen before its writer had finished is sent anew.
        if (message.offset === 0) this.#staged.delete(message.id);
        this.#staged.set(message.id, [...(this.#staged.get(message.id) ?? []), Buffer.from(message.bytes)]);
        this.ack(false);
        break;
      case 'batch':
        for (const change of message.changes) {
          if (change.type === 'entry') this.entries.set(`${change.parent}/${change.name}`, change.id);
          else if (change.type === 'removed') this.entries.delete(`${change.parent}/${change.name}`);
          else if (change.type === 'inode' && change.content.from === 'inline') {
            this.contents.set(change.id, text(change.content.bytes));
          } else if (change.type === 'inode' && change.content.from === 'staged') {
            this.contents.set(change.id, Buffer.concat(this.#staged.get(change.id) ?? []).toString('latin1'));
          }
        }
        this.cursor = message.to;
        this.ack(false);
        break;
      case 'bye':
        this.#link?.close(true);
        break;
      default:
        break;
    }
  }

  ack(reconciled: boolean): void {
    const { cursor } = this;
    this.send({
      type: 'ack',
      applied: cursor,
      durable: cursor,
      files: 0,
      bytes: 0,
      consumed: this.#consumed,
      reconciled,
    });
  }

  at(...names: string[]): InodeId | undefined {
    let id: InodeId | undefined = rootId;
    for (const name of names) id = id === undefined ? undefined : this.entries.get(`${id}/${name}`);
    return id;
  }

  contentAt(...names: string[]): string | undefined {
    const id = this.at(...names);
    return id === undefined ? undefined : this.contents.get(id);
  }
}

function pair(): readonly [number, number] {
  const made = socketpair();
  if (typeof made === 'number') throw new Error(`socketpair: ${made}`);
  return made;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

let folder = '';
let root = '';
let tree: TreeThread;
let reader: ReaderThread;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fam-reader-'));
  root = join(folder, 'root');
  mkdirSync(join(root, 'a', 'b'), { recursive: true });
  writeFileSync(join(root, 'a', 'b', 'page'), 'one');
  const stateDir = join(folder, 'state');
  const { port1: readerPort, port2: treePort } = new MessageChannel();
  const readingTurn = new ReadingTurn().memory;
  const options = { root: bytesOfText(root), stateDir, settleMs: 20, readerPort, readingTurn };
  tree = await TreeThread.start(options, () => {});
  reader = new ReaderThread({ root: bytesOfText(root), stateDir, treePort, readingTurn }, (error) => {
    throw error;
  });
});

afterEach(async () => {
  await reader.stop();
  await tree.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function until(condition: () => boolean): Promise<void> {
  await expect.poll(condition, { timeout: 10_000, interval: 5 }).toBe(true);
}

test('Session brings an empty replica everything, then each change', async () => {
  const replica = new PaperReplica(reader, null, true);
  replica.connect();
  await until(() => replica.messages.some((message) => message.type === 'reconciled'));
  expect(replica.contentAt('a', 'b', 'page')).toBe('one');

  writeFileSync(join(root, 'a', 'new'), 'two');
  await until(() => replica.contentAt('a', 'new') === 'two');

  const before = replica.messages.length;
  renameSync(join(root, 'a'), join(root, 'c'));
  await until(() => replica.contentAt('c', 'b', 'page') === 'one' && replica.at('a') === undefined);
  const contents = replica.messages
    .slice(before)
    .flatMap((message) => (message.type === 'batch' ? message.changes : []))
    .filter((change) => change.type === 'inode' && change.content.from !== 'none')
    // That it was closed may have been told only now.
    .filter((change) => change.type === 'inode' && change.id !== replica.at('c', 'new'));
  expect(contents, 'a rename brings no content').toEqual([]);
});

test('Session resumes after its cursor and sends nothing twice', async () => {
  const first = new PaperReplica(reader, null, true);
  first.connect();
  await until(() => first.messages.some((message) => message.type === 'reconciled'));
  await first.disconnect();
  writeFileSync(join(root, 'while-away'), 'x');
  await tree.barrier();
  const { sourceId, epoch } = tree;
  const again = new PaperReplica(reader, { sourceId, epoch, cursor: first.cursor, pending: [] }, false);
  again.connect();
  await until(() => again.contentAt('while-away') === 'x');
  expect(again.messages.filter((message) => message.type === 'listing')).toEqual([]);
  expect([...again.contents.values()]).toEqual(['x']);
});

test('Session streams what is large and names it when it is complete', async () => {
  const replica = new PaperReplica(reader, null, true);
  replica.connect();
  await until(() => replica.messages.some((message) => message.type === 'reconciled'));
  const large = 'abcdefgh'.repeat(inlineMaxBytes);
  writeFileSync(join(root, 'large'), large);
  await until(() => replica.contentAt('large') === large);
  const named = replica.messages.findIndex(
    (message) =>
      message.type === 'batch' &&
      message.changes.some((change) => change.type === 'entry' && change.name === 'large'),
  );
  const lastPiece = replica.messages.findIndex((message) => message.type === 'stream' && message.last);
  expect(named).toBeGreaterThan(lastPiece);
  appendFileSync(join(root, 'large'), 'tail');
  await until(() => replica.contentAt('large')?.endsWith('tail') === true);
});

test('Session lists again what a replica says that it does not know', async () => {
  const replica = new PaperReplica(reader, null, true);
  replica.connect();
  await until(() => replica.messages.some((message) => message.type === 'reconciled'));
  const directory = replica.at('a');
  const page = replica.at('a', 'b', 'page');
  if (directory === undefined || page === undefined) throw new Error('not listed');
  const listed = replica.messages.length;
  replica.contents.clear();
  replica.send({ type: 'wants', directory: 0, contents: [page], missing: [directory] });
  await until(() => replica.contents.get(page) === 'one');
  await until(() =>
    replica.messages
      .slice(listed)
      .some((message) => message.type === 'listing' && message.directory === directory),
  );
  const kinds = replica.messages
    .flatMap((message) => (message.type === 'listing' ? message.entries : []))
    .map((entry) => entry.attributes.kind);
  expect(kinds).toContain(Kind.directory);
});

test('ReaderThread ends a link in order: bye, what the agent still says, and then the word that it has ended', async () => {
  const replica = new PaperReplica(reader, null, true);
  replica.connect();
  await until(() => replica.messages.some((message) => message.type === 'reconciled'));
  await replica.disconnect();
  expect(await replica.ended).toEqual({ how: 'asked', error: undefined });
  expect(replica.messages.at(-1)).toEqual({ type: 'bye' });
});

test('ReaderThread tells an agent that goes from one that says what cannot be said', async () => {
  const gone = new PaperReplica(reader, null, true);
  gone.connect();
  await until(() => gone.messages.some((message) => message.type === 'welcome'));
  gone.vanish();
  expect((await gone.ended).how).toBe('lost');

  const odd = new PaperReplica(reader, null, true);
  odd.connect();
  odd.sendBytes(Uint8Array.of(250));
  const { how, error } = await odd.ended;
  expect(how).toBe('cut');
  expect(error).toMatchObject({ code: 'PROTOCOL', retryable: false });
});

test('ReaderThread ends the one session in which something happens that nobody has thought of', async () => {
  const other = new PaperReplica(reader, null, true);
  other.connect();
  await until(() => other.messages.some((message) => message.type === 'reconciled'));

  const odd = new PaperReplica(reader, null, true);
  // Nobody can write this down.
  const endless: unknown[] = [];
  endless.push(endless);
  odd.connect({ version: endless as never });
  const { how, error } = await odd.ended;
  expect(how).toBe('cut');
  expect(error).toMatchObject({ code: 'INTERNAL', retryable: true });
  expect(error?.message).toMatch(/^internal error: .*Error: .*\n +at /);

  writeFileSync(join(root, 'page'), 'two');
  await until(() => other.contentAt('page') === 'two');
});
