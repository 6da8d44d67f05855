// The agent's end of a link: its own stdin and stdout.

import { Socket } from 'node:net';
import { FamError } from '../core/errors.ts';
import { magic } from '../wire/framing.ts';
import type { Link } from './link.ts';
import { StreamLink } from './stream-link.ts';

/**
 * The link over descriptors 0 and 1; writes the magic. Nothing else may read or write them: `process.stdin` and
 * `process.stdout` (console.log) must not be touched. They are not used here because a pipe behind
 * `process.stdout` is written synchronously: a source that does not read would stop the whole agent.
 * @throws FamError USAGE when they are not pipes or sockets (somebody typed the command).
 */
export function stdioLink(): Link {
  let input: Socket;
  let output: Socket;
  try {
    input = new Socket({ fd: 0, readable: true, writable: false });
    output = new Socket({ fd: 1, readable: false, writable: true });
  } catch (cause) {
    throw new FamError('USAGE', 'fam agent talks to fam mirror over pipes: it is not started by hand', {
      cause,
    });
  }
  output.write(magic);
  return new StreamLink({ input, output, hearsAfterClose: false });
}
