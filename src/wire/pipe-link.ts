// A link over descriptors, in the thread that takes them.

import { Socket } from 'node:net';
import type { Pipes } from './link.ts';
import { StreamLink } from './stream-link.ts';

export function linkOver({ inputFd, outputFd, received }: Pipes): StreamLink {
  return new StreamLink({
    input: new Socket({ fd: inputFd, readable: true, writable: false }),
    output: new Socket({ fd: outputFd, readable: false, writable: true }),
    received,
  });
}
