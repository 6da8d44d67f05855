// How `fam watch` prints an event: a line for people, or a JSON object for programs.

import { bytesOfText, displayBytes } from '../core/name.ts';
import type { WatchEvent } from '../watch/event.ts';

/** One object a line; the names are part of the command's interface (docs/watch/command.md). */
export function jsonLine(event: WatchEvent): string {
  const line: Record<string, unknown> = { event: event.type, path: event.path };
  if (event.pathBytes !== undefined) line['pathBase64'] = Buffer.from(event.pathBytes).toString('base64');
  if ('kind' in event) line['kind'] = event.kind;
  if (event.type === 'moved') {
    line['from'] = event.from;
    if (event.fromBytes !== undefined) line['fromBase64'] = Buffer.from(event.fromBytes).toString('base64');
  }
  if ('pid' in event) line['pid'] = event.pid;
  if ('command' in event) line['command'] = event.command;
  if (event.type === 'rescan') line['why'] = event.why;
  return JSON.stringify(line);
}

/** `14:03:07 moved     a.html -> b.html  by vim (4711)` */
export function textLine(event: WatchEvent, now: Date): string {
  const clock = [now.getHours(), now.getMinutes(), now.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
  const mark = 'kind' in event && event.kind === 'directory' && !event.path.endsWith('/') ? '/' : '';
  const path = `${displayPath(event.path, event.pathBytes)}${mark}`;
  const what =
    event.type === 'moved' ? `${displayPath(event.from, event.fromBytes)}${mark} -> ${path}` : path;
  return `${clock} ${event.type.padEnd(longestType)} ${what}${byWhom(event)}`;
}

const longestType = 'attributes'.length;

function byWhom(event: WatchEvent): string {
  if (event.type === 'rescan') return `  (${event.why})`;
  if (!('pid' in event)) return '';
  return event.command === undefined
    ? `  by ${event.pid}`
    : `  by ${displayText(event.command)} (${event.pid})`;
}

function displayPath(path: string, bytes: Uint8Array | undefined): string {
  return bytes === undefined ? displayText(path) : displayBytes(Buffer.from(bytes).toString('latin1'));
}

/** On one line, and without anything that a terminal would obey. */
export function displayText(text: string): string {
  return displayBytes(bytesOfText(text));
}
