import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { whyNotMountable } from '../../test/contract/filesystems.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { LogOutput } from './log-output.ts';

test('a line that a slow reader has no room for yet is written whole', async () => {
  const folder = tempFolder('log');
  const fifo = join(folder, 'fifo');
  const copy = join(folder, 'copy');
  execFileSync('mkfifo', [fifo]);
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  const bytes = 4_000_000;
  const reader = spawn(
    'dd',
    [`if=${fifo}`, `of=${copy}`, 'bs=4k', `count=${bytes}`, 'iflag=count_bytes,fullblock'],
    { stdio: 'ignore' },
  );
  new LogOutput(fd).write(`${'x'.repeat(bytes - 1)}\n`);
  await once(reader, 'exit');
  closeSync(fd);
  expect(readFileSync(copy, 'latin1')).toBe(`${'x'.repeat(bytes - 1)}\n`);
});

test.skipIf(whyNotMountable('tmpfs') !== undefined)(
  'what does not fit on a full disk is lost, and the next line that does begins a line',
  () => {
    const folder = join(tempFolder('log'), 'small');
    mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', folder]);
    onTestFinished(() => void execFileSync('umount', [folder]));
    const filler = join(folder, 'filler');
    writeFileSync(filler, 'x'.repeat(8192));
    const log = join(folder, 'log');
    const fd = openSync(log, 'a');
    try {
      const output = new LogOutput(fd);
      for (const letter of ['a', 'b', 'c', 'd']) output.write(`${letter.repeat(2999)}\n`);
      rmSync(filler);
      output.write('after\n');
      const lines = readFileSync(log, 'utf8').split('\n');
      expect(lines.map((line) => line.slice(0, 5))).toEqual(['aaaaa', 'bbbbb', 'ccccc', 'after', '']);
      expect(lines[2]?.length).toBeLessThan(2999);
    } finally {
      closeSync(fd);
    }
  },
);
