import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { type Attributes, Kind, rootId } from '../core/attributes.ts';
import type { Change } from '../core/change.ts';
import { asName, type Name } from '../core/name.ts';
import { socketpair } from '../kernel/sys.ts';
import { decodeToSource, encode } from '../wire/codec.ts';
import { FrameOutput } from '../wire/frame-output.ts';
import { aliveFrame } from '../wire/frame-type.ts';
import {
  type Ack,
  type Failed,
  type Hello,
  heartbeatMs,
  type ToAgent,
  type ToSource,
  type Welcome,
} from '../wire/messages.ts';
import { runAgent } from './agent.ts';

function name(text: string): Name {
  const made = asName(text);
  if (made === undefined) throw new Error(text);
  return made;
}

const file: Attributes = {
  kind: Kind.file,
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 4,
  mtimeS: 1_700_000_000,
  mtimeNs: 123_456_789,
  rdevMajor: 0,
  rdevMinor: 0,
  target: '',
  xattrs: undefined,
};
const directory: Attributes = { ...file, kind: Kind.directory, mode: 0o755, size: 0 };

const welcome: Welcome = {
  type: 'welcome',
  protocol: 1,
  version: 'test',
  sourceId: 'a source',
  epoch: 1,
  mode: 'reconcile',
  init: false,
  durability: 'none',
};

/** A source by hand at the other end of a pipe. */
function connect(root: string) {
  const pair = socketpair();
  if (typeof pair === 'number') throw new Error(`socketpair: ${pair}`);
  const [inputFd, outputFd] = pair;
  const toAgent = new Socket({ fd: outputFd, readable: false, writable: true });
  const output = new FrameOutput(toAgent);
  const stop = new AbortController();
  const received: ToSource[] = [];
  const link = {
    inputFd,
    send: (frame: Uint8Array): boolean => received.push(decodeToSource(frame)) > 0,
    broken: new Promise<void>(() => {}),
    close: () => Promise.resolve(),
  };
  // An agent that has ended reads no more.
  toAgent.on('error', () => {});
  const exit = runAgent(link, { root, version: 'test', signal: stop.signal }).finally(() => {
    fs.closeSync(inputFd);
    output.destroy();
  });
  onTestFinished(async () => {
    stop.abort();
    await exit;
  });
  return {
    root,
    received,
    exit,
    stop,
    cut: () => output.flush(1000),
    say: (message: ToAgent): void => void output.send(encode(message)),
    sayAlive: (): void => void output.send(aliveFrame),
    /** The first message of a type, from the nth on. */
    hear: <T extends ToSource['type']>(type: T, from = 0): Promise<Extract<ToSource, { type: T }>> =>
      waitFor(
        () =>
          received
            .slice(from)
            .find((message): message is Extract<ToSource, { type: T }> => message.type === type),
        { describe: () => `${type} among ${JSON.stringify(received)}`, intervalMs: 1 },
      ),
  };
}

async function firstContact(
  peer: ReturnType<typeof connect>,
  options: Partial<Welcome> = {},
): Promise<Hello> {
  const hello = await peer.hear('hello');
  peer.say({ ...welcome, ...options });
  peer.say({ type: 'listing', directory: rootId, first: true, last: true, entries: [] });
  await peer.hear('wants');
  peer.say({ type: 'reconciled', seq: 10 });
  await waitFor(() => peer.received.some((message) => message.type === 'ack' && message.applied === 10), {
    describe: 'the ack of reconciled',
  });
  return hello;
}

function creation(id: number, text: string): Change[] {
  const bytes = Buffer.from('data');
  return [
    { type: 'inode', id, attributes: file, contentSeq: id, content: { from: 'inline', bytes } },
    { type: 'entry', parent: rootId, name: name(text), id, links: 1 },
  ];
}

/** This source does not send the root's own attributes, which follow first contact. */
const owedRoot = { id: rootId, contentSeq: 0, received: 0 };

const newRoot = (): string => join(tempFolder('fam-agent', '/dev/shm'), 'replica');

