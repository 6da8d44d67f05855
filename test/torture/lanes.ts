// A campaign in several processes, each with its own histories at the same time: load is a part of the torture.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/**
 * Runs the campaign's own program once for each lane; true when all of them have ended well.
 * @param args of the command line, without `--lanes`
 */
export async function runLanes(
  program: string,
  args: readonly string[],
  lanes: number,
  print: (line: string) => void,
): Promise<boolean> {
  const codes = await Promise.all(
    Array.from({ length: lanes }, (_, lane) => {
      const child = spawn(process.execPath, [program, ...args, '--lane', `${lane}/${lanes}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const end = (): void => {
        child.kill('SIGTERM');
      };
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end);
      createInterface({ input: child.stdout }).on('line', (line) => print(`${lane}: ${line}`));
      return new Promise<number | null>((resolve) => child.once('close', resolve));
    }),
  );
  return codes.every((code) => code === 0);
}
