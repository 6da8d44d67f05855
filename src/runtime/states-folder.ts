// Where fam keeps on a host what is to outlive its processes.

import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** /var/lib/fam for root, $XDG_STATE_HOME/fam otherwise. Holds all mirrors' states. */
export function statesFolder(): string {
  if (process.geteuid?.() === 0) return '/var/lib/fam';
  const given = process.env['XDG_STATE_HOME'] ?? '';
  // XDG Base Directory Specification: what is empty counts as not set, what is relative is to be ignored.
  return join(isAbsolute(given) ? given : join(homedir(), '.local', 'state'), 'fam');
}
