// What every link must do, whatever carries it: run by the pipe in memory, by a child process, and by ssh.

import { afterEach, describe, expect, it } from 'vitest';
import { FamError } from '../../src/core/errors.ts';
import type { Link, LinkEnd } from '../../src/wire/link.ts';
import { maxFrameBytes } from '../../src/wire/messages.ts';
import { askReport, floodFrameBytes, floodFrames } from '../support/link-peer.ts';
import { waitFor } from '../support/wait-for.ts';

export interface LinksUnderTest {
  readonly name: string;
  /** A link to a peer in the given mode (support/link-peer.ts). */
  open(mode: string): Promise<Link>;
  /** The peer runs elsewhere: its process can die by itself, and its memory is its own. */
  readonly ownProcess: boolean;
}

/** A frame of `size` bytes that holds its number and a pattern that shifts with it. */
function numbered(number: number, size: number): Buffer {
  const frame = Buffer.allocUnsafe(size);
  for (let i = 0; i < Math.min(size, 256); i++) frame[i] = (number + i) & 0xff;
  for (let at = 256; at < size; at *= 2) frame.copy(frame, at, 0, Math.min(at, size - at));
  if (size >= 5) {
    frame[0] = 0;
    frame.writeUInt32BE(number, 1);
  }
  return frame;
}

