// What the agent's threads say to each other.

import type { MessagePort } from 'node:worker_threads';
import type { Seq } from '../core/attributes.ts';
import type { ErrorCode } from '../core/errors.ts';

export interface ApplierData {
  readonly root: string;
  readonly version: string;
  /** Where the source's frames come from: nobody else reads it. */
  readonly inputFd: number;
  /** Signalled after each message to the applier: it waits in poll, not for messages. */
  readonly wakeFd: number;
}

/** Finish what is in hand and end. */
export interface ToApplier {
  readonly type: 'stop';
}

export type FromApplier =
  /** Frames for the source. */
  | { readonly type: 'send'; readonly frames: readonly Uint8Array[] }
  /** A thread is wanted that makes the descriptor's file system durable when it is asked to by the port. */
  | { readonly type: 'sync'; readonly fd: number; readonly port: MessagePort }
  /** The thread ends; nothing follows. */
  | {
      readonly type: 'end';
      readonly failure: { readonly code: ErrorCode; readonly message: string } | undefined;
    };

export interface SyncData {
  readonly fd: number;
  readonly port: MessagePort;
  /** Signalled after each reply. */
  readonly wakeFd: number;
}
export interface SyncRequest {
  readonly cursor: Seq;
}
export interface SyncReply {
  readonly cursor: Seq;
  readonly result: number;
}
