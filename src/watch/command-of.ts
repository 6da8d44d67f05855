// The name of a process, asked once for a burst of events.

import { readProc } from '../kernel/proc.ts';

/** A process may run another program later, and its number be given out again. */
const rememberMs = 200;
const maxRemembered = 256;

const remembered = new Map<number, { readonly command: string | undefined; readonly until: number }>();

/** The command as `ps -o comm` shows it, or undefined when the process has ended. */
export function commandOf(pid: number): string | undefined {
  const now = performance.now();
  const known = remembered.get(pid);
  if (known !== undefined && known.until > now) return known.command;
  const command = readCommand(pid);
  if (remembered.size >= maxRemembered) remembered.clear();
  remembered.set(pid, { command, until: now + rememberMs });
  return command;
}

function readCommand(pid: number): string | undefined {
  const line = readProc(`/proc/${pid}/comm`);
  return line !== undefined && line.length > 0 ? line.toString('utf8', 0, line.length - 1) : undefined;
}
