import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Attributes, Kind } from '../core/attributes.ts';
import type { Change, Content, SameContent } from '../core/change.ts';
import { type ErrorCode, exitCodes, FamError } from '../core/errors.ts';
import { asName, type Name } from '../core/name.ts';
import { decodeToAgent, decodeToSource, encode } from './codec.ts';
import { FrameType } from './frame-type.ts';
import {
  contentDigestBytes,
  digestBytes,
  digestKeyBytes,
  maxFrameBytes,
  type ToAgent,
  type ToSource,
} from './messages.ts';
import { streamHeadBytes } from './stream.ts';

const runs = { numRuns: 300 };

// --- what may be sent ---

const byteString = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const name = byteString(1, 255).filter((text): text is Name => asName(text) !== undefined);
const count = fc.oneof(fc.nat(300), fc.maxSafeNat());
const id = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const bytes = fc.uint8Array({ maxLength: 2000 });
const u32 = fc.nat(0xffff_ffff);

const xattrs = fc.option(
  fc.array(
    fc.record({
      name: byteString(1, 255).filter((text) => !text.includes('\0')),
      value: fc.uint8Array({ maxLength: 300 }),
    }),
    { maxLength: 4 },
  ),
  { nil: undefined },
);
const attributes: fc.Arbitrary<Attributes> = fc
  .record({
    kind: fc.constantFrom(...Object.values(Kind)),
    mode: fc.nat(0o7777),
    uid: fc.oneof(fc.constant(33), u32),
    gid: fc.oneof(fc.constant(33), u32),
    size: count,
    mtimeS: fc.integer({ min: -(2 ** 52) + 1, max: 2 ** 52 - 1 }),
    mtimeNs: fc.nat(999_999_999),
    rdevMajor: u32,
    rdevMinor: u32,
    target: byteString(1, 4095).filter((text) => !text.includes('\0')),
    xattrs,
  })
  .map((all) => {
    const device = all.kind === Kind.charDevice || all.kind === Kind.blockDevice;
    return {
      ...all,
      size: all.kind === Kind.file ? all.size : 0,
      target: all.kind === Kind.symlink ? all.target : '',
      rdevMajor: device ? all.rdevMajor : 0,
      rdevMinor: device ? all.rdevMinor : 0,
    };
  });
const content: fc.Arbitrary<Content> = fc.oneof(
  fc.constant<Content>({ from: 'none' }),
  fc.constant<Content>({ from: 'staged' }),
  bytes.map((inline): Content => ({ from: 'inline', bytes: inline })),
);
const same: fc.Arbitrary<SameContent> = fc
  .option(fc.uint8Array({ minLength: contentDigestBytes, maxLength: contentDigestBytes }), { nil: undefined })
  .map((sha256) => ({ from: 'same', digest: sha256 }));
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    type: fc.constant('inode' as const),
    id,
    attributes,
    contentSeq: count,
    content: fc.oneof({ weight: 3, arbitrary: content }, { weight: 1, arbitrary: same }),
  }),
  fc.record({ type: fc.constant('entry' as const), parent: id, name, id, links: count }),
  fc.record({ type: fc.constant('removed' as const), parent: id, name }),
  fc.record({ type: fc.constant('pending' as const), id }),
);
const listed = fc.record({ name, id, links: count, contentSeq: count, attributes, content });
const text = fc.string({ unit: 'binary', maxLength: 100 });
const digest = fc.uint8Array({ minLength: digestBytes, maxLength: digestBytes });
const blockBytes = fc.integer({ min: 4096, max: 16 * 1024 * 1024 });
const owed = fc.record({ id, contentSeq: count, received: count });

