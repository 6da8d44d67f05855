// Who a source is: this machine's tree at this path. Known without the state folder, so that a source whose state was lost
// is met by its replicas as the one that they follow.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { ByteString } from '../core/name.ts';

/** A UUID (version 8 of RFC 9562: a digest) from machine-id(5) and the root's real path. */
export function sourceIdOf(root: ByteString): string {
  const digest = createHash('sha256').update(machineId()).update('\0').update(root, 'latin1').digest();
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x80;
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
  const hex = digest.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  );
}

function machineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'latin1').trim();
  } catch {
    // Not every container has one.
    return hostname();
  }
}
