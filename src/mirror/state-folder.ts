// Where a source keeps its state: one folder a source, named after its path.

import { join } from 'node:path';
import { statesFolder } from '../runtime/states-folder.ts';

/** The state folder of a source that was given no `--state`: its path, escaped as systemd-escape(1) does. */
export function stateFolderOf(source: string): string {
  let name = '';
  for (const byte of Buffer.from(source.replace(/^\/+|\/+$/g, ''))) {
    const char = String.fromCharCode(byte);
    if (char === '/') name += '-';
    else if (/[A-Za-z0-9:_.]/.test(char)) name += char;
    else name += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return join(statesFolder(), name === '' ? '-' : name);
}