const toAgent: fc.Arbitrary<ToAgent> = fc.oneof(
  fc.record(
    {
      type: fc.constant('welcome' as const),
      protocol: count,
      version: text,
      sourceId: text,
      epoch: count,
      promotedAt: count,
      follows: text,
      descent: fc.array(text, { maxLength: 5 }),
      place: fc.record(
        { boot: text, path: text, file: text, object: text },
        { requiredKeys: ['boot', 'path', 'file'] },
      ),
      mode: fc.constantFrom('resume' as const, 'reconcile' as const),
      init: fc.boolean(),
      durability: fc.constantFrom('none' as const, 'batch' as const, 'file' as const),
    },
    { requiredKeys: ['type', 'protocol', 'version', 'sourceId', 'epoch', 'mode', 'init', 'durability'] },
  ),
  fc
    .record({
      type: fc.constant('batch' as const),
      from: count,
      to: count,
      complete: fc.boolean(),
      dead: fc.array(id, { maxLength: 20 }),
      changes: fc.array(change, { maxLength: 20 }),
    })
    .map((batch) => ({ ...batch, from: Math.min(batch.from, batch.to), to: Math.max(batch.from, batch.to) })),
  fc.record(
    {
      type: fc.constant('listing' as const),
      directory: id,
      first: fc.boolean(),
      last: fc.boolean(),
      entries: fc.array(listed, { maxLength: 10 }),
      removed: fc.array(name, { minLength: 1, maxLength: 10 }),
    },
    { requiredKeys: ['type', 'directory', 'first', 'last', 'entries'] },
  ),
  fc.record({
    type: fc.constant('contents' as const),
    files: fc.array(fc.record({ id, contentSeq: count, attributes, content }), { maxLength: 10 }),
  }),
  fc.record({ type: fc.constant('reconciled' as const), seq: count }),
  fc
    .record({
      type: fc.constant('stream' as const),
      id,
      contentSeq: count,
      offset: fc.nat(2 ** 40),
      total: fc.nat(2 ** 40),
      last: fc.boolean(),
      kind: fc.constantFrom('data' as const, 'hole' as const, 'copy' as const),
      length: fc.integer({ min: 1, max: 2 ** 40 }),
      bytes,
    })
    .map(({ kind, length, ...piece }) => ({
      ...piece,
      hole: kind === 'hole' ? length : 0,
      copy: kind === 'copy' ? length : 0,
      bytes: kind === 'data' ? piece.bytes : new Uint8Array(),
      total: piece.offset + length + piece.bytes.length + piece.total,
    })),
  fc.record({ type: fc.constant('version' as const), id, contentSeq: count, version: digest }),
  fc.record({ type: fc.constant('base-wanted' as const), id, base: id, attempt: count }),
  fc
    .record({
      type: fc.constant('digests-wanted' as const),
      id,
      offset: fc.nat(2 ** 20),
      length: fc.integer({ min: 1, max: 2 ** 40 }),
      blockBytes,
      key: fc.uint8Array({ minLength: digestKeyBytes, maxLength: digestKeyBytes }),
    })
    .map((wanted) => ({ ...wanted, offset: wanted.offset * wanted.blockBytes })),
  fc.constantFrom('checkpoint' as const, 'bye' as const).map((type) => ({ type })),
);

