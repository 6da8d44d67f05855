// Operations that make what is unusual in size or number.

import { constants, fsyncSync, ftruncateSync, writeSync } from 'node:fs';
import type { ByteString } from '../../src/core/name.ts';
import { setxattr } from './calls.ts';
import { contentOf } from './content.ts';
import { mkdirs, must, withFile } from './file-access.ts';

const { O_RDWR, O_WRONLY, O_CREAT } = constants;

export function sparse(path: ByteString, size: number, at: readonly number[], seed: number): void {
  withFile(path, O_RDWR | O_CREAT, (fd) => {
    ftruncateSync(fd, size);
    for (const [n, offset] of at.entries()) writeSync(fd, contentOf(seed + n, 4096), 0, null, offset);
    // Blocks that are only reserved count as content until they are written out.
    if (seed % 4 === 0) fsyncSync(fd);
  });
}

export function attributes(
  path: ByteString,
  namespace: 'user' | 'trusted',
  count: number,
  size: number,
  seed: number,
): void {
  for (let n = 0; n < count; n++) must(setxattr(path, `${namespace}.large${n}`, contentOf(seed + n, size)));
}

const foldersEach = 20;

export function folders(path: ByteString, count: number, seed: number): void {
  const made = [path];
  mkdirs(path);
  for (let n = 1; n <= count; n++) {
    const folder = `${made[Math.floor(n / foldersEach)] ?? path}/f${n}`;
    mkdirs(folder);
    made.push(folder);
    if (n % 4 !== 0) continue;
    withFile(`${folder}/note`, O_WRONLY | O_CREAT, (fd) => writeSync(fd, contentOf(seed + n, n % 900)));
  }
}
