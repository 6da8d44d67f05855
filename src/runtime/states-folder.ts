// Where fam keeps on a host what is to outlive its processes, and how a path becomes a file's name there.

import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** /var/lib/fam for root, $XDG_STATE_HOME/fam otherwise. Holds all mirrors' states. */
export function statesFolder(): string {
  if (process.geteuid?.() === 0) return '/var/lib/fam';
  const given = process.env['XDG_STATE_HOME'] ?? '';
  // XDG Base Directory Specification: what is empty counts as not set, what is relative is to be ignored.
  return join(isAbsolute(given) ? given : join(homedir(), '.local', 'state'), 'fam');
}

/** A path, escaped as systemd-escape(1) does. */
export function escapedPath(path: string): string {
  let name = '';
  for (const byte of Buffer.from(path.replace(/^\/+|\/+$/g, ''))) {
    const char = String.fromCharCode(byte);
    if (char === '/') name += '-';
    else if (/[A-Za-z0-9:_.]/.test(char)) name += char;
    else name += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return name === '' ? '-' : name;
}
