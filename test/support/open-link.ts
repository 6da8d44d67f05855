// A link over a transport's connection, in one thread: what the mirror does in two.

import { Socket } from 'node:net';
import type { HowEnded, Transport } from '../../src/transport/transport.ts';
import type { Link } from '../../src/wire/link.ts';
import { StreamLink } from '../../src/wire/stream-link.ts';

const never = new AbortController().signal;

/** Its end is told when the agent has gone, with what the agent's end says about why. */
export async function openLink(transport: Transport, signal: AbortSignal = never): Promise<Link> {
  const connection = await transport.connect(signal);
  const link = new StreamLink({
    input: new Socket({ fd: connection.inputFd, readable: true, writable: false }),
    output: new Socket({ fd: connection.outputFd, readable: false, writable: true }),
    received: connection.received,
  });
  let how: HowEnded = 'lost';
  const ended = link.ended.then(async ({ error }) => ({ error: (await connection.ended(how)) ?? error }));
  return {
    get buffered() {
      return link.buffered;
    },
    get sentBytes() {
      return link.sentBytes;
    },
    get receivedBytes() {
      return link.receivedBytes;
    },
    get onFrame() {
      return link.onFrame;
    },
    set onFrame(take) {
      link.onFrame = take;
    },
    send: (frame) => link.send(frame),
    drained: () => link.drained(),
    pause: () => link.pause(),
    resume: () => link.resume(),
    ended,
    close(graceful) {
      if (!graceful) how = 'cut';
      else if (how === 'lost') how = 'asked';
      link.close(graceful);
    },
  };
}
