// What the main thread and the reader thread tell each other.

import type { MessagePort } from 'node:worker_threads';
import type { ErrorCode } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';
import type { HowEnded, Pipes } from '../wire/link.ts';
import type { SessionEvent, SessionOptions } from './session.ts';

export interface ReaderData {
  readonly root: ByteString;
  readonly stateDir: string;
  /** The state folder of the replica that the source was before it was promoted. */
  readonly formerState?: string | undefined;
  /** Where the tree's thread posts each new head. */
  readonly treePort: MessagePort;
  /** Of the `ReadingTurn` with that thread. */
  readonly readingTurn: SharedArrayBuffer;
  /** Bytes a second to all replicas together at most. */
  readonly bandwidth?: number | undefined;
}

/** A session's number, given by the main thread: one for each connection. */
export type SessionNumber = number;

export type ToReader =
  | {
      readonly type: 'attach';
      readonly session: SessionNumber;
      readonly options: SessionOptions;
      readonly pipes: Pipes;
    }
  /** End its link: in order, after a `bye` and all that the agent still says, or at once. */
  | { readonly type: 'close'; readonly session: SessionNumber; readonly graceful: boolean }
  | { readonly type: 'stop' };

export type FromReader =
  | { readonly type: 'event'; readonly session: SessionNumber; readonly event: SessionEvent }
  /** Its pipes are closed, and all that was to be said of it has been. */
  | {
      readonly type: 'ended';
      readonly session: SessionNumber;
      readonly how: HowEnded;
      readonly error:
        | { readonly code: ErrorCode; readonly message: string; readonly retryable: boolean }
        | undefined;
    };
