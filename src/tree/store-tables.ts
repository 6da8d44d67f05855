// The database of a store: one lmdb environment, and in it a table for each kind of record. Layouts are in record-codec.ts.

import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, type Key, open, type RootDatabase } from 'lmdb';
import { pack, unpack } from 'msgpackr';
import type { InodeId } from '../core/attributes.ts';
import type { ByteString } from '../core/name.ts';
import {
  type EntryKey,
  type EntryValue,
  entryCodec,
  entryKey,
  type IdentityKey,
  identityKey,
  inodeCodec,
  type JournalValue,
  journalCodec,
  type LinkKey,
  linkKey,
  numberCodec,
  numberKey,
} from './record-codec.ts';
import type { InodeRecord } from './records.ts';
import { textKey } from './text-key.ts';

/** Address space of the map, not memory or disk: enough for some 200 million files. */
const mapBytes = 64 * 1024 ** 3;

export interface StoreTables {
  readonly root: RootDatabase<unknown, string>;
  /** MessagePack values. */
  readonly meta: Database<unknown, string>;
  readonly inodes: Database<InodeRecord, number>;
  readonly entries: Database<EntryValue, EntryKey>;
  readonly links: Database<number, LinkKey>;
  readonly identities: Database<InodeId, IdentityKey>;
  readonly handles: Database<ByteString, number>;
  readonly journal: Database<JournalValue, number>;
  /** The database's file as /proc/self/maps shows it. */
  readonly mapped: string;
}

export function databaseFile(directory: string): string {
  return join(directory, 'db', 'data.mdb');
}

/** Throws whatever lmdb throws. */
export function openTables(directory: string): StoreTables {
  const root: RootDatabase<unknown, string> = open({
    path: join(directory, 'db'),
    noSubdir: false,
    noSync: true,
    mapSize: mapBytes,
    maxDbs: 12,
    encoding: 'binary',
    keyEncoding: 'binary',
  });
  const mapped = realpathSync(databaseFile(directory));
  return {
    root,
    meta: table(root, 'meta', textKey, metaCodec),
    inodes: table(root, 'inodes', numberKey, inodeCodec),
    entries: table(root, 'entries', entryKey, entryCodec),
    links: table(root, 'links', linkKey, numberCodec),
    identities: table(root, 'identities', identityKey, numberCodec),
    handles: table(root, 'handles', numberKey, bytesCodec),
    journal: table(root, 'journal', numberKey, journalCodec),
    mapped,
  };
}

/** Inside a transaction. */
export function clearTables(tables: StoreTables): void {
  const { meta, inodes, entries, links, identities, handles, journal } = tables;
  for (const db of [inodes, entries, links, identities, handles, journal, meta]) clearTable(db);
}

function clearTable(db: { getKeys(): Iterable<unknown>; clearSync(): void }): void {
  db.clearSync();
}

const metaCodec = {
  encode: (value: unknown): Buffer => pack(value),
  decode: (source: Uint8Array): unknown => unpack(source),
};

/** At most 255 bytes after their number: the buffer that lmdb-js hands to `decode` does not end where the value does. */
const bytesCodec = {
  encode: (value: ByteString): Buffer => Buffer.from(String.fromCharCode(value.length) + value, 'latin1'),
  decode: (source: Uint8Array): ByteString => {
    let value = '';
    for (let i = 1; i <= (source[0] ?? 0); i++) value += String.fromCharCode(source[i] ?? 0);
    return value;
  },
};

interface KeyCodec<K> {
  writeKey(key: K, target: Uint8Array, position: number): number;
  readKey(source: Uint8Array, start: number, end: number): K;
}

interface ValueCodec<V> {
  encode(value: V): Uint8Array;
  decode(source: Uint8Array): V;
}

/** lmdb-js takes codecs for keys and values under names that its types know for the root database only. */
function table<V, K extends Key>(
  root: RootDatabase<unknown, string>,
  name: string,
  keys: KeyCodec<K>,
  values: ValueCodec<V>,
) {
  const options = { name, keyEncoder: keys, encoder: values };
  return root.openDB<V, K>(options);
}
