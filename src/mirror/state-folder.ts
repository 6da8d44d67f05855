// Where a source keeps its state: one folder a source, named after its path.

import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** The folder that holds all mirrors' states: /var/lib/fam for root, $XDG_STATE_HOME/fam otherwise. */
export function statesFolder(): string {
  if (process.geteuid?.() === 0) return '/var/lib/fam';
  const given = process.env['XDG_STATE_HOME'] ?? '';
  // XDG Base Directory Specification: what is empty counts as not set, what is relative is to be ignored.
  return join(isAbsolute(given) ? given : join(homedir(), '.local', 'state'), 'fam');
}

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
