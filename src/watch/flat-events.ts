// Events as they cross from the watch thread: six values each, in one array. Structured cloning of plain values costs a
// tenth of cloning as many objects.

import type { ByteString } from '../core/name.ts';
import { under } from '../core/under.ts';
import { kindName, kindOf } from './entry-code.ts';
import {
  type FileKind,
  type RescanReason,
  type WatchEvent,
  type WatchEventType,
  watchEventTypes,
} from './event.ts';
import type { TreeEvent } from './outbox.ts';
import { eachPacked } from './packed-entries.ts';
import type { EventPage, FlatEvents, ListingPage } from './watch-messages.ts';

// type and kind, path, from, pid, command, why; '' and 0 for what there is not.
const stride = 6;

const kinds: readonly FileKind[] = ['file', 'directory', 'symlink', 'fifo', 'socket', 'device'];
const reasons: readonly RescanReason[] = ['overflow', 'mounted', 'unmounted', 'replaced'];

export function pushFlat(out: FlatEvents, event: TreeEvent): void {
  const type = watchEventTypes.indexOf(event.type);
  out.push(
    type + kinds.indexOf(event.kind) * 16,
    event.path,
    event.from ?? '',
    event.pid ?? 0,
    event.command ?? '',
    event.why === undefined ? -1 : reasons.indexOf(event.why),
  );
}

/** Decodes one event after the other, when it is asked for. */
export function* eventsOf(page: EventPage | ListingPage): Generator<WatchEvent> {
  if (page.type === 'events') {
    for (let at = 0; at < page.events.length; at += stride) yield eventAt(page, at);
    return;
  }
  for (let at = 0; at < page.directories.length; at += 2) {
    const directory = under(page.root, page.directories[at] ?? '');
    const found: WatchEvent[] = [];
    eachPacked(page.directories[at + 1] ?? '', (name, code) => {
      const kind = kindName(kindOf(code));
      found.push({ type: 'exists', ...aboutPath(under(directory, name)), kind });
    });
    yield* found;
  }
}

function eventAt({ root, events }: EventPage, at: number): WatchEvent {
  const code = Number(events[at]);
  const type: WatchEventType = watchEventTypes[code % 16] ?? 'rescan';
  const kind = kinds[code >>> 4] ?? 'file';
  const about = aboutPath(under(root, String(events[at + 1])));
  const from = String(events[at + 2]);
  const pid = Number(events[at + 3]);
  const command = String(events[at + 4]);
  const by = pid === 0 ? {} : command === '' ? { pid } : { pid, command };
  switch (type) {
    case 'exists':
      return { type, ...about, kind };
    case 'endExist':
      return { type, ...about };
    case 'created':
    case 'changed':
    case 'attributes':
    case 'deleted':
      return { type, ...about, kind, ...by };
    case 'moved': {
      const { path, pathBytes } = aboutPath(under(root, from));
      const former = pathBytes === undefined ? { from: path } : { from: path, fromBytes: pathBytes };
      return { type, ...about, kind, ...former, ...by };
    }
    case 'rescan':
      return { type, ...about, why: reasons[Number(events[at + 5])] ?? 'overflow' };
    case 'executionStarted':
    case 'executionStopped':
      return { type, ...about, pid, ...(command === '' ? {} : { command }) };
  }
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export function aboutPath(bytes: ByteString): { readonly path: string; readonly pathBytes?: Uint8Array } {
  let isAscii = true;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes.charCodeAt(i) > 0x7f) {
      isAscii = false;
      break;
    }
  }
  if (isAscii) return { path: bytes };
  const raw = Buffer.from(bytes, 'latin1');
  const path = decoder.decode(raw);
  // U+FFFD may stand for a byte that is not UTF-8, or for itself: only the way back tells.
  return Buffer.from(path, 'utf8').equals(raw) ? { path } : { path, pathBytes: new Uint8Array(raw) };
}
