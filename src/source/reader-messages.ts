// What the main thread and the reader thread tell each other.

import type { MessagePort } from 'node:worker_threads';
import type { ErrorCode } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';
import type { SessionEvent, SessionOptions } from './session.ts';

export interface ReaderData {
  readonly root: ByteString;
  readonly stateDir: string;
  /** Where the tree's thread posts each new head. */
  readonly treePort: MessagePort;
  /** Bytes a second to all replicas together at most. */
  readonly bandwidth?: number | undefined;
}

/** A session's number, given by the main thread: one for each connection. */
export type SessionNumber = number;

export type ToReader =
  | { readonly type: 'attach'; readonly session: SessionNumber; readonly options: SessionOptions }
  | { readonly type: 'frame'; readonly session: SessionNumber; readonly frame: Uint8Array }
  | { readonly type: 'detach'; readonly session: SessionNumber }
  | { readonly type: 'stop' };

export type FromReader =
  /** One frame for all of these sessions' links. */
  | { readonly type: 'frame'; readonly sessions: SessionNumber[]; readonly frame: Uint8Array }
  | { readonly type: 'event'; readonly session: SessionNumber; readonly event: SessionEvent }
  /** The session cannot go on; its link is to be closed. */
  | {
      readonly type: 'broken';
      readonly session: SessionNumber;
      readonly code: ErrorCode;
      readonly message: string;
    }
  /** All that was to be said of the session has been. */
  | { readonly type: 'detached'; readonly session: SessionNumber }
  | { readonly type: 'stopped' };
