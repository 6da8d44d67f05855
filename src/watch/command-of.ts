// The name of a process, asked once for a burst of events.

import { AT_FDCWD, O_RDONLY } from '../kernel/constants.ts';
import { read } from '../kernel/content-calls.ts';
import { close, openat } from '../kernel/entry-calls.ts';

/** A process may run another program later, and its number be given out again. */
const rememberMs = 200;
const maxRemembered = 256;

const buffer = Buffer.from(new ArrayBuffer(64));
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
  const fd = openat(AT_FDCWD, `/proc/${pid}/comm`, O_RDONLY);
  if (fd < 0) return undefined;
  const length = read(fd, buffer);
  close(fd);
  return length > 0 ? buffer.toString('utf8', 0, length - 1) : undefined;
}
