// Links in memory, with faults to order: for tests of everything above a link, beside the real ones.

import { Readable, Writable } from 'node:stream';
import type { Link } from '../wire/link.ts';
import { StreamLink } from '../wire/stream-link.ts';

/** What is wrong with one direction of a pipe. Byte counts are of the raw stream, lengths of frames included. */
export interface PipeFaults {
  /** Breaks (both directions) when this many bytes have passed. */
  readonly cutAfterBytes?: number;
  /** From this many bytes on everything sent vanishes, and nobody is told: half-open. */
  readonly dropAfterBytes?: number;
  /** Delivers in chunks of at most this many bytes. */
  readonly dribbleBytes?: number;
  /** Delivers a chunk when the given function is called: a fake clock's delay, in the order of the calls. */
  readonly schedule?: (deliver: () => void) => void;
}

export interface PipePair {
  /** The source's end and the agent's end. */
  readonly source: Link;
  readonly agent: Link;
  /** Breaks both directions now, wherever they stand. */
  cut(): void;
}

/** What a socket's buffer holds on the way. */
const inFlightBytes = 64 * 1024;

/** Two links that are connected; `toAgent` and `toSource` say what goes wrong on the way there. */
export function pipePair(
  faults: { readonly toAgent?: PipeFaults; readonly toSource?: PipeFaults } = {},
): PipePair {
  const cut = () => {
    for (const one of [there, back]) one.cut();
  };
  const there = conduit(faults.toAgent ?? {}, () => cut());
  const back = conduit(faults.toSource ?? {}, () => cut());
  return {
    source: new StreamLink({ input: back.exit, output: there.entry }),
    agent: new StreamLink({ input: there.exit, output: back.entry }),
    cut,
  };
}

interface Conduit {
  readonly entry: Writable;
  readonly exit: Readable;
  cut(): void;
}

/** One direction: what is written into `entry` is read from `exit`, unless a fault says otherwise. */
function conduit(faults: PipeFaults, cutBoth: () => void): Conduit {
  const schedule = faults.schedule ?? ((deliver) => deliver());
  let passed = 0;
  let broken = false;
  /** Continues a delivery that waits for the reader. */
  let goOn: (() => void) | undefined;

  const exit = new Readable({
    highWaterMark: inFlightBytes,
    read() {
      const next = goOn;
      goOn = undefined;
      next?.();
    },
  });

  const deliver = (chunk: Uint8Array, done: () => void): void => {
    let at = 0;
    const step = (): void => {
      if (broken) return;
      if (passed === faults.cutAfterBytes) {
        cutBoth();
        return;
      }
      if (at === chunk.length) {
        done();
        return;
      }
      let end = Math.min(chunk.length, at + (faults.dribbleBytes ?? chunk.length));
      if (faults.cutAfterBytes !== undefined) end = Math.min(end, at + faults.cutAfterBytes - passed);
      const piece = chunk.subarray(at, end);
      schedule(() => {
        if (broken) return;
        const dropped = faults.dropAfterBytes !== undefined && passed >= faults.dropAfterBytes;
        at = end;
        passed += piece.length;
        // As a real pipe hands out a copy: the sender may use its memory again.
        if (dropped || exit.push(Buffer.from(piece))) setImmediate(step);
        else goOn = step;
      });
    };
    step();
  };

  const entry = new Writable({
    highWaterMark: inFlightBytes,
    write(chunk: Uint8Array, _encoding, done) {
      deliver(chunk, () => done());
    },
    final(done) {
      schedule(() => {
        if (!broken && faults.dropAfterBytes === undefined) exit.push(null);
        done();
      });
    },
    destroy(error, done) {
      // A writer that goes away without `end` is seen by the reader as the end of the stream.
      if (!broken && faults.dropAfterBytes === undefined && !exit.destroyed) exit.push(null);
      done(error);
    },
  });
  exit.on('close', () => {
    if (broken || entry.destroyed || entry.writableFinished) return;
    entry.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  });

  return {
    entry,
    exit,
    cut() {
      if (broken) return;
      broken = true;
      exit.push(null);
      entry.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    },
  };
}
