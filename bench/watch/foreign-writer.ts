// Somebody else on the same file system: foreign-writer.js FOLDER WRITES-A-SECOND SECONDS. Tells its parent how many writes it made.

import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const [folder = '', rate = '', seconds = ''] = process.argv.slice(2);
const byte = Buffer.from('x');
/** So many files that the kernel cannot merge their events into a few. */
const files = Array.from({ length: 4000 }, (_, i) => openSync(join(folder, `f${i}`), 'w'));
const sliceMs = 2;

const began = performance.now();
let writes = 0;
function slice(): void {
  const elapsed = performance.now() - began;
  if (elapsed >= Number(seconds) * 1000) {
    for (const fd of files) closeSync(fd);
    process.send?.({ writes, seconds: elapsed / 1000 });
    process.disconnect?.();
    return;
  }
  const due = (elapsed / 1000) * Number(rate);
  // At the file's start: it does not grow.
  for (; writes < due; writes++) writeSync(files[writes % files.length] ?? 0, byte, 0, 1, 0);
  setTimeout(slice, sliceMs);
}
slice();
