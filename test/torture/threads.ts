// Of a mirror that is late: what each of its threads does, for whoever looks for the reason. One that turns in circles and one that
// nobody woke look alike from outside.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const tickMs = 10;

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}

function ticksOf(task: string): number {
  const stat = read(`${task}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** A line for each thread that has ever done something: milliseconds of processor time within a second, and its system call. */
export async function describeThreads(pids: readonly number[]): Promise<string[]> {
  const tasks = pids.flatMap((pid) => {
    try {
      return readdirSync(`/proc/${pid}/task`).map((tid) => `/proc/${pid}/task/${tid}`);
    } catch {
      return [];
    }
  });
  const before = tasks.map(ticksOf);
  await delay(1000);
  return tasks.flatMap((task, index) => {
    const ticks = ticksOf(task);
    if (!(ticks > 0)) return [];
    const [call] = read(`${task}/syscall`).split(' ');
    const used = (ticks - (before[index] ?? 0)) * tickMs;
    return [
      `thread ${task.slice(6)}: ${ticks * tickMs} ms in all, ${used} ms in a second, system call ${call}`,
    ];
  });
}
