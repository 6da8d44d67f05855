import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { withoutDescriptors } from '../../test/support/without-descriptors.ts';
import { Executions } from './executions.ts';
import { poll } from './poll.ts';

/** A folder with a program. */
function folderWithProgram(): { root: string; program: string } {
  const root = tempFolder();
  const program = join(root, 'program');
  copyFileSync('/bin/true', program);
  return { root, program };
}

/** Opens them as on a system whose queues hold no more than `length` events. */
function withQueueOf(length: number, open: () => Executions): Executions {
  const sysctl = '/proc/sys/fs/fanotify/max_queued_events';
  const former = readFileSync(sysctl);
  writeFileSync(sysctl, String(length));
  try {
    return open();
  } finally {
    writeFileSync(sysctl, former);
  }
}

function runTimes(program: string, times: number): void {
  execFileSync('sh', ['-c', `for i in $(seq ${times}); do "$0"; done`, program]);
}

describe.skipIf(process.getuid?.() !== 0)('Executions', () => {
  test('tells of all of them, however many wait', () => {
    const { root, program } = folderWithProgram();
    using executions = withQueueOf(5, () => new Executions(root));
    runTimes(program, 20);
    expect(executions.read().filter(({ type }) => type === 'executionStarted')).toHaveLength(20);
  });

  test('says so when some were lost', () => {
    const { root, program } = folderWithProgram();
    using executions = withQueueOf(5, () => new Executions(root, false));
    runTimes(program, 20);
    expect(executions.read().filter(({ type }) => type === 'lost')).toHaveLength(1);
  });

  test.each([0, 1, 2, 3, 4, 5])('says so when there were descriptors for some only: %i', (free) => {
    const { root, program } = folderWithProgram();
    using executions = new Executions(root);
    runTimes(program, 6);
    const told = withoutDescriptors(() => executions.read(), free);
    expect(told.some(({ type }) => type === 'lost')).toBe(true);
    expect(executions.read().some(({ type }) => type === 'lost')).toBe(false);
  });

  test('tells of programs on file systems that are mounted below, before and afterwards', () => {
    const { root, program } = folderWithProgram();
    const mountAt = (name: string): string => {
      const point = join(root, name);
      mkdirSync(point);
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', point]);
      onTestFinished(() => void execFileSync('umount', [point]));
      copyFileSync(program, join(point, 'program'));
      return join(point, 'program');
    };
    const before = mountAt('before');
    using executions = new Executions(root);
    const afterwards = mountAt('afterwards');
    poll(executions.fds, 10_000);
    executions.read();
    for (const path of [before, afterwards]) {
      runTimes(path, 1);
      const started = executions.read().filter(({ type }) => type === 'executionStarted');
      expect(started).toMatchObject([{ path }]);
    }
  });
});
