import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type BytePath, pathBuffer } from './walk.ts';

const chunkBytes = 1 << 20;
const chunks = [Buffer.allocUnsafe(chunkBytes), Buffer.allocUnsafe(chunkBytes)] as const;
/** Above it a file is read only where it has data: nobody waits for terabytes of zeros. */
const readWholeBytes = 256 << 20;

interface Range {
  readonly from: number;
  readonly to: number;
}

/** Fills the chunk, up to `to`, unless the file ends before. */
function readChunk(fd: number, chunk: Buffer, { from, to }: Range): Buffer {
  const wanted = Math.min(chunkBytes, to - from);
  let filled = 0;
  while (filled < wanted) {
    const count = readSync(fd, chunk, filled, wanted - filled, from + filled);
    if (count === 0) break;
    filled += count;
  }
  return chunk.subarray(0, filled);
}

/** Where a file has data, as xfs_io tells it (package xfsprogs; SEEK_DATA of any file system). */
function dataRanges(path: BytePath, size: number): Range[] {
  // The program takes no path of any bytes: it gets the open file.
  const fd = openSync(pathBuffer(path), 'r');
  try {
    const { stdout, stderr, status } = spawnSync('xfs_io', ['-r', '-c', 'seek -a -r 0', '/proc/self/fd/3'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe', fd],
    });
    if (status !== 0) throw new Error(`xfs_io failed: ${stderr}`);
    const found = [...stdout.matchAll(/^(DATA|HOLE)\s+(\d+)$/gm)];
    return found.flatMap(([, what, at], n) =>
      what === 'DATA' ? [{ from: Number(at), to: Number(found[n + 1]?.[2] ?? size) }] : [],
    );
  } finally {
    closeSync(fd);
  }
}

/** Whether two regular files hold the same bytes. */
export function sameContent(a: BytePath, b: BytePath): boolean {
  const fds = [openSync(pathBuffer(a), 'r'), openSync(pathBuffer(b), 'r')] as const;
  try {
    const [sizeA, sizeB] = fds.map((fd) => fstatSync(fd).size);
    if (sizeA === undefined || sizeA !== sizeB) return false;
    const whole = [{ from: 0, to: sizeA }];
    const ranges = sizeA > readWholeBytes ? [a, b].flatMap((path) => dataRanges(path, sizeA)) : whole;
    return ranges.every((range) => isSameRange(fds, range));
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

function isSameRange([fdA, fdB]: readonly [number, number], { from, to }: Range): boolean {
  for (let at = from; at < to; at += chunkBytes) {
    const rest = { from: at, to };
    const pieceA = readChunk(fdA, chunks[0], rest);
    if (!pieceA.equals(readChunk(fdB, chunks[1], rest))) return false;
    if (pieceA.length === 0) return true;
  }
  return true;
}
