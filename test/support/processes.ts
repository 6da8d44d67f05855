import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

export interface RunningProcess {
  readonly pid: number;
  readonly parent: number;
  /** File name of the program that runs: `node`, `ssh`. */
  readonly program: string;
  readonly args: readonly string[];
}

function look(pid: number): RunningProcess | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // pid (name) state parent ...; the name may hold spaces and brackets.
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    const args = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').slice(0, -1);
    return { pid, parent, program: basename(readlinkSync(`/proc/${pid}/exe`)), args };
  } catch {
    // It has ended, or is a kernel thread.
    return undefined;
  }
}

/** Everything that runs on this machine at this moment. */
export function runningProcesses(): RunningProcess[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.map(look).filter((found) => found !== undefined);
}

/** The agents that serve the replica at `root`, whoever started them. The root is an argument of its own. */
export function agentsOf(root: string): RunningProcess[] {
  return runningProcesses().filter(
    ({ program, args }) => program === 'node' && args.includes(root) && !args.includes('mirror'),
  );
}

/** The ssh clients that `pid` has started. */
export function sshOf(pid: number): RunningProcess[] {
  return runningProcesses().filter(({ program, parent }) => program === 'ssh' && parent === pid);
}

/** Signals each of them that is still there. */
export function kill(processes: readonly { pid: number }[], signal: NodeJS.Signals): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended by itself.
    }
  }
}
