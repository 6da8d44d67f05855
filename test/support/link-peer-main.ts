// link-peer.ts as an agent's process: `agent --encoded MODE`. `noisy-` before the mode greets first, as a login shell may.

import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { StdioLink } from '../../src/transport/stdio.ts';
import { FrameDecoder, magic } from '../../src/wire/framing.ts';
import { type PeerLink, servePeer } from './link-peer.ts';

const mode = process.argv.at(-1)?.split('/').at(-1) ?? '';

if (mode === 'die-mid-frame') {
  writeSync(1, magic);
  writeSync(1, Buffer.from([0, 0, 4, 0, 1, 2, 3]));
  process.exit(0);
} else if (mode === 'no-agent') {
  writeSync(1, 'This account is currently not available.\n');
  process.exit(0);
} else if (mode === 'full') {
  writeSync(2, 'fam: no space left on /mnt/copy\n');
  process.exit(32);
} else if (mode === 'crash') {
  writeSync(2, 'Fatal: out of luck\n');
  process.exit(7);
} else {
  if (mode.startsWith('noisy-'))
    writeSync(1, `Welcome to web1!\n\0FAM\0\n${'It is a nice day. '.repeat(500)}\n`);
  servePeer(stdioPeer(), mode.replace(/^noisy-/, ''), { exit: (code) => process.exit(code) });
}

/** What an agent has, and its stdin read in this thread. */
function stdioPeer(): PeerLink {
  const link = new StdioLink();
  const input = new Socket({ fd: link.inputFd, readable: true, writable: false });
  const decoder = new FrameDecoder();
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const peer: PeerLink = {
    onFrame: () => {},
    send: (frame) => link.send(frame),
    drained: () => link.drained(),
    pause: () => void input.pause(),
    resume: () => void input.resume(),
    ended,
    close() {
      void link.close().then(end);
    },
  };
  input.on('data', (chunk: Uint8Array) => decoder.push(chunk, (frame) => peer.onFrame(frame)));
  for (const event of ['error', 'close']) input.on(event, () => end());
  return peer;
}
