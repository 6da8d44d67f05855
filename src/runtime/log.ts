// One line an event, on stderr: text for people on a terminal, JSON (pino) for programs.

import { writeSync } from 'node:fs';
import { type Logger, pino } from 'pino';
import { codeOf } from '../core/errors.ts';

export type Log = Logger;
export type LogFormat = 'text' | 'json';

/** To the beginning of the terminal's line, and nothing in it. */
export const clearLine = '\r\u001b[K';

const levels: Readonly<Record<number, string>> = { 40: 'warning: ', 50: 'error: ', 60: 'error: ' };

/** @param format default: text when stderr is a terminal, else JSON */
export function openLog(format: LogFormat | undefined): Log {
  const chosen = format ?? (process.stderr.isTTY ? 'text' : 'json');
  // Synchronous: a line is out before whatever comes next, also when that is the end of the process.
  const json = pino.destination({ dest: 2, sync: true });
  if (chosen === 'json') return pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, json);
  return pino({ base: null }, { write: (line: string) => writeText(line) });
}

function writeText(line: string): void {
  const entry: unknown = JSON.parse(line);
  if (typeof entry !== 'object' || entry === null) return;
  const field = (name: string): unknown => Reflect.get(entry, name);
  const time = new Date(Number(field('time')));
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
  const replica = field('replica');
  const where = typeof replica === 'string' ? `${replica}: ` : '';
  // There may be a progress bar.
  const begin = process.stderr.isTTY ? clearLine : '';
  writeAll(`${begin}${clock} ${levels[Number(field('level'))] ?? ''}${where}${String(field('msg'))}\n`);
}

/** stderr may be a non-blocking pipe: a line is not given up because its reader is slow. */
function writeAll(text: string): void {
  let bytes: Uint8Array = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(2, bytes));
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') return;
    }
  }
}