describe('runAgent', () => {
  test('says hello, follows, acknowledges, and ends with 0 on bye', async () => {
    const root = newRoot();
    const peer = connect(root);
    const hello = await firstContact(peer);
    expect(hello).toMatchObject({ empty: true, state: null, root });
    const from = peer.received.length;
    peer.say({ type: 'batch', from: 10, to: 12, complete: true, dead: [], changes: creation(11, 'a') });
    const ack: Ack = await peer.hear('ack', from);
    expect(ack).toMatchObject({ applied: 12, files: 1, bytes: 4, reconciled: false });
    expect(fs.readFileSync(join(root, 'a'), 'utf8')).toBe('data');
    peer.say({ type: 'bye' });
    expect(await peer.exit).toBe(0);

    const again = connect(root);
    expect((await again.hear('hello')).state).toEqual({
      sourceId: 'a source',
      epoch: 1,
      cursor: 12,
      pending: [owedRoot],
      rules: '',
    });
  });

  test('keeps what has been received of a stream when the link breaks', async () => {
    const root = newRoot();
    const peer = connect(root);
    await firstContact(peer);
    const from = peer.received.length;
    peer.say({
      type: 'batch',
      from: 10,
      to: 12,
      complete: true,
      dead: [],
      changes: [{ type: 'pending', id: 11 }],
    });
    peer.say({
      type: 'stream',
      id: 11,
      contentSeq: 12,
      offset: 0,
      total: 300_000,
      last: false,
      hole: 0,
      copy: 0,
      bytes: Buffer.alloc(100_000, 'x'),
    });
    await waitFor(() => peer.received.slice(from).some((m) => m.type === 'ack' && m.consumed > 100_000), {
      describe: 'the stream is consumed',
    });
    await peer.cut();
    expect(await peer.exit).toBe(0);

    const again = connect(root);
    const { state } = await again.hear('hello');
    expect(state?.pending).toEqual([owedRoot, { id: 11, contentSeq: 12, received: 100_000 }]);
    again.say({ ...welcome, mode: 'resume' });
    again.say({
      type: 'stream',
      id: 11,
      contentSeq: 12,
      offset: 100_000,
      total: 300_000,
      last: false,
      hole: 150_000,
      copy: 0,
      bytes: Buffer.alloc(0),
    });
    again.say({
      type: 'stream',
      id: 11,
      contentSeq: 12,
      offset: 250_000,
      total: 300_000,
      last: true,
      hole: 0,
      copy: 0,
      bytes: Buffer.alloc(50_000, 'y'),
    });
    const attributes = { ...file, size: 300_000 };
    again.say({
      type: 'batch',
      from: 12,
      to: 12,
      complete: true,
      dead: [],
      changes: [
        { type: 'inode', id: 11, attributes, contentSeq: 12, content: { from: 'staged' } },
        { type: 'entry', parent: rootId, name: name('large'), id: 11, links: 1 },
      ],
    });
    await waitFor(() => fs.existsSync(join(root, 'large')), { describe: 'the file appears' });
    const expected = Buffer.concat([
      Buffer.alloc(100_000, 'x'),
      Buffer.alloc(150_000),
      Buffer.alloc(50_000, 'y'),
    ]);
    expect(fs.readFileSync(join(root, 'large')).equals(expected)).toBe(true);
    expect(fs.statSync(join(root, 'large')).blocks * 512).toBeLessThan(200_000);
  });

  test('refuses another source and an older epoch, unless told to begin anew', async () => {
    const root = newRoot();
    const peer = connect(root);
    await firstContact(peer, { epoch: 5 });
    peer.say({ type: 'bye' });
    await peer.exit;
    const refusals: Partial<Welcome>[] = [{ sourceId: 'another' }, { epoch: 4 }];
    for (const other of refusals) {
      const refused = connect(root);
      await refused.hear('hello');
      refused.say({ ...welcome, ...other });
      const failed: Failed = await refused.hear('failed');
      expect(failed).toMatchObject({ code: 'REPLICA_FENCED', retryable: false });
      expect(await refused.exit).toBe(34);
    }
    await firstContact(connect(root), { sourceId: 'another', init: true });
  });

  test('waits for a predecessor that still holds the lock', async () => {
    const root = newRoot();
    const first = connect(root);
    await firstContact(first);
    const second = connect(root);
    first.stop.abort();
    expect(await first.exit).toBe(0);
    expect((await second.hear('hello')).state?.cursor).toBe(10);
  });

  test('says that it is alive while the applier is busy', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const peer = connect(newRoot());
    await firstContact(peer);
    const changes: Change[] = [];
    for (let id = 11; id < 5011; id++) changes.push(...creation(id, `f${id}`));
    const from = peer.received.length;
    peer.say({ type: 'batch', from: 10, to: 5011, complete: true, dead: [], changes });
    await waitFor(() => fs.readdirSync(peer.root).length > 0, { describe: 'a first file', intervalMs: 1 });
    vi.advanceTimersByTime(heartbeatMs);
    await waitFor(() => peer.received.slice(from).some((m) => m.type === 'ack' && m.applied === 5011), {
      describe: 'the batch is applied',
    });
    const types = peer.received.slice(from).map((message) => message.type);
    expect(types.indexOf('alive')).toBeGreaterThan(-1);
    expect(types.indexOf('alive')).toBeLessThan(types.lastIndexOf('ack'));
  });

  test('ends when a source that said that it would beat is silent, and not before', async () => {
    const peer = connect(newRoot());
    const { takesAlive } = await firstContact(peer, { aliveMs: 100 });
    expect(takesAlive).toBe(true);
    let isOver = false;
    void peer.exit.then(() => {
      isOver = true;
    });
    let beats = 0;
    const beating = setInterval(() => {
      beats += 1;
      peer.sayAlive();
    }, 20);
    await waitFor(() => beats >= 40, { describe: 'twice the time after which it gives up' });
    expect(isOver).toBe(false);
    peer.say({ type: 'batch', from: 10, to: 12, complete: true, dead: [], changes: creation(11, 'a') });
    await waitFor(() => peer.received.some((m) => m.type === 'ack' && m.applied === 12), {
      describe: 'the batch is applied',
    });
    clearInterval(beating);
    expect(await peer.exit).toBe(0);
  });

  test('ends when its root is replaced or removed, so that the next one opens what is there', async () => {
    const root = newRoot();
    fs.mkdirSync(root);
    const moved = connect(root);
    await firstContact(moved);
    const beats = setInterval(() => moved.sayAlive(), 50);
    onTestFinished(() => clearInterval(beats));
    fs.renameSync(root, `${root}.old`);
    fs.mkdirSync(root);
    const gone = { code: 'DESTINATION_UNWRITABLE', retryable: true };
    expect(await moved.hear('failed')).toMatchObject(gone);
    await moved.exit;
    const removed = connect(root);
    expect(await removed.hear('hello')).toMatchObject({ empty: true });
    fs.rmdirSync(root);
    const moreBeats = setInterval(() => removed.sayAlive(), 50);
    onTestFinished(() => clearInterval(moreBeats));
    expect(await removed.hear('failed')).toMatchObject(gone);
  });

  test('says when everything is on disk', async () => {
    const peer = connect(newRoot());
    await firstContact(peer, { durability: 'batch' });
    peer.say({ type: 'batch', from: 10, to: 12, complete: true, dead: [], changes: creation(11, 'a') });
    await waitFor(() => peer.received.some((m) => m.type === 'ack' && m.durable === 12), {
      describe: 'durable 12',
    });
  });

  test('names what is wrong with a root that cannot be used', async () => {
    const folder = tempFolder('fam-agent', '/dev/shm');
    fs.writeFileSync(join(folder, 'file'), '');
    const cases = [
      { root: join(folder, 'file'), code: 'DESTINATION_NOT_DIRECTORY', exit: 31 },
      { root: join(folder, 'no/such'), code: 'DESTINATION_UNWRITABLE', exit: 30 },
    ];
    for (const { root, code, exit } of cases) {
      const peer = connect(root);
      expect(await peer.hear('failed')).toMatchObject({ code, retryable: false });
      expect(await peer.exit).toBe(exit);
    }
  });

  test('stops when the disk is full, and goes on from there when there is room', async () => {
    const mount = tempFolder('fam-full', '/dev/shm');
    // The store's database needs room of its own: /dev/shm is large, this is not.
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', mount]);
    onTestFinished(() => void execFileSync('umount', ['-l', mount]));
    const root = join(mount, 'replica');
    const peer = connect(root);
    await firstContact(peer);
    const bytes = Buffer.alloc(100_000, 'z');
    const changes: Change[] = [];
    for (let id = 11; id < 60; id++) {
      const attributes = { ...file, size: bytes.length };
      changes.push({ type: 'inode', id, attributes, contentSeq: id, content: { from: 'inline', bytes } });
      changes.push({ type: 'entry', parent: rootId, name: name(`f${id}`), id, links: 1 });
    }
    peer.say({ type: 'batch', from: 10, to: 100, complete: true, dead: [], changes });
    expect(await peer.hear('failed')).toMatchObject({ code: 'DISK_FULL', retryable: true });
    expect(await peer.exit).toBe(32);
    execFileSync('mount', ['-o', 'remount,size=20m', mount]);
    const again = connect(root);
    expect((await again.hear('hello')).state?.cursor).toBe(10);
    again.say({ ...welcome, mode: 'resume' });
    again.say({ type: 'batch', from: 10, to: 100, complete: true, dead: [], changes });
    await waitFor(() => again.received.some((m) => m.type === 'ack' && m.applied === 100), {
      describe: 'ack 100',
    });
    expect(fs.readdirSync(root).length).toBe(49);
    expect(fs.readdirSync(join(mount, '.fam-replica', 'trash'))).toEqual([]);
  });

  test('says that the disk is full also when there is no room for its own records, whatever lmdb takes that for', async () => {
    const mount = tempFolder('fam-full', '/dev/shm');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mount]);
    onTestFinished(() => void execFileSync('umount', ['-l', mount]));
    const peer = connect(join(mount, 'replica'));
    await peer.hear('hello');
    peer.say(welcome);
    expect(await peer.hear('failed')).toMatchObject({ code: 'DISK_FULL' });
    expect(await peer.exit).toBe(32);
  });

  test('asks for what it cannot make sense of, and takes a listing after first contact', async () => {
    const root = newRoot();
    const peer = connect(root);
    await firstContact(peer);
    const from = peer.received.length;
    const stray: Change = { type: 'entry', parent: 77, name: name('in-nowhere'), id: 78, links: 1 };
    const changes = [...creation(11, 'kept'), ...creation(13, 'goes'), stray];
    peer.say({ type: 'batch', from: 10, to: 20, complete: true, dead: [], changes });
    expect(await peer.hear('wants', from)).toEqual({
      type: 'wants',
      directory: 0,
      contents: [],
      missing: [rootId],
    });
    const asked = peer.received.length;
    const none = { from: 'none' } as const;
    peer.say({
      type: 'listing',
      directory: rootId,
      first: true,
      last: true,
      entries: [
        { name: name('elsewhere'), id: 11, links: 1, contentSeq: 11, attributes: file, content: none },
        { name: name('folder'), id: 77, links: 1, contentSeq: 20, attributes: directory, content: none },
        { name: name('unknown'), id: 79, links: 1, contentSeq: 20, attributes: file, content: none },
      ],
    });
    expect(await peer.hear('wants', asked)).toEqual({
      type: 'wants',
      directory: rootId,
      contents: [79],
      missing: [77],
    });
    const answered = peer.received.length;
    const entry = { links: 1, contentSeq: 20, attributes: file };
    const inline = { from: 'inline', bytes: Buffer.from('more') } as const;
    peer.say({
      type: 'listing',
      directory: 77,
      first: true,
      last: true,
      entries: [{ ...entry, name: name('in-nowhere'), id: 78, content: inline }],
    });
    peer.say({ type: 'contents', files: [{ id: 79, contentSeq: 20, attributes: file, content: inline }] });
    expect(await peer.hear('wants', answered)).toEqual({
      type: 'wants',
      directory: 77,
      contents: [],
      missing: [],
    });
    peer.say({ type: 'batch', from: 20, to: 21, complete: true, dead: [], changes: [] });
    await waitFor(() => peer.received.some((m) => m.type === 'ack' && m.applied === 21), {
      describe: 'ack 21',
    });
    expect(fs.readdirSync(root).sort()).toEqual(['elsewhere', 'folder', 'unknown']);
    expect(fs.readFileSync(join(root, 'folder/in-nowhere'), 'utf8')).toBe('more');
    expect(fs.readFileSync(join(root, 'unknown'), 'utf8')).toBe('more');
  });

  test('has not what it asked for last when a listing ends that it had asked for before', async () => {
    const root = newRoot();
    const peer = connect(root);
    await firstContact(peer);
    // Folders of before first contact that it has not met: they had moved behind its back.
    const passedBy = (id: number): Change[] => [
      { type: 'inode', id, attributes: directory, contentSeq: 5, content: { from: 'none' } },
      { type: 'entry', parent: rootId, name: name(`f${id}`), id, links: 1 },
    ];
    const before = peer.received.length;
    const wanted = (folder: number) =>
      waitFor(() => peer.received.slice(before).some((m) => m.type === 'wants' && m.missing[0] === folder), {
        describe: `a question for ${folder}`,
      });
    peer.say({ type: 'batch', from: 10, to: 19, complete: true, dead: [], changes: passedBy(7) });
    await wanted(7);
    peer.say({ type: 'batch', from: 19, to: 20, complete: true, dead: [], changes: passedBy(8) });
    await wanted(8);
    // The source had sent both batches when it listed the first one, and had not heard of the second one yet.
    peer.say({ type: 'listing', directory: 7, first: true, last: true, entries: [] });
    peer.say({ type: 'reconciled', seq: 20 });
    peer.say({ type: 'bye' });
    expect(await peer.exit).toBe(0);
    const again = connect(root);
    expect((await again.hear('hello')).state).toBeNull();
  });

  test('asks for what a local user has taken away while a content that was asked for came', async () => {
    const root = newRoot();
    const peer = connect(root);
    await firstContact(peer);
    const stray: Change = { type: 'entry', parent: 77, name: name('in-nowhere'), id: 78, links: 1 };
    const from = peer.received.length;
    const changes = [...creation(11, 'here'), stray];
    peer.say({ type: 'batch', from: 10, to: 20, complete: true, dead: [], changes });
    await peer.hear('wants', from);
    const asked = peer.received.length;
    const none = { from: 'none' } as const;
    const entry = { name: name('here'), id: 11, links: 1, contentSeq: 20, attributes: file, content: none };
    peer.say({ type: 'listing', directory: rootId, first: true, last: true, entries: [entry] });
    expect(await peer.hear('wants', asked)).toMatchObject({ directory: rootId, contents: [11] });
    fs.renameSync(join(root, 'here'), join(root, 'taken'));
    execFileSync('chattr', ['+i', root]);
    onTestFinished(() => void execFileSync('chattr', ['-i', root]));
    const answered = peer.received.length;
    const inline = { from: 'inline', bytes: Buffer.from('newer') } as const;
    peer.say({ type: 'contents', files: [{ id: 11, contentSeq: 20, attributes: file, content: inline }] });
    expect(await peer.hear('wants', answered)).toEqual({
      type: 'wants',
      directory: 0,
      contents: [11],
      missing: [],
    });
    expect(fs.readdirSync(root)).toEqual(['taken']);
  });

  test('gives nothing an ACL that the source does not say, in a folder that came earlier and passes one on', async () => {
    const root = newRoot();
    const peer = connect(root);
    await firstContact(peer);
    // user::rwx, user:1001:r, group, mask, other
    const acl = '0200000001000700ffffffff02000400e903000004000400ffffffff10000500ffffffff20000400ffffffff';
    const xattr = { name: 'system.posix_acl_default', value: Buffer.from(acl, 'hex') };
    const passing = { ...directory, xattrs: [xattr] };
    // Its name is still to come: nobody sees it.
    const first: Change[] = [
      { type: 'inode', id: 11, attributes: passing, contentSeq: 11, content: { from: 'none' } },
    ];
    peer.say({ type: 'batch', from: 10, to: 11, complete: false, dead: [], changes: first });
    const bytes = Buffer.from('data');
    const second: Change[] = [
      {
        type: 'inode',
        id: 12,
        attributes: { ...file, xattrs: [] },
        contentSeq: 12,
        content: { from: 'inline', bytes },
      },
      {
        type: 'inode',
        id: 13,
        attributes: { ...directory, xattrs: [] },
        contentSeq: 13,
        content: { from: 'none' },
      },
      { type: 'entry', parent: 11, name: name('file'), id: 12, links: 1 },
      { type: 'entry', parent: 11, name: name('folder'), id: 13, links: 1 },
      { type: 'entry', parent: rootId, name: name('passing'), id: 11, links: 1 },
    ];
    peer.say({ type: 'batch', from: 11, to: 13, complete: true, dead: [], changes: second });
    await waitFor(() => fs.existsSync(join(root, 'passing/file')), { describe: 'the folder appears' });
    const found = execFileSync('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '.'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect([...found.matchAll(/^# file: (.*)$/gm)].map(([, path]) => path)).toEqual(['passing']);
  });

  test('keeps its own folder inside a root that is a mount point', async () => {
    const mount = tempFolder('fam-mount', '/dev/shm');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', mount]);
    onTestFinished(() => void execFileSync('umount', ['-l', mount]));
    const peer = connect(mount);
    const hello = await firstContact(peer);
    expect(hello.empty).toBe(true);
    const changes: Change[] = [
      { type: 'inode', id: 12, attributes: directory, contentSeq: 12, content: { from: 'none' } },
      { type: 'entry', parent: rootId, name: name('d'), id: 12, links: 1 },
    ];
    peer.say({ type: 'batch', from: 10, to: 12, complete: true, dead: [], changes });
    await waitFor(() => fs.existsSync(join(mount, 'd')), { describe: 'the folder appears' });
    expect(fs.readdirSync(mount).sort()).toEqual(['.fam', 'd']);
    expect(fs.statSync(join(mount, '.fam')).mode & 0o777).toBe(0o700);
  });
});
