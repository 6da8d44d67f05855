// What the agent's threads say to each other.

import type { Seq } from '../core/attributes.ts';
import type { ErrorCode } from '../core/errors.ts';

export interface ApplierData {
  readonly root: string;
  readonly version: string;
}

export type ToApplier =
  | { readonly type: 'frames'; readonly frames: readonly Uint8Array[] }
  /** Finish what is in hand and end. */
  | { readonly type: 'stop' };

export type FromApplier =
  /** Frames for the source; `ready`: the last `frames` are dealt with, send what has gathered. */
  | { readonly type: 'send'; readonly frames: readonly Uint8Array[]; readonly ready: boolean }
  /** The thread ends; nothing follows. */
  | {
      readonly type: 'end';
      readonly failure: { readonly code: ErrorCode; readonly message: string } | undefined;
    };

export interface SyncData {
  readonly fd: number;
}
export interface SyncRequest {
  readonly cursor: Seq;
}
export interface SyncReply {
  readonly cursor: Seq;
  readonly result: number;
}
