import { closeSync, openSync, readSync } from 'node:fs';
import { type BytePath, pathBuffer } from './walk.ts';

const chunkBytes = 1 << 20;
const chunks = [Buffer.allocUnsafe(chunkBytes), Buffer.allocUnsafe(chunkBytes)] as const;

/** Fills the chunk unless the file ends before. */
function readChunk(fd: number, chunk: Buffer): Buffer {
  let filled = 0;
  while (filled < chunkBytes) {
    const count = readSync(fd, chunk, filled, chunkBytes - filled, null);
    if (count === 0) break;
    filled += count;
  }
  return chunk.subarray(0, filled);
}

/** Whether two regular files hold the same bytes. */
export function sameContent(a: BytePath, b: BytePath): boolean {
  const fds = [openSync(pathBuffer(a), 'r'), openSync(pathBuffer(b), 'r')] as const;
  try {
    for (;;) {
      const pieceA = readChunk(fds[0], chunks[0]);
      const pieceB = readChunk(fds[1], chunks[1]);
      if (!pieceA.equals(pieceB)) return false;
      if (pieceA.length === 0) return true;
    }
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}
