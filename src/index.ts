// The package's door: `import { watch } from 'fam-mirror'`.

export { type ErrorCode, exitCodes, FamError } from './core/errors.ts';
export type {
  AttributesEvent,
  ChangedEvent,
  CreatedEvent,
  DeletedEvent,
  EndExistEvent,
  ExecutionStartedEvent,
  ExecutionStoppedEvent,
  ExistsEvent,
  FileKind,
  MovedEvent,
  NoticeCode,
  RescanEvent,
  RescanReason,
  WatchEvent,
  WatchEventType,
  WatchNotice,
} from './watch/event.ts';
export {
  type WatchCallback,
  type Watcher,
  type WatchOptions,
  type WatchRequest,
  type WatchTarget,
  watch,
} from './watch/watch.ts';
