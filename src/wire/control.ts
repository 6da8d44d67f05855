// Control messages: a type byte and one MessagePack map, checked by zod before anyone sees it.

import { Packr, Unpackr } from 'msgpackr';
import * as z from 'zod/mini';
import { type ErrorCode, exitCodes, FamError } from '../core/errors.ts';
import { isPlainMessagePack } from './message-pack.ts';
import type {
  Again,
  Extras,
  Failed,
  Failing,
  Hello,
  Kept,
  Problems,
  Reconciled,
  Welcome,
} from './messages.ts';

export type ControlMessage =
  | Hello
  | Welcome
  | Reconciled
  | Problems
  | Failed
  | Extras
  | Kept
  | Again
  | Failing;

const packr = new Packr({ useRecords: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

/** A text that goes into logs and records: long enough for any path, short enough for any screen. */
const maxTextLength = 8192;
const text = z.string().check(z.maxLength(maxTextLength));
/** Of a tree that is handed on and on. */
const maxTrees = 1000;
const count = z.int().check(z.nonnegative());
const errorCode = z.custom<ErrorCode>(
  (value) => typeof value === 'string' && Object.hasOwn(exitCodes, value),
);

const owed = z.object({ id: z.int().check(z.positive()), contentSeq: count, received: count });
const state = z.object({
  sourceId: text,
  epoch: count,
  cursor: count,
  pending: z.array(owed),
  rules: z.optional(text),
  failing: z.optional(count),
});
const problem = z.object({ path: text, action: text, code: text });

const idMap = z.array(z.object({ from: count, to: count, target: text }));
const attributeRules = z.object({ owners: idMap, groups: idMap, chmod: text });

const schemas = {
  hello: z.object({
    type: z.literal('hello'),
    protocol: count,
    version: text,
    root: text,
    pid: count,
    empty: z.boolean(),
    state: z.nullable(state),
    lacks: z.array(text),
    takesAlive: z.optional(z.boolean()),
  }),
  welcome: z.object({
    type: z.literal('welcome'),
    protocol: count,
    version: text,
    sourceId: text,
    epoch: count,
    promotedAt: z.optional(count),
    follows: z.optional(text),
    descent: z.optional(z.array(text).check(z.maxLength(maxTrees))),
    place: z.optional(z.object({ boot: text, path: text, file: text, object: z.optional(text) })),
    mode: z.enum(['resume', 'reconcile']),
    init: z.boolean(),
    durability: z.enum(['none', 'batch', 'file']),
    trusted: z.optional(z.boolean()),
    attributeRules: z.optional(attributeRules),
    aliveMs: z.optional(count),
    takesAgain: z.optional(z.boolean()),
  }),
  reconciled: z.object({ type: z.literal('reconciled'), seq: count }),
  problems: z.object({ type: z.literal('problems'), problems: z.array(problem) }),
  failed: z.object({ type: z.literal('failed'), code: errorCode, message: text, retryable: z.boolean() }),
  extras: z.object({ type: z.literal('extras'), count, paths: z.array(text) }),
  kept: z.object({ type: z.literal('kept'), count, paths: z.array(text), trash: text }),
  again: z.object({ type: z.literal('again'), directories: z.array(z.int().check(z.positive())) }),
  failing: z.object({ type: z.literal('failing'), count, mended: count, paths: z.array(text) }),
} as const;

/** @param type the frame's type byte; the map holds everything but `type`. */
export function encodeControl(type: number, message: ControlMessage): Uint8Array {
  const { type: _, ...fields } = forPeople(message);
  const body = packr.pack(fields);
  const frame = Buffer.allocUnsafeSlow(1 + body.length);
  frame[0] = type;
  frame.set(body, 1);
  return frame;
}

/** Paths that are told to people can be longer than a text may be (a path has no longest length): the beginning and the end say enough. */
function forPeople(message: ControlMessage): ControlMessage {
  switch (message.type) {
    case 'problems':
      return { ...message, problems: message.problems.map((one) => ({ ...one, path: shortened(one.path) })) };
    case 'extras':
    case 'kept':
    case 'failing':
      return { ...message, paths: message.paths.map(shortened) };
    case 'failed':
      return { ...message, message: shortened(message.message) };
    case 'hello':
    case 'welcome':
    case 'reconciled':
    case 'again':
      return message;
  }
}

function shortened(words: string): string {
  if (words.length <= maxTextLength) return words;
  const half = maxTextLength / 2 - 2;
  return `${words.slice(0, half)}...${words.slice(-half)}`;
}

export const decodeHello = (frame: Uint8Array): Hello => decode('hello', schemas.hello, frame);
export const decodeWelcome = (frame: Uint8Array): Welcome => decode('welcome', schemas.welcome, frame);
export const decodeReconciled = (frame: Uint8Array): Reconciled =>
  decode('reconciled', schemas.reconciled, frame);
export const decodeProblems = (frame: Uint8Array): Problems => decode('problems', schemas.problems, frame);
export const decodeFailed = (frame: Uint8Array): Failed => decode('failed', schemas.failed, frame);
export const decodeExtras = (frame: Uint8Array): Extras => decode('extras', schemas.extras, frame);
export const decodeAgain = (frame: Uint8Array): Again => decode('again', schemas.again, frame);
export const decodeFailing = (frame: Uint8Array): Failing => decode('failing', schemas.failing, frame);
export const decodeKept = (frame: Uint8Array): Kept => decode('kept', schemas.kept, frame);

function decode<T>(name: ControlMessage['type'], schema: z.ZodMiniType<T>, frame: Uint8Array): T {
  let fields: unknown;
  if (!isPlainMessagePack(frame, 1)) {
    throw new FamError('PROTOCOL', `${name} message is not plain MessagePack (at byte 1 of ${frame.length})`);
  }
  try {
    fields = unpackr.unpack(frame.subarray(1));
  } catch (cause) {
    throw new FamError('PROTOCOL', `${name} message is not MessagePack (at byte 1 of ${frame.length})`, {
      cause,
    });
  }
  const message = typeof fields === 'object' && fields !== null ? { ...fields, type: name } : fields;
  const parsed = schema.safeParse(message);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  throw new FamError('PROTOCOL', `${name} message is malformed${where}: ${issue?.message ?? 'unknown'}`);
}
