// What comes before everything else of a mirror: the source and the state are where they may be, and ssh is on its way to the
// replicas while the rest of fam is still being loaded. So this imports little.

import { mkdirSync, realpathSync, statSync } from 'node:fs';
import { posix, resolve } from 'node:path';
import { codeOf, FamError } from '../core/errors.ts';
import type { HostPlace } from '../core/host-place.ts';
import type { Inheritance } from '../core/succession.ts';
import { isWithin } from '../core/under.ts';
import { plannedRealPath } from '../runtime/planned-real-path.ts';
import { type Destination, parseDestination, showDestination } from '../transport/destination.ts';
import { EagerTransport } from '../transport/eager.ts';
import { LocalTransport } from '../transport/local.ts';
import { SshTransport } from '../transport/ssh.ts';
import type { Transport } from '../transport/transport.ts';
import { hostPlaceOf } from '../tree/host-place.ts';
import { inheritanceOf } from './inheritance.ts';
import { stateFolderOf } from './state-folder.ts';

export interface PrepareOptions {
  /** The source, as text; a folder. */
  readonly source: string;
  /** `host:path`, `user@host:path` or a local path; one or more. */
  readonly destinations: readonly string[];
  /** State folder; default by the source's path (state-folder.ts). */
  readonly stateDir: string | undefined;
  /** The ssh command, as rsync's -e takes it. */
  readonly rsh: string | undefined;
  /** Let ssh compress what it carries. */
  readonly compress?: boolean;
  /** A line of a replica's agent for the log. */
  readonly onAgentLine: (replica: string, line: string) => void;
}

/** A mirror that has begun to connect. Whoever does not start it abandons it. */
export interface Prepared {
  /** Real paths. */
  readonly source: string;
  readonly stateDir: string;
  /** Of the source. */
  readonly place: HostPlace;
  /** undefined: the source has never been a replica. */
  readonly inherited: Inheritance | undefined;
  readonly transports: readonly EagerTransport[];
  abandon(): Promise<void>;
}

/** @throws FamError SOURCE_*, STATE_UNUSABLE, OVERLAP, SUPERSEDED, USAGE; nothing has been begun then */
export function prepare(options: PrepareOptions): Prepared {
  const source = sourceFolder(options.source);
  const destinations = options.destinations.map(parseDestination);
  const places = destinations.map(placeOf);
  refuseOverlaps(source, places);
  const inherited = inheritanceOf(source);
  const place = hostPlaceOf(source);
  const stateDir = stateFolder(options.stateDir ?? stateFolderOf(source), source, places);
  const transports = destinations.map((destination) => new EagerTransport(transportTo(destination, options)));
  return {
    source,
    stateDir,
    place,
    inherited,
    transports,
    async abandon() {
      await Promise.all(transports.map((transport) => transport.abandon()));
    },
  };
}

function transportTo(destination: Destination, options: PrepareOptions): Transport {
  const replica = showDestination(destination);
  const onLogLine = (line: string): void => options.onAgentLine(replica, line);
  if (destination.kind === 'local') return new LocalTransport(destination.path, { onLogLine });
  // ssh compresses well enough, and no peer has to understand one more format.
  const rsh = options.compress === true ? `${options.rsh ?? 'ssh'} -C` : options.rsh;
  return new SshTransport(destination.userHost, destination.path, {
    ...(rsh === undefined ? {} : { rsh }),
    onLogLine,
  });
}

/** The source's real path. */
function sourceFolder(given: string): string {
  // A variable that is not set would name the working directory.
  if (given === '') throw new FamError('USAGE', 'the source is empty: name a folder, `.` for this one');
  try {
    const path = realpathSync(given);
    if (!statSync(path).isDirectory()) {
      throw new FamError(
        'SOURCE_NOT_DIRECTORY',
        `${given} is not a folder: fam mirrors folders; name the one that holds it`,
      );
    }
    return path;
  } catch (cause) {
    if (cause instanceof FamError) throw cause;
    const code = codeOf(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new FamError(
        'SOURCE_MISSING',
        `${given} does not exist: check the path, or mount what should be there`,
        { cause },
      );
    }
    throw new FamError(
      'SOURCE_UNREADABLE',
      `${given} cannot be read (${String(code)}): run fam as a user who may`,
      { cause },
    );
  }
}

function stateFolder(path: string, source: string, places: readonly DestinationPlace[]): string {
  const planned = plannedRealPath(resolve(path), existingRealPath);
  const refuse = (what: string): void => {
    throw new FamError(
      'OVERLAP',
      `the state folder ${path} lies inside the ${what}: name another with --state`,
    );
  };
  if (isWithin(planned, source)) refuse(`source ${source}`);
  for (const { host, path: replica, given } of places) {
    if (host === undefined && isWithin(planned, replica)) refuse(`replica ${given}`);
  }
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new FamError(
      'STATE_UNUSABLE',
      `the state folder ${path} cannot be made: name another with --state`,
      { cause },
    );
  }
  return realpathSync(path);
}

/** One replica's agent would take what another one's makes for somebody else's, and move it to the trash, or for its own. */
function refuseOverlaps(source: string, places: readonly DestinationPlace[]): void {
  for (const { host, path, given } of places) {
    if (host === undefined && (isWithin(path, source) || isWithin(source, path)))
      throw new FamError('OVERLAP', `${given} and the source ${source} lie within one another`);
  }
  for (const [index, one] of places.entries()) {
    for (const other of places.slice(0, index)) {
      if (one.host !== other.host) continue;
      if (one.path === other.path)
        throw new FamError('OVERLAP', `${other.shown} and ${one.shown} are the same place: name it once`);
      if (isWithin(one.path, other.path) || isWithin(other.path, one.path)) {
        throw new FamError(
          'OVERLAP',
          `the destinations ${other.shown} and ${one.shown} lie within one another: name places apart`,
        );
      }
    }
  }
}

interface DestinationPlace {
  readonly shown: string;
  /** The path as it was given. */
  readonly given: string;
  /** As it was written; two that are one host are not recognised, nor what symlinks there lead to. undefined: this one. */
  readonly host: string | undefined;
  readonly path: string;
}

function placeOf(destination: Destination): DestinationPlace {
  const shown = showDestination(destination);
  const given = destination.path;
  if (destination.kind === 'local')
    return { shown, given, host: undefined, path: plannedRealPath(resolve(given), existingRealPath) };
  return { shown, given, host: destination.userHost, path: remotePathOf(given) };
}

/** Without `..`, and without what means nothing. One that starts at the remote home begins with `./`. */
function remotePathOf(path: string): string {
  const normal = posix.normalize(path).replace(/(.)\/$/, '$1');
  if (normal === '.' || /^(?:\/|\.\.(?:\/|$))/.test(normal)) return normal;
  return `./${normal}`;
}

function existingRealPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    // Node.js puts U+FFFD in the place of what is not UTF-8, and finds nothing there.
    const code = String(codeOf(cause));
    const message = `${path} leads to what cannot be named (${code}): the roots of a mirror have to be UTF-8, symlinks followed`;
    throw new FamError('USAGE', message, { cause });
  }
}
