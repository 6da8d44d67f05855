// What is written down before a batch touches the tree: that one is under way, and which names it will give to what it
// makes. After a kill the records do not know those names yet; with this the next agent can tell them from a local user's
// (recover.ts). It need not survive a power cut: the store begins anew then.

import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { type InodeId, Kind, type Seq } from '../core/attributes.ts';
import { type Operation, type Place, placeKey } from '../core/plan-operation.ts';
import { nameSchema } from './records.ts';

/** Something that a batch makes and the name that it gives to it; parent 0: it waits in limbo, under its id. */
export interface Placement extends Place {
  readonly id: InodeId;
  readonly contentSeq: Seq;
  readonly kind: Kind;
  readonly size: number;
  readonly mtimeS: number;
  readonly mtimeNs: number;
}

/** `parent/name`, as keys are made of places everywhere. */
export type Placements = ReadonlyMap<string, Placement>;

const number = z.int();
const schema = z.array(z.tuple([number, nameSchema, number, number, z.enum(Kind), number, number, number]));

/** u8 1 (a batch is being applied) or 0, u32 length, JSON: what `schema` says. */
const headBytes = 5;

export class ApplyingMark {
  readonly #fd: number;

  /** @param folder path of the replica's state */
  constructor(folder: string) {
    this.#fd = openSync(join(folder, 'applying'), constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  /** The batch that a killed agent left half applied; undefined: none. */
  read(): Placements | undefined {
    const head = Buffer.alloc(headBytes);
    if (readSync(this.#fd, head, 0, headBytes, 0) < 1 || head[0] !== 1) return undefined;
    const body = Buffer.alloc(head.readUInt32LE(1));
    readSync(this.#fd, body, 0, body.length, headBytes);
    const placements = new Map<string, Placement>();
    for (const [parent, name, id, contentSeq, kind, size, mtimeS, mtimeNs] of rowsOf(body)) {
      placements.set(placeKey({ parent, name }), {
        parent,
        name,
        id,
        contentSeq,
        kind,
        size,
        mtimeS,
        mtimeNs,
      });
    }
    return placements;
  }

  set(operations: readonly Operation[]): void {
    const rows = placementsOf(operations).map(
      ({ parent, name, id, contentSeq, kind, size, mtimeS, mtimeNs }) =>
        [parent, name, id, contentSeq, kind, size, mtimeS, mtimeNs] as const,
    );
    const body = rows.length === 0 ? '' : JSON.stringify(rows);
    const bytes = Buffer.allocUnsafe(headBytes + Buffer.byteLength(body));
    bytes[0] = 1;
    bytes.writeUInt32LE(bytes.length - headBytes, 1);
    bytes.write(body, headBytes);
    writeSync(this.#fd, bytes, 0, bytes.length, 0);
  }

  clear(): void {
    writeSync(this.#fd, nothing, 0, 1, 0);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

const nothing = Uint8Array.of(0);

/** Nothing for what was cut off while it was being written: then no operation had begun. */
function rowsOf(body: Buffer): z.infer<typeof schema> {
  if (body.length === 0) return [];
  try {
    return schema.parse(JSON.parse(body.toString()));
  } catch {
    return [];
  }
}

function placementsOf(operations: readonly Operation[]): Placement[] {
  const made = new Map<InodeId, Omit<Placement, keyof Place>>();
  const placements: Placement[] = [];
  for (const operation of operations) {
    const { type, id } = operation;
    if (type === 'build' || type === 'buildContent') {
      const { attributes, contentSeq, content } = operation;
      const size = content.from === 'inline' ? content.bytes.length : attributes.size;
      const { kind, mtimeS, mtimeNs } = attributes;
      made.set(id, { id, contentSeq, kind, size, mtimeS, mtimeNs });
    }
    const what = made.get(id);
    if (what === undefined || !('to' in operation)) continue;
    const { to } = operation;
    if (to.at === 'name') placements.push({ parent: to.parent, name: to.name, ...what });
    // New content of what has no name now, placed over its old one.
    else if (to.at === 'limbo' && type === 'rename' && operation.over === id)
      placements.push({ parent: 0, name: nameSchema.parse(String(id)), ...what });
  }
  return placements;
}
