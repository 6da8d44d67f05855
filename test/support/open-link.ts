// A link over a transport's connection, in one thread: what the mirror does in two.

import type { Transport } from '../../src/transport/transport.ts';
import type { HowEnded, Link } from '../../src/wire/link.ts';
import { linkOver } from '../../src/wire/pipe-link.ts';

const never = new AbortController().signal;

/** Its end is told when the agent has gone, with what the agent's end says about why. */
export async function openLink(transport: Transport, signal: AbortSignal = never): Promise<Link> {
  const connection = await transport.connect(signal);
  const link = linkOver(connection);
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
    send: (frame, written) => link.send(frame, written),
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
