import { readFileSync } from 'node:fs';

/** Defined only inside the one-file agent, which has no package.json beside it (scripts/build-agent.mjs). */
declare const famBundleVersion: string | undefined;

/** The version of this package. */
export function packageVersion(): string {
  if (typeof famBundleVersion !== 'undefined') return famBundleVersion;
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const found: unknown = JSON.parse(text);
  const version =
    typeof found === 'object' && found !== null && 'version' in found ? found.version : undefined;
  if (typeof version !== 'string') throw new Error('package.json has no version');
  return version;
}
