// What ssh means by its exit code and by what it prints.

import { FamError } from '../core/errors.ts';
import { nodeMissing } from './bootstrap.ts';
import { type ChildEnd, tailOf } from './child.ts';
import { classifyAgentEnd } from './local.ts';

const hostKey =
  /Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No .{1,40} host key is known for/i;
const denied =
  /Permission denied|Too many authentication failures|No more authentication methods|no mutual signature|Load key .* bad permissions/i;
const unreachable = [
  [
    /Could not resolve hostname|Name or service not known|Temporary failure in name resolution/i,
    'no such host',
  ],
  [/Connection refused/i, 'connection refused'],
  [/timed out|Timeout, server .* not responding/i, 'it does not answer'],
  [/No route to host|Network is unreachable|Host is down/i, 'no route to it'],
  [
    /Connection reset|Connection closed|Broken pipe|Connection to .* closed|kex_exchange_identification/i,
    'the connection broke',
  ],
] as const;

/** ssh's own failures (man ssh, EXIT STATUS); everything else is the remote command's exit code. */
const sshFailed = 255;
/** What shells answer for a command that they cannot run. */
const notFound = 127;

/** Why the ssh process of `host` ended, or undefined when nothing is wrong with that. */
export function classifySshEnd(
  label: string,
  host: string,
  rsh: string,
  end: ChildEnd,
): FamError | undefined {
  if (end.startError !== undefined || (end.code === notFound && end.stderr.includes(rsh))) {
    return new FamError(
      'HOST_UNREACHABLE',
      `${label}: '${rsh}' cannot be run here: install it (openssh-client) or name another with --rsh`,
      {
        cause: end.startError,
      },
    );
  }
  const said = end.stderr;
  if (end.code === sshFailed || end.signal !== undefined) {
    if (hostKey.test(said)) {
      return new FamError(
        'HOST_KEY',
        `${label}: ssh does not trust the host key of ${host}: connect once by hand (ssh ${host}) and check it, or mend known_hosts${tailOf(end)}`,
      );
    }
    if (denied.test(said)) {
      return new FamError(
        'SSH_DENIED',
        `${label}: ssh is not let in: see that 'ssh ${host} true' works without a password (ssh-copy-id ${host})${tailOf(end)}`,
      );
    }
    const [, why = 'ssh failed'] = unreachable.find(([pattern]) => pattern.test(said)) ?? [];
    return new FamError('HOST_UNREACHABLE', `${label}: cannot reach ${host}: ${why}${tailOf(end)}`, {
      retryable: true,
    });
  }
  if (end.code === nodeMissing) {
    return new FamError(
      'NODE_MISSING',
      `${label}: no node in PATH of ${host} (needs Node.js >= 20.19): install nodejs or fam-mirror there${tailOf(end)}`,
    );
  }
  return classifyAgentEnd(label, end);
}
