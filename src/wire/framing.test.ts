import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FamError } from '../core/errors.ts';
import { FrameDecoder, frameHead, MarkerFinder, magic, marker, maxNoiseBytes } from './framing.ts';
import { maxFrameBytes } from './messages.ts';

/** Cuts bytes at the given places, whatever they are. */
function chunksOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  let from = 0;
  for (const to of [...places, bytes.length]) {
    chunks.push(bytes.subarray(from, to));
    from = to;
  }
  return chunks;
}

const framed = (frames: readonly Uint8Array[]) =>
  Buffer.concat(frames.flatMap((frame) => [frameHead(frame.length), frame]));

describe('FrameDecoder', () => {
  it('gives back the frames whatever the chunks', () => {
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 30 }),
      fc.nat(3000).map((size) => Buffer.alloc(size, size)),
    );
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), fc.array(fc.nat()), (frames, cuts) => {
        const decoder = new FrameDecoder();
        const got: Buffer[] = [];
        for (const chunk of chunksOf(framed(frames), cuts))
          decoder.push(chunk, (each) => got.push(Buffer.from(each)));
        expect(got.map((each) => each.toString('hex'))).toEqual(
          frames.map((each) => Buffer.from(each).toString('hex')),
        );
        expect(decoder.atBoundary).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('gives back the frames when they are read to where they stay, and their memory is used again', () => {
    const frame = fc.nat(3000).map((size) => Buffer.alloc(size, size));
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), fc.array(fc.nat(500)), (frames, sizes) => {
        const decoder = new FrameDecoder();
        const bytes = framed(frames);
        const got: string[] = [];
        const take = (each: Uint8Array): void => {
          got.push(Buffer.from(each).toString('hex'));
          decoder.recycle();
        };
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = 1 + (sizes[turn % sizes.length] ?? 0);
          const room = decoder.room();
          const next = bytes.subarray(at, at + Math.min(size, room?.length ?? size));
          at += next.length;
          if (room === undefined) decoder.push(Buffer.from(next), take);
          else {
            room.set(next);
            decoder.filled(next.length, take);
          }
        }
        expect(got).toEqual(frames.map((each) => each.toString('hex')));
        expect(decoder.atBoundary).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('leaves a frame alone that was not given back', () => {
    const decoder = new FrameDecoder();
    const kept: Uint8Array[] = [];
    const frames = [Buffer.alloc(100, 1), Buffer.alloc(100, 2), Buffer.alloc(100, 3)];
    for (const frame of frames) {
      const bytes = framed([frame]);
      decoder.push(bytes.subarray(0, 50), () => expect.unreachable());
      decoder.push(bytes.subarray(50), (each) => kept.push(each));
    }
    expect(kept.map((each) => each[0])).toEqual([1, 2, 3]);
  });

  it('knows when the stream stands inside a frame', () => {
    const decoder = new FrameDecoder();
    const bytes = framed([Buffer.from('hello')]);
    for (let i = 0; i < bytes.length - 1; i++) {
      decoder.push(bytes.subarray(i, i + 1), () => expect.unreachable());
      expect(decoder.atBoundary).toBe(false);
    }
    decoder.push(bytes.subarray(-1), () => {});
    expect(decoder.atBoundary).toBe(true);
  });

  it('refuses a length over the limit, in one chunk or byte by byte', () => {
    const head = frameHead(maxFrameBytes + 1);
    expect(() => new FrameDecoder().push(head, () => {})).toThrow(FamError);
    const decoder = new FrameDecoder();
    expect(() => {
      for (const byte of head) decoder.push(Uint8Array.of(byte), () => {});
    }).toThrow('16777217');
  });

  it('takes the largest frame in linear time, a few bytes at a time', () => {
    const frame = Buffer.alloc(maxFrameBytes, 7);
    const bytes = framed([frame]);
    const decoder = new FrameDecoder();
    let got: Uint8Array | undefined;
    const started = performance.now();
    for (let at = 0; at < bytes.length; at += 64) {
      decoder.push(bytes.subarray(at, at + 64), (each) => {
        got = each;
      });
    }
    expect(got?.length).toBe(maxFrameBytes);
    expect(Buffer.compare(got ?? frame.subarray(0, 0), frame)).toBe(0);
    // 262,144 pieces: half a second alone; were each piece a copy of the whole, 2 TB.
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

describe('MarkerFinder', () => {
  it('finds the magic behind any noise, whatever the chunks', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .constantFrom('\0', '\0FAM', '\0\0FAMv1\r', 'motd\n', '\0FAMv1\n')
        .map((text) => Buffer.from(text, 'latin1')),
    );
    fc.assert(
      fc.property(noise, fc.uint8Array(), fc.array(fc.nat()), (before, after, cuts) => {
        const all = Buffer.concat([before, magic, after]);
        // Noise that happens to hold a marker is a marker: leave it out.
        fc.pre(all.indexOf(magic) === before.length);
        const finder = new MarkerFinder();
        const rest: Uint8Array[] = [];
        let word: string | undefined;
        for (const chunk of chunksOf(all, cuts)) {
          if (word !== undefined) {
            rest.push(chunk);
            continue;
          }
          const found = finder.push(chunk);
          if (found === undefined) continue;
          word = found.word;
          rest.push(found.rest);
        }
        expect(word).toBe('v1');
        expect(Buffer.concat(rest).toString('hex')).toBe(Buffer.from(after).toString('hex'));
        expect(finder.noise).toBe(Buffer.from(before).toString('utf8'));
      }),
      { numRuns: 500 },
    );
  });

  it('tells markers apart and goes on after one', () => {
    const finder = new MarkerFinder();
    const first = finder.push(Buffer.concat([Buffer.from('hi'), marker('up'), magic]));
    expect(first?.word).toBe('up');
    expect(finder.push(first?.rest ?? new Uint8Array())?.word).toBe('v1');
    expect(finder.noise).toBe('hi');
  });

  it('gives up after 64 KiB and keeps what came', () => {
    const finder = new MarkerFinder();
    expect(() => {
      for (let i = 0; i <= maxNoiseBytes; i += 16) finder.push(Buffer.from('no fam here. OK\n'));
    }).toThrow(FamError);
    expect(finder.noise).toContain('no fam here');
  });
});