export function describeLinks(under: LinksUnderTest): void {
  describe(`Link over ${under.name}`, () => {
    const open: Link[] = [];
    const connect = async (mode: string): Promise<Link> => {
      const link = await under.open(mode);
      open.push(link);
      return link;
    };

    afterEach(async () => {
      for (const link of open) link.close(false);
      await Promise.all(open.splice(0).map((link) => link.ended));
    });

    it('brings frames of 0 bytes to 16 MiB there and back, in order', async () => {
      const link = await connect('echo');
      const sizes = [
        0,
        1,
        3,
        4,
        5,
        4095,
        4096,
        4097,
        65_531,
        65_532,
        65_536,
        300_000,
        0,
        maxFrameBytes,
        7,
        maxFrameBytes,
      ];
      const got: Uint8Array[] = [];
      link.onFrame = (frame) => got.push(frame);
      const sent = sizes.map((size, number) => numbered(number, size));
      for (const frame of sent) {
        if (!link.send(frame)) await link.drained();
      }
      await waitFor(() => got.length === sent.length, {
        describe: () => `${got.length} frames`,
        deadlineMs: 30_000,
      });
      sent.forEach((frame, i) => {
        expect(got[i]?.length).toBe(frame.length);
        expect(Buffer.compare(got[i] ?? Buffer.of(1), frame)).toBe(0);
      });
      const bytes = sizes.reduce((sum, size) => sum + size + 4, 0);
      expect(link.sentBytes).toBe(bytes);
      expect(link.receivedBytes).toBe(bytes);
    });

    it('brings a thousand small frames of one turn in order', async () => {
      const link = await connect('echo');
      const got: number[] = [];
      link.onFrame = (frame) => got.push(Buffer.from(frame).readUInt32BE(1));
      for (let i = 0; i < 1000; i++) link.send(numbered(i, 5 + (i % 50)));
      await waitFor(() => got.length === 1000, { describe: () => `${got.length} frames` });
      expect(got).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    });

    it('has taken the bytes of a frame when it says so: they may change then', async () => {
      const link = await connect('echo');
      const sizes = [5, 300_000, 16 * 1024, 16 * 1024 + 1, 1024 * 1024, 300_000];
      const got: Buffer[] = [];
      link.onFrame = (frame) => got.push(Buffer.from(frame));
      const memory = Buffer.alloc(1024 * 1024);
      for (const [number, size] of sizes.entries()) {
        numbered(number, size).copy(memory);
        await new Promise<void>((resolve) => {
          link.send(memory.subarray(0, size), resolve);
        });
      }
      memory.fill(0xff);
      await waitFor(() => got.length === sizes.length, { describe: () => `${got.length} frames` });
      for (const [number, size] of sizes.entries()) {
        expect(Buffer.compare(got[number] ?? Buffer.of(1), numbered(number, size))).toBe(0);
      }
    });

    it('says stop when the peer does not read, holds little meanwhile, and goes on when it does', async () => {
      const link = await connect('deaf');
      const frame = numbered(1, 256 * 1024);
      let sent = 0;
      let most = 0;
      let drained: boolean;
      // What lies between us and the peer (pipes, ssh's window) takes some of it, in bursts: a few MiB, not half a GiB.
      do {
        const more = link.send(frame);
        sent += frame.length;
        most = Math.max(most, link.buffered);
        expect(sent).toBeLessThan(64 * 1024 * 1024);
        drained = more;
        if (!more) {
          void link.drained().then(() => {
            drained = true;
          });
          await waitFor(() => drained, { deadlineMs: 500, describe: 'drained' }).catch(() => {});
        }
      } while (drained);
      expect(link.buffered).toBeGreaterThan(0);
      expect(most).toBeLessThan(4 * 1024 * 1024);
      // A link that ends lets go of whoever waits.
      link.close(false);
      await waitFor(() => drained, { describe: 'drained after the end' });
      expect(await link.ended).toEqual({ error: undefined });
    });

    it('stops reading while paused', async () => {
      const link = await connect('flood');
      let frames = 0;
      let seen = new Promise<void>(() => {});
      const next = () => {
        seen = new Promise((resolve) => {
          link.onFrame = () => {
            frames++;
            resolve();
          };
        });
      };
      next();
      await seen;
      link.pause();
      // What was read already may still come; then nothing.
      let before = -1;
      await waitFor(
        () => {
          const still = frames === before;
          before = frames;
          return still;
        },
        { describe: 'silence', intervalMs: 50 },
      );
      const received = link.receivedBytes;
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(link.receivedBytes).toBe(received);
      expect(received).toBeLessThan(16 * 1024 * 1024);
      next();
      link.resume();
      await seen;
    });

    it('receives half a GiB without growing', async () => {
      const link = await connect('flood');
      let frames = 0;
      let inOrder = true;
      let peak = 0;
      link.onFrame = (frame) => {
        inOrder &&=
          Buffer.from(frame.buffer, frame.byteOffset).readUInt32BE(1) === frames &&
          frame.length === floodFrameBytes;
        frames++;
        if (frames % 64 === 0) peak = Math.max(peak, process.memoryUsage().arrayBuffers);
      };
      await waitFor(() => frames === floodFrames, {
        describe: () => `${frames} of ${floodFrames} frames`,
        deadlineMs: 60_000,
        intervalMs: 50,
      });
      expect(inOrder).toBe(true);
      // Garbage that waits for the collector included.
      expect(peak).toBeLessThan(256 * 1024 * 1024);
    }, 90_000);

    it('sends half a GiB without growing, at either end', async () => {
      const link = await connect('sink');
      const frame = numbered(0, floodFrameBytes);
      let most = 0;
      for (let i = 0; i < floodFrames; i++) {
        const each = Buffer.from(frame);
        each.writeUInt32BE(i, 1);
        const more = link.send(each);
        most = Math.max(most, link.buffered);
        if (!more) await link.drained();
      }
      const report = await new Promise<{ frames: number; bytes: number; inOrder: boolean; external: number }>(
        (resolve) => {
          link.onFrame = (answer) => resolve(JSON.parse(Buffer.from(answer).toString()));
          link.send(Buffer.of(askReport));
        },
      );
      expect(report).toMatchObject({
        frames: floodFrames,
        bytes: floodFrames * floodFrameBytes,
        inOrder: true,
      });
      if (under.ownProcess) expect(report.external).toBeLessThan(256 * 1024 * 1024);
      expect(most).toBeLessThan(4 * 1024 * 1024);
    }, 90_000);

    it('delivers what was sent before a graceful close, and ends without an error', async () => {
      const link = await connect('farewell');
      const got: string[] = [];
      link.onFrame = (frame) => got.push(Buffer.from(frame).toString());
      expect(await link.ended).toEqual({ error: undefined });
      expect(got).toEqual(['bye 0', 'bye 1', 'bye 2']);
    });

    it('flushes before a graceful close of its own, and hears what the peer still has to say', async () => {
      const link = await connect('echo');
      const got: number[] = [];
      link.onFrame = (frame) => got.push(frame.length);
      for (let i = 0; i < 8; i++) link.send(numbered(i, 200_000 + i));
      link.close(true);
      expect(link.send(numbered(9, 10))).toBe(false);
      expect(await link.ended).toEqual({ error: undefined });
      expect(got).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => 200_000 + i));
      link.close(true);
      link.close(false);
    });

    it('ends at once when closed abruptly, and delivers nothing afterwards', async () => {
      const link = await connect('flood');
      await new Promise<void>((resolve) => {
        link.onFrame = () => resolve();
      });
      link.onFrame = () => expect.unreachable();
      link.close(false);
      expect(await link.ended).toEqual({ error: undefined });
    });

    it('hears the last words of a peer that takes no more', async () => {
      const link = await connect('last-words');
      const got: string[] = [];
      link.onFrame = (frame) => got.push(Buffer.from(frame).toString());
      let ended: LinkEnd | undefined;
      void link.ended.then((end) => {
        ended = end;
      });
      while (ended === undefined) {
        if (!link.send(numbered(0, 256 * 1024))) await link.drained();
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(got).toEqual(['no space left']);
    });

    it('reports a peer that dies inside a frame as an end that a retry may mend', async () => {
      const link = await connect('die-mid-frame');
      link.onFrame = () => expect.unreachable();
      const { error } = await link.ended;
      expect(error).toBeInstanceOf(FamError);
      expect(error).toMatchObject({ code: 'HOST_UNREACHABLE', retryable: true });
    });

    it('skips what a login shell prints before the magic', async () => {
      const link = await connect('noisy-echo');
      const answer = new Promise<string>((resolve) => {
        link.onFrame = (frame) => resolve(Buffer.from(frame).toString());
      });
      link.send(Buffer.from('hello'));
      expect(await answer).toBe('hello');
    });
  });
}
