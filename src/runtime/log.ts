// One line an event, on stderr: text for people on a terminal, JSON (pino) for programs.

import { type Logger, pino } from 'pino';
import { printable } from '../core/printable.ts';
import { LogOutput } from './log-output.ts';

export type Log = Logger;
export type LogFormat = 'text' | 'json';

/** To the beginning of the terminal's line, and nothing in it. */
export const clearLine = '\r\u001b[K';

const levels: Readonly<Record<number, string>> = { 40: 'warning: ', 50: 'error: ', 60: 'error: ' };

/** @param format default: text when stderr is a terminal, else JSON */
export function openLog(format: LogFormat | undefined): Log {
  const chosen = format ?? (process.stderr.isTTY ? 'text' : 'json');
  const output = new LogOutput(2);
  if (chosen === 'json') return pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, output);
  return pino({ base: null }, { write: (line: string) => output.write(textOf(line)) });
}

function textOf(line: string): string {
  const entry: unknown = JSON.parse(line);
  const field = (name: string): unknown => (entry instanceof Object ? Reflect.get(entry, name) : undefined);
  const time = new Date(Number(field('time')));
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
  const replica = field('replica');
  const where = typeof replica === 'string' ? `${replica}: ` : '';
  // There may be a progress bar.
  const begin = process.stderr.isTTY ? clearLine : '';
  return `${begin}${clock} ${levels[Number(field('level'))] ?? ''}${printable(`${where}${String(field('msg'))}`)}\n`;
}
