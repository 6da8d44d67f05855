// Where a replica is, as rsync's users write it.

import { FamError } from '../core/errors.ts';

export type Destination =
  | { readonly kind: 'local'; readonly path: string }
  /** `userHost`: what ssh takes, `web1` or `www@2001:db8::1`. A path without a leading slash starts at the remote home. */
  | { readonly kind: 'ssh'; readonly userHost: string; readonly path: string };

/**
 * `[user@]host:path`, `[user@][v6addr]:path`, or a local path (no colon before the first slash).
 * @throws FamError USAGE
 */
export function parseDestination(text: string): Destination {
  if (text === '') throw usage(text, 'it is empty');
  if (text.includes('\0')) throw usage(text, 'it holds a NUL');
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    throw usage(text, 'URLs are not understood: write [USER@]HOST:PATH, and a port as --rsh "ssh -p PORT"');
  }
  const bracketed = /^(?:([^/:[\]]*)@)?\[([^\]/]*)\](.*)$/s.exec(text);
  if (bracketed !== null) {
    const [, user, host = '', rest = ''] = bracketed;
    if (!rest.startsWith(':')) throw usage(text, 'after [ADDRESS] comes a colon and the path');
    return remote(text, user, host, rest.slice(1));
  }
  const colon = text.indexOf(':');
  const slash = text.indexOf('/');
  if (colon < 0 || (slash >= 0 && slash < colon)) return { kind: 'local', path: text };
  const authority = text.slice(0, colon);
  const at = authority.lastIndexOf('@');
  return remote(
    text,
    at < 0 ? undefined : authority.slice(0, at),
    authority.slice(at + 1),
    text.slice(colon + 1),
  );
}

/** For people: `web1:/var/www`, `www@[2001:db8::1]:site`, `/mnt/copy`. */
export function showDestination(destination: Destination): string {
  if (destination.kind === 'local') return destination.path;
  const at = destination.userHost.lastIndexOf('@');
  const host = destination.userHost.slice(at + 1);
  const user = destination.userHost.slice(0, at + 1);
  return `${user}${host.includes(':') ? `[${host}]` : host}:${destination.path}`;
}

function remote(text: string, user: string | undefined, host: string, rest: string): Destination {
  if (host === '') throw usage(text, 'it names no host (a local path with a colon is written ./NAME)');
  // What starts with a dash would be an option to ssh; ssh refuses the other signs itself, after a shell has seen them.
  if (host.startsWith('-') || user?.startsWith('-') === true)
    throw usage(text, 'a host or user starts with a dash');
  if (/[\s'"`$\\;&|<>()]/.test(`${user ?? ''}${host}`))
    throw usage(text, 'the host or user holds an illegal character');
  if (user === '') throw usage(text, 'it names no user before the @');
  if (rest.startsWith(':'))
    throw usage(text, 'HOST::MODULE means an rsync daemon, which is not supported: write HOST:PATH');
  const path = rest === '~' ? '.' : rest.replace(/^~\/+/, '');
  if (path.startsWith('~')) throw usage(text, "another user's home is not known here: write the whole path");
  if (path === '') throw usage(text, `it names no path (the remote home itself is written ${host}:.)`);
  return { kind: 'ssh', userHost: user === undefined ? host : `${user}@${host}`, path };
}

function usage(text: string, why: string): FamError {
  return new FamError('USAGE', `destination '${text}': ${why}`);
}
