// What becomes of a defect in the main thread.

import { writeSync } from 'node:fs';
import { inspect } from 'node:util';

/**
 * An error that nobody has caught is told, and the process is killed. Left to itself Node.js would end the threads first; one that is in the
 * middle of an lmdb transaction then waits for its own lock, and the process stays for ever, with the locks of the state.
 */
export function dieOfDefects(): void {
  process.on('uncaughtException', (error) => {
    try {
      writeSync(2, `fam: internal error: ${inspect(error)}\n`);
    } finally {
      process.kill(process.pid, 'SIGKILL');
    }
  });
}
