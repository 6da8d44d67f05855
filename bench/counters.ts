import { readdirSync, readFileSync } from 'node:fs';

/** proc_pid_stat(5): USER_HZ, which is 100 on every Linux that Node supports. */
const ticksPerSecond = 100;
const pageMiB = 4096 / 2 ** 20;

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly zombie: boolean;
  readonly ownTicks: number;
  readonly reapedTicks: number;
  readonly rssMiB: number;
}

export interface ProcessMemory {
  readonly pid: number;
  readonly command: string;
  readonly rssMiB: number;
  readonly pssMiB: number;
  /** Private to the process: without mapped files, without shared memory. */
  readonly anonymousMiB: number;
}

/** Bytes that went over loopback since the name space began; both directions, headers included. */
export function loopbackBytes(): number {
  for (const line of readFileSync('/proc/net/dev', 'latin1').split('\n')) {
    const [name, figures] = line.split(':');
    if (name?.trim() === 'lo' && figures !== undefined) return Number(figures.trim().split(/\s+/)[0]);
  }
  return 0;
}

/**
 * CPU seconds of everything in this pid name space except this process and its threads: the peer, its ssh and sshd,
 * and what they started and reaped. Outside a name space: of this process's descendants.
 */
export function cpuSeconds(): number {
  let ticks = 0;
  for (const stat of relevant()) {
    ticks += stat.reapedTicks + (stat.pid === process.pid ? 0 : stat.ownTicks);
  }
  return ticks / ticksPerSecond;
}

/** Memory of each process that belongs to the run, largest first. */
export function memory(): ProcessMemory[] {
  const result: ProcessMemory[] = [];
  for (const stat of relevant()) {
    if (stat.pid === process.pid || stat.pid === 1 || stat.zombie) continue;
    const status = readProc(stat.pid, 'status');
    const rollup = readProc(stat.pid, 'smaps_rollup');
    result.push({
      pid: stat.pid,
      command: readProc(stat.pid, 'cmdline').split('\0').join(' ').trim().slice(0, 90) || stat.name,
      rssMiB: stat.rssMiB,
      pssMiB: kilobytes(rollup, 'Pss') / 1024,
      anonymousMiB: kilobytes(status, 'RssAnon') / 1024,
    });
  }
  return result.sort((a, b) => b.rssMiB - a.rssMiB);
}

export function descendants(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const stat of allProcesses()) {
    const siblings = children.get(stat.parent);
    if (siblings) siblings.push(stat.pid);
    else children.set(stat.parent, [stat.pid]);
  }
  const found: number[] = [];
  const queue = [root];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const child of children.get(pid) ?? []) {
      found.push(child);
      queue.push(child);
    }
  }
  return found;
}

function relevant(): ProcessStat[] {
  const all = allProcesses();
  if (process.env['FAM_BENCH_INSIDE'] === 'namespace') return all;
  const ours = new Set([process.pid, ...descendants(process.pid)]);
  return all.filter((stat) => ours.has(stat.pid));
}

function allProcesses(): ProcessStat[] {
  const result: ProcessStat[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const pid = Number(entry);
    const text = readProc(pid, 'stat');
    const end = text.lastIndexOf(')');
    if (end < 0) continue;
    const fields = text.slice(end + 2).split(' ');
    const field = (index: number): number => Number(fields[index] ?? 0);
    result.push({
      pid,
      parent: field(1),
      name: text.slice(text.indexOf('(') + 1, end),
      zombie: fields[0] === 'Z',
      ownTicks: field(11) + field(12),
      reapedTicks: field(13) + field(14),
      rssMiB: field(21) * pageMiB,
    });
  }
  return result;
}

function kilobytes(text: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

/** '' when the process has gone meanwhile. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}