const toSource: fc.Arbitrary<ToSource> = fc.oneof(
  fc.record({
    type: fc.constant('hello' as const),
    protocol: count,
    version: text,
    root: text,
    pid: count,
    empty: fc.boolean(),
    state: fc.option(
      fc.record({ sourceId: text, epoch: count, cursor: count, pending: fc.array(owed, { maxLength: 5 }) }),
      { nil: null },
    ),
    lacks: fc.array(text, { maxLength: 5 }),
  }),
  fc.record({
    type: fc.constant('wants' as const),
    directory: id,
    contents: fc.array(id, { maxLength: 50 }),
    missing: fc.array(id, { maxLength: 50 }),
  }),
  fc.record({
    type: fc.constant('ack' as const),
    applied: count,
    durable: count,
    files: count,
    bytes: count,
    consumed: count,
    reconciled: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('base' as const),
    id,
    attempt: count,
    size: count,
    version: fc.oneof(digest, fc.constant(new Uint8Array())),
  }),
  fc
    .record({
      type: fc.constant('digests' as const),
      id,
      offset: fc.nat(2 ** 20),
      blockBytes,
      digests: fc.array(digest, { maxLength: 10 }),
    })
    .map((sent) => ({
      ...sent,
      offset: sent.offset * sent.blockBytes,
      digests: Uint8Array.from(sent.digests.flatMap((one) => [...one])),
    })),
  fc.record({
    type: fc.constant('problems' as const),
    problems: fc.array(fc.record({ path: byteString(0, 300), action: text, code: text }), { maxLength: 5 }),
  }),
  fc.record({
    type: fc.constant('extras' as const),
    count,
    paths: fc.array(byteString(0, 300), { maxLength: 5 }),
  }),
  fc.record({
    type: fc.constant('kept' as const),
    count,
    paths: fc.array(byteString(0, 300), { maxLength: 5 }),
    trash: text,
  }),
  fc.record({ type: fc.constant('again' as const), directories: fc.array(id, { maxLength: 5 }) }),
  fc.record({
    type: fc.constant('failing' as const),
    count,
    mended: count,
    paths: fc.array(byteString(0, 300), { maxLength: 5 }),
  }),
  fc.record({
    type: fc.constant('failed' as const),
    code: fc.constantFrom(...(Object.keys(exitCodes) as ErrorCode[])),
    message: text,
    retryable: fc.boolean(),
  }),
  fc.constant({ type: 'alive' as const }),
);

const sides = [
  { side: 'decodeToAgent', message: toAgent, decode: decodeToAgent },
  { side: 'decodeToSource', message: toSource, decode: decodeToSource },
] as const;

/** Byte arrays as plain hex, so that Buffers and Uint8Arrays compare by content. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** Decodes, or returns the failure, which must be ours. */
function attempt(decode: (frame: Uint8Array) => unknown, frame: Uint8Array): unknown {
  try {
    return decode(frame);
  } catch (error) {
    if (!(error instanceof FamError) || error.code !== 'PROTOCOL') throw error;
    return error;
  }
}

