// What the source knows of large contents that it has sent: their blocks' digests, under a key that never leaves the state folder. A
// cache: without it replicas are asked for digests of what they have. lmdb, written by the reader thread alone.
//
// One folder for each epoch: whenever the past is in doubt (a power loss, say) a new one is begun, and an old one never opened.

import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import * as z from 'zod/mini';
import type { InodeId, Seq } from '../core/attributes.ts';
import { textKey } from '../tree/text-key.ts';
import { digestBytes, digestKeyBytes } from '../wire/messages.ts';
import type { OpenContent } from './contents.ts';
import { Fingerprint } from './fingerprint.ts';

/** Address space, not memory: digests of some 800 TB. */
const mapBytes = 16 * 1024 ** 3;
/** Records of files that have gone are looked for after so many new ones. */
const sweepEvery = 4096;

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
const entrySchema = z.object({
  contentSeq: z.number(),
  version: bytes,
  size: z.number(),
  /** Of the file when it was read: size and times with nanoseconds, as a text to compare. */
  stamp: z.string(),
  digests: bytes,
});
type Entry = z.infer<typeof entrySchema>;

/** The newest content of a file, and the one before it, which replicas that are behind may still have. */
type Generation = 'newest' | 'previous';

export class BlockLedger {
  readonly #root: RootDatabase<unknown, string>;
  readonly #entries: Database<unknown, string>;
  /** By the digest of a content's first block: the file that had it last. */
  readonly #firsts: Database<unknown, string>;
  readonly #key: Uint8Array;
  readonly #scans = new Map<string, { readonly print: Fingerprint; users: number }>();
  #sinceSweep = 0;

  constructor(stateDir: string, epoch: number) {
    const name = `blocks-${epoch}`;
    for (const other of readdirSync(stateDir)) {
      if (/^blocks-\d+$/.test(other) && other !== name) rmSync(join(stateDir, other), { recursive: true });
    }
    this.#root = open({
      path: join(stateDir, name),
      noSubdir: false,
      noSync: true,
      mapSize: mapBytes,
      maxDbs: 4,
    });
    this.#entries = table(this.#root, 'entries');
    this.#firsts = table(this.#root, 'firsts');
    const meta = table(this.#root, 'meta');
    const stored = bytes.safeParse(meta.get('key'));
    this.#key = stored.success ? Uint8Array.from(stored.data) : randomBytes(digestKeyBytes);
    if (!stored.success) meta.putSync('key', this.#key);
  }

  /**
   * The fingerprint of a content that is being sent, one for all sessions: complete if this very content has been sent before.
   * `release` it afterwards.
   */
  fingerprint(id: InodeId, contentSeq: Seq, content: OpenContent): Fingerprint {
    const key = scanKey(id, contentSeq, content);
    const scan = this.#scans.get(key);
    if (scan !== undefined) {
      scan.users += 1;
      return scan.print;
    }
    const print = new Fingerprint(this.#key, content.attributes.size);
    const newest = this.#entry(id, 'newest');
    if (newest?.contentSeq === contentSeq && newest.stamp === stampOf(content)) print.add(0, newest.digests);
    this.#scans.set(key, { print, users: 1 });
    return print;
  }

  release(id: InodeId, contentSeq: Seq, content: OpenContent): void {
    const key = scanKey(id, contentSeq, content);
    const scan = this.#scans.get(key);
    if (scan === undefined) return;
    scan.users -= 1;
    if (scan.users === 0) this.#scans.delete(key);
  }

  /** The digests of the content that a replica calls by this version, if they are known. */
  find(id: InodeId, version: Uint8Array, size: number): Fingerprint | undefined {
    if (version.length !== digestBytes) return undefined;
    for (const generation of ['newest', 'previous'] as const) {
      const entry = this.#entry(id, generation);
      if (entry === undefined || entry.size !== size || Buffer.compare(entry.version, version) !== 0)
        continue;
      const print = new Fingerprint(this.#key, size);
      print.add(0, entry.digests);
      return print;
    }
    return undefined;
  }

  /** A file whose content begins with this block. */
  beginsWith(digest: Uint8Array): InodeId | undefined {
    const id = this.#firsts.get(hex(digest));
    return typeof id === 'number' ? id : undefined;
  }

  /** Remembers a content that was sent and held still meanwhile. */
  record(id: InodeId, contentSeq: Seq, content: OpenContent, print: Fingerprint): void {
    if (!print.isComplete || print.blocks === 0) return;
    const version = print.version();
    const newest = this.#entry(id, 'newest');
    const entry: Entry = {
      contentSeq,
      version,
      size: print.size,
      stamp: stampOf(content),
      digests: print.digests,
    };
    this.#root.transactionSync(() => {
      if (newest !== undefined && Buffer.compare(newest.version, version) !== 0) {
        this.#entries.putSync(entryKey(id, 'previous'), newest);
      }
      this.#entries.putSync(entryKey(id, 'newest'), entry);
      this.#firsts.putSync(hex(print.at(0)), id);
    });
    this.#sinceSweep += 1;
  }

  /** Now and then: forgets files that have gone. */
  sweep(isAlive: (id: InodeId) => boolean): void {
    if (this.#sinceSweep < sweepEvery) return;
    this.#sinceSweep = 0;
    // All of them: keys begin with a digit, decimal or hexadecimal, and lmdb-js wants a key to begin with.
    const gone = [...this.#entries.getKeys({ start: '0' })].filter(
      (key) => !isAlive(Number(key.split('.')[0])),
    );
    const firsts = [...this.#firsts.getRange({ start: '0' })];
    const firstsGone = firsts.filter(({ value }) => typeof value !== 'number' || !isAlive(value));
    this.#root.transactionSync(() => {
      for (const key of gone) this.#entries.removeSync(key);
      for (const { key } of firstsGone) this.#firsts.removeSync(key);
    });
  }

  close(): void {
    // Without pending asynchronous writes (we make none) lmdb closes before it returns.
    void this.#root.close();
  }

  #entry(id: InodeId, generation: Generation): Entry | undefined {
    const value = this.#entries.get(entryKey(id, generation));
    if (value === undefined) return undefined;
    const parsed = entrySchema.safeParse(value);
    if (!parsed.success) return undefined;
    const { digests, version } = parsed.data;
    // lmdb hands out views of a buffer that it reads into again.
    return { ...parsed.data, digests: Uint8Array.from(digests), version: Uint8Array.from(version) };
  }
}

function table(root: RootDatabase<unknown, string>, name: string): Database<unknown, string> {
  const options = { name, keyEncoder: textKey };
  return root.openDB(options);
}

function entryKey(id: InodeId, generation: Generation): string {
  return `${id}.${generation}`;
}

function stampOf({ attributes, ctimeS, ctimeNs }: OpenContent): string {
  return `${attributes.size} ${attributes.mtimeS}.${attributes.mtimeNs} ${ctimeS}.${ctimeNs}`;
}

function scanKey(id: InodeId, contentSeq: Seq, content: OpenContent): string {
  return `${id} ${contentSeq} ${stampOf(content)}`;
}

function hex(digest: Uint8Array): string {
  return Buffer.from(digest).toString('hex');
}
