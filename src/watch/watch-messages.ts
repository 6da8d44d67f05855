// What the main thread and a watch thread say to each other. Paths are byte strings.

import type { ErrorCode } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';
import type { NoticeCode, WatchEventType } from './event.ts';

export type WatchNumber = number;

/** One path of a watch. */
export interface ThreadRequest {
  /** Absolute, normalised. */
  readonly path: ByteString;
  readonly recursive: boolean;
  readonly filter: readonly string[];
}

export interface ThreadOptions {
  readonly requests: readonly ThreadRequest[];
  /** Types that are told of. */
  readonly events: readonly WatchEventType[];
  readonly initial: boolean;
  readonly executions: boolean;
  readonly settleMs: number;
  readonly followSymlinks: boolean;
  readonly monitor: 'fanotify' | 'inotify' | undefined;
}

export type ToWatchThread =
  | { readonly type: 'open'; readonly watch: WatchNumber; readonly options: ThreadOptions }
  /** One page has been consumed: another one may be sent. */
  | { readonly type: 'taken'; readonly watch: WatchNumber }
  | { readonly type: 'suspend' | 'resume' | 'close'; readonly watch: WatchNumber }
  | { readonly type: 'end' };

/** Events as flat values, `eventStride` each: cheap to hand over. */
export type FlatEvents = (string | number)[];

/** Events in their order; the consumer says `taken` when it has seen them all. */
export interface EventPage {
  readonly type: 'events';
  readonly watch: WatchNumber;
  /** What paths are relative to. */
  readonly root: ByteString;
  readonly events: FlatEvents;
}

/** Part of the initial listing: for each directory its path and its packed entries, which are told as `exists`. */
export interface ListingPage {
  readonly type: 'listing';
  readonly watch: WatchNumber;
  readonly root: ByteString;
  readonly directories: readonly string[];
}

export type FromWatchThread =
  /** `wakeFd`: the eventfd that the thread waits for; the main thread writes to it after each message, and closes it. */
  | { readonly type: 'started'; readonly wakeFd: number }
  | { readonly type: 'ready'; readonly watch: WatchNumber; readonly reasons: readonly string[] }
  | EventPage
  | ListingPage
  | {
      readonly type: 'problem';
      readonly watch: WatchNumber;
      readonly path: ByteString;
      readonly code: string;
    }
  | {
      readonly type: 'notice';
      readonly watch: WatchNumber;
      readonly path: ByteString;
      readonly code: NoticeCode;
      readonly message: string;
    }
  | {
      readonly type: 'failed';
      readonly watch: WatchNumber;
      readonly code: ErrorCode;
      readonly message: string;
      readonly retryable: boolean;
    }
  | { readonly type: 'closed'; readonly watch: WatchNumber };
