// What becomes of output that nobody can take: Node.js would end the program with a stack, or by our last words.

import { writeSync } from 'node:fs';
import { codeOf, exitCodes } from '../core/errors.ts';

/** Once, before anything is printed. */
export function surviveUnwritableStreams(): void {
  // A message is lost; the exit code still tells.
  process.stderr.on('error', () => {});
  process.stdout.on('error', (error) => {
    // `fam status | head -1`: whoever reads has enough.
    if (codeOf(error) === 'EPIPE') return;
    process.exitCode = exitCodes.OUTPUT_UNWRITABLE;
    try {
      writeSync(2, `fam: standard output cannot be written: ${error.message}\n`);
    } catch {
      // Nor can this.
    }
  });
}
