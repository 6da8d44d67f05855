import { readFileSync } from 'node:fs';
import * as z from 'zod/mini';

/** Defined only inside the one-file agent, which has no package.json beside it (scripts/build-agent.mjs). */
declare const famBundleVersion: string | undefined;

/** The version of this package. */
export function packageVersion(): string {
  if (typeof famBundleVersion !== 'undefined') return famBundleVersion;
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version;
}
