// The other end of a link under test, in this process or in one of its own (link-peer-main.ts). Its mode comes as the replica's path.

import type { Link } from '../../src/wire/link.ts';

/** What a peer needs of its link. */
export type PeerLink = Pick<Link, 'onFrame' | 'send' | 'drained' | 'pause' | 'resume'> & {
  readonly ended: Promise<unknown>;
  close(graceful: boolean): void;
};

/** First byte of a frame that asks a `sink` for its report. */
export const askReport = 0xff;

/** What a `flood` sends. */
export const floodFrames = 2048;
export const floodFrameBytes = 256 * 1024;

export interface PeerProcess {
  exit(code: number): void;
}

export function servePeer(link: PeerLink, mode: string, self: PeerProcess): void {
  switch (mode) {
    case 'echo':
      // Answers everything, and reads no more than it can answer.
      link.onFrame = (frame) => {
        if (link.send(frame)) return;
        link.pause();
        void link.drained().then(() => link.resume());
      };
      break;
    case 'sink': {
      let frames = 0;
      let bytes = 0;
      let inOrder = true;
      link.onFrame = (frame) => {
        if (frame[0] === askReport) {
          const { heapUsed, external, rss } = process.memoryUsage();
          link.send(Buffer.from(JSON.stringify({ frames, bytes, inOrder, heapUsed, external, rss })));
          return;
        }
        if (frame.length >= 5) inOrder &&= Buffer.from(frame).readUInt32BE(1) === frames;
        frames++;
        bytes += frame.length;
      };
      break;
    }
    case 'deaf': {
      link.pause();
      // Nothing else keeps a process alive that reads nothing, and nothing else ends it: it cannot see its peer go.
      const alive = setTimeout(() => self.exit(0), 30_000);
      void link.ended.then(() => clearTimeout(alive));
      break;
    }
    case 'farewell':
      for (let i = 0; i < 3; i++) link.send(Buffer.from(`bye ${i}`));
      link.close(true);
      void link.ended.then(() => self.exit(0));
      break;
    case 'last-words':
      link.onFrame = () => {
        link.send(Buffer.from('no space left'));
        link.close(true);
        void link.ended.then(() => self.exit(32));
        link.onFrame = () => {};
      };
      break;
    case 'flood':
      void flood(link);
      break;
    default:
      throw new Error(`no mode ${mode}`);
  }
}

async function flood(link: PeerLink): Promise<void> {
  for (let i = 0; i < floodFrames; i++) {
    const frame = Buffer.allocUnsafeSlow(floodFrameBytes);
    frame.writeUInt32BE(i, 1);
    frame[0] = 0;
    if (!link.send(frame)) await link.drained();
  }
}
