// What the main thread and the tree's thread say to each other. Both are ours and of one version: no parsing at the door.

import type { MessagePort } from 'node:worker_threads';
import type { Seq } from '../core/attributes.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';
import type { Inheritance } from '../core/succession.ts';
import type { ConditionEvent } from '../kernel/event-source.ts';

export interface TreeData {
  readonly root: ByteString;
  /** undefined: the root has never been a replica. */
  readonly inherited: Inheritance | undefined;
  readonly stateDir: string;
  readonly monitor: 'fanotify' | 'inotify' | undefined;
  readonly settleMs: number;
  readonly hotFileMaxDelayMs: number;
  readonly trustSource: boolean;
  /** Signalled by the main thread after each message: the thread waits in poll, not for messages. */
  readonly wakeFd: number;
  /** To the reader thread, which hears of a new head here, one hop earlier than by way of the main thread. */
  readonly readerPort: MessagePort | undefined;
  /** Of the `ReadingTurn` with that thread. */
  readonly readingTurn: SharedArrayBuffer | undefined;
}

export type ToTree =
  | { readonly type: 'barrier'; readonly id: number }
  /** Every replica has everything up to here on its disk: single changes up to it, tombstones included, can be forgotten. */
  | { readonly type: 'prune'; readonly seq: Seq }
  /** This has not been where it is recorded for seconds: an event was lost. */
  | { readonly type: 'missing'; readonly path: ByteString }
  | { readonly type: 'stop' };

export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
}

/** A named condition of the kernel's event source, and what is done about it. */
export interface Condition {
  readonly type: 'condition';
  readonly code: ConditionEvent['type'] | 'power-loss' | 'format' | 'missing';
  /** Where, relative to the root, if it is not about all of it. */
  readonly path?: ByteString;
  readonly message: string;
}

/** The tree has more records, or more of it has been listed: to the main thread and to the reader thread. */
export interface HeadMoved {
  readonly type: 'head';
  readonly seq: Seq;
  /** Files, folders and all else that the tree holds. */
  readonly inodes: number;
  /** A scan runs: what has not been listed will be. */
  readonly scanning: boolean;
}

export type FromTree =
  | {
      readonly type: 'ready';
      readonly head: Seq;
      readonly monitor: 'fanotify' | 'inotify';
      readonly monitorReason: string;
      readonly sourceId: string;
      readonly epoch: number;
    }
  | HeadMoved
  | ScanTotals
  | { readonly type: 'problem'; readonly problem: Problem }
  | Condition
  | { readonly type: 'barrier'; readonly id: number; readonly seq: Seq }
  | { readonly type: 'failed'; readonly error: WireError };

/** Totals of the scan that runs; the store holds what they count. `done` once at its end. */
export interface ScanTotals {
  readonly type: 'scan';
  readonly files: number;
  readonly directories: number;
  /** Left out: they mean nothing without the process that listens. */
  readonly sockets: number;
  readonly done: boolean;
}