describe.each(sides)('$side', ({ message, decode }) => {
  it('gives back what encode was given', () => {
    fc.assert(
      fc.property(message, (sent) => {
        expect(plain(decode(encode(sent)))).toEqual(plain(sent));
      }),
      runs,
    );
  });

  it('refuses a frame cut short at any byte', () => {
    fc.assert(
      fc.property(message, (sent) => {
        const frame = encode(sent);
        for (let length = 0; length < frame.length; length += frame.length > 400 ? 7 : 1) {
          const got = attempt(decode, frame.slice(0, length));
          // Pieces of a stream and digests have no length of their own: the frame is what tells where they end.
          if (sent.type === 'digests') continue;
          if (sent.type !== 'stream' || length < streamHeadBytes)
            expect(got, `cut at ${length}`).toBeInstanceOf(FamError);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('refuses a frame with a byte too many', () => {
    fc.assert(
      fc.property(message, fc.nat(255), (sent, extra) => {
        const got = attempt(decode, Buffer.concat([encode(sent), Buffer.of(extra)]));
        if (sent.type !== 'stream' || sent.hole + sent.copy > 0) expect(got).toBeInstanceOf(FamError);
      }),
      runs,
    );
  });

  it('answers mutated frames with a value or a PROTOCOL error, never anything else', () => {
    const mutation = fc.array(fc.tuple(fc.maxSafeNat(), fc.nat(255)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(message, mutation, (sent, edits) => {
        const frame = Buffer.from(encode(sent));
        for (const [at, value] of edits) frame[at % frame.length] = value;
        attempt(decode, frame);
      }),
      { numRuns: 2000 },
    );
  });

  it('answers noise with a PROTOCOL error or a value', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.uint8Array({ maxLength: 300 }), (type, noise) => {
        attempt(decode, Buffer.concat([Buffer.of(type), noise]));
      }),
      { numRuns: 3000 },
    );
  });
});

describe('decodeToAgent', () => {
  it('reads a frame that lies inside a larger buffer, and hands contents out as views of it', () => {
    const frame = encode({
      type: 'stream',
      id: 7,
      contentSeq: 3,
      offset: 0,
      total: 3,
      last: true,
      hole: 0,
      copy: 0,
      bytes: Uint8Array.of(1, 2, 3),
    });
    const around = new Uint8Array(frame.length + 20).fill(0xff);
    around.set(frame, 10);
    const piece = decodeToAgent(around.subarray(10, 10 + frame.length));
    if (piece.type !== 'stream') throw new Error(piece.type);
    expect([...piece.bytes]).toEqual([1, 2, 3]);
    expect(piece.bytes.buffer).toBe(around.buffer);
  });

  it('names message and offset in what it throws', () => {
    const frame = encode({ type: 'batch', from: 1, to: 2, complete: true, dead: [], changes: [] });
    expect(() => decodeToAgent(frame.slice(0, 4))).toThrow('batch message is cut short (at byte 4 of 4)');
  });

  it('does not allocate what a length announces', () => {
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    const kept: unknown[] = [];
    for (let i = 0; i < 50; i++) {
      // MessagePack: nested arrays of 30,000,000 elements each, none there.
      kept.push(
        attempt(decodeToAgent, Buffer.from([FrameType.welcome, 0x81, 0xa1, 0x61, 0xdd, 1, 0xc9, 0xc3, 0x80])),
      );
      // contents: 2^50 files, then a content of 2^40 bytes.
      kept.push(
        attempt(
          decodeToAgent,
          Buffer.from([FrameType.contents, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 4]),
        ),
      );
    }
    expect(kept.every((error) => error instanceof FamError)).toBe(true);
    const after = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    expect(after - before).toBeLessThan(32 * 1024 * 1024);
  });

  it('refuses names that could lead out of a directory', () => {
    for (const bad of ['..', '.', 'a/b', '', 'a\0b']) {
      const frame = encode({
        type: 'batch',
        from: 1,
        to: 2,
        complete: true,
        dead: [],
        changes: [{ type: 'removed', parent: 1, name: bad as Name }],
      });
      expect(() => decodeToAgent(frame), bad).toThrow(FamError);
    }
  });

  it('refuses what is meant for the source, and frames over the limit', () => {
    const ack = {
      type: 'ack',
      applied: 1,
      durable: 1,
      files: 0,
      bytes: 0,
      consumed: 0,
      reconciled: false,
    } as const;
    expect(() => decodeToAgent(encode(ack))).toThrow(FamError);
    expect(() => decodeToAgent(new Uint8Array())).toThrow(FamError);
    expect(() => decodeToAgent(new Uint8Array(maxFrameBytes + 1))).toThrow('exceeds the limit');
  });
});

describe('encode', () => {
  it('spends at most 40 bytes besides name and content on a small new file', () => {
    const files = 1000;
    const state = {
      kind: Kind.file,
      mode: 0o644,
      uid: 33,
      gid: 33,
      mtimeS: 1_790_000_000,
      rdevMajor: 0,
      rdevMinor: 0,
    };
    const changes: Change[] = [];
    for (let i = 0; i < files; i++) {
      const bytes = new Uint8Array(1024);
      changes.push({
        type: 'inode',
        id: 1_000_000 + i,
        attributes: { ...state, size: 1024, mtimeNs: 123_456_789 + i, target: '', xattrs: undefined },
        contentSeq: 5_000_000 + i,
        content: { from: 'inline', bytes },
      });
      changes.push({
        type: 'entry',
        parent: 1_000,
        name: `page${i}.html` as Name,
        id: 1_000_000 + i,
        links: 1,
      });
    }
    const frame = encode({ type: 'batch', from: 1, to: 2, complete: true, dead: [], changes });
    const names = changes.reduce(
      (sum, change) => sum + (change.type === 'entry' ? change.name.length : 0),
      0,
    );
    expect((frame.length - names - 1024 * files) / files).toBeLessThan(40);
  });

  it('refuses numbers that the other side could not hold', () => {
    for (const seq of [-1, 0.5, 2 ** 53, Number.NaN]) {
      expect(() =>
        encode({ type: 'batch', from: seq, to: seq, complete: true, dead: [], changes: [] }),
      ).toThrow(FamError);
    }
  });

  it('shortens what is told to people to what the other side takes, and keeps both ends of it', () => {
    const path = `begin/${'d'.repeat(250)}/${'x/'.repeat(5000)}end`;
    const message = `at ${path}`;
    const told: ToSource[] = [
      { type: 'problems', problems: [{ path, action: 'create', code: 'EIO' }] },
      { type: 'extras', count: 1, paths: [path] },
      { type: 'kept', count: 1, paths: [path], trash: '/trash' },
      { type: 'failing', count: 0, mended: 1, paths: [path] },
      { type: 'failed', code: 'INTERNAL', message, retryable: false },
    ];
    for (const one of told) {
      const arrived = JSON.stringify(decodeToSource(encode(one)));
      expect(arrived).toMatch(/begin.*[.]{3}.*end/);
    }
  });

  it('refuses a message larger than a frame', () => {
    const piece = { type: 'stream', id: 1, contentSeq: 1, offset: 0, last: true, hole: 0, copy: 0 } as const;
    const bytes = new Uint8Array(maxFrameBytes);
    expect(() => encode({ ...piece, total: bytes.length, bytes })).toThrow('exceeds a frame');
  });
});

describe('a stream piece with room for its head', () => {
  it('becomes the same frame, without a copy', () => {
    const piece = {
      type: 'stream',
      ...{ id: 2 ** 40 + 5, contentSeq: 9, offset: 2 ** 33, total: 2 ** 34 },
      ...{ last: false, hole: 0, copy: 0 },
    } as const;
    const room = Buffer.alloc(streamHeadBytes + 4);
    room.set([1, 2, 3, 4], streamHeadBytes);
    const bytes = room.subarray(streamHeadBytes);
    const frame = encode({ ...piece, bytes, room });
    expect(frame).toBe(room);
    expect([...frame]).toEqual([...encode({ ...piece, bytes: Uint8Array.of(1, 2, 3, 4) })]);
  });
});

describe('wire version 1', () => {
  interface Frozen {
    readonly to: 'agent' | 'source';
    readonly hex: string;
    readonly message: unknown;
  }
  const frozen: readonly Frozen[] = JSON.parse(
    readFileSync(new URL('../../test/fixtures/wire-v1.json', import.meta.url), 'utf8'),
  );

  it.each(frozen)('frame $hex decodes for ever', ({ to, hex, message }) => {
    const frame = Buffer.from(hex, 'hex');
    expect(plain(to === 'agent' ? decodeToAgent(frame) : decodeToSource(frame))).toEqual(
      plain(message === null ? message : withUndefinedXattrs(message)),
    );
  });

  it('has a frozen frame for each type', () => {
    const seen = new Set(frozen.map(({ hex }) => Number.parseInt(hex.slice(0, 2), 16)));
    expect([...seen].sort((a, b) => a - b)).toEqual(Object.values(FrameType).sort((a, b) => a - b));
  });

  /** JSON has no undefined: null stands for xattrs that were not read. */
  function withUndefinedXattrs(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(withUndefinedXattrs);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        key,
        key === 'xattrs' && inner === null ? undefined : withUndefinedXattrs(inner),
      ]),
    );
  }
});
