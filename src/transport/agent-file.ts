// The one-file agent as this installation has it (scripts/build-agent.mjs).

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { FamError } from '../core/errors.ts';
import { packageVersion } from '../runtime/version.ts';
import type { AgentVersion } from './bootstrap.ts';

export interface AgentFile extends AgentVersion {
  readonly code: Uint8Array;
}

let own: AgentFile | undefined;

/** Read once. @throws FamError INTERNAL when fam has not been built. */
export function ownAgentFile(): AgentFile {
  own ??= readAgentFile(fileURLToPath(new URL('../../dist/agent-bundle.cjs', import.meta.url)));
  return own;
}

export function readAgentFile(path: string): AgentFile {
  try {
    const code = readFileSync(path);
    return { version: packageVersion(), code, sha256: createHash('sha256').update(code).digest('hex') };
  } catch (cause) {
    throw new FamError('INTERNAL', `${path} is missing: fam is not built (npm run build)`, { cause });
  }
}
