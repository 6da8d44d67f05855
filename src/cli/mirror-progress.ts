// A progress bar on a terminal while replicas are being compared and filled; nothing elsewhere. It is one line, which a line of the log
// takes the place of (runtime/log.ts); it is drawn again below that.

import type { Mirror } from '../mirror/mirror.ts';
import { clearLine, type LogFormat } from '../runtime/log.ts';
import { counted } from './counted.ts';

/** Redraws are limited to this often. */
const redrawMs = 100;
const barColumns = 40;

export class MirrorProgress implements Disposable {
  readonly #mirror: Mirror;
  #isShown = false;
  #drawnAt = 0;
  #over: boolean;

  constructor(mirror: Mirror, format: LogFormat | undefined) {
    this.#mirror = mirror;
    this.#over = process.stderr.isTTY !== true || format === 'json';
  }

  /** Something has changed. */
  update(): void {
    const now = performance.now();
    if (this.#over || now - this.#drawnAt < redrawMs) return;
    this.#drawnAt = now;
    const status = this.#mirror.status();
    const comparing = status.replicas.filter((replica) => replica.state === 'comparing');
    if (comparing.length === 0) {
      this.#clear();
      return;
    }
    const total = Math.max(1, status.files);
    const done = Math.min(total, ...comparing.map((replica) => replica.files));
    const percent = Math.floor((100 * done) / total);
    const text = `${bar(done / total)} ${percent}% ${done}/${total} files, ${counted(comparing.length, 'replica')} filling`;
    // A line that is wrapped could not be cleared.
    process.stderr.write(`${clearLine}${text.slice(0, process.stderr.columns - 1)}`);
    this.#isShown = true;
  }

  #clear(): void {
    if (this.#isShown) process.stderr.write(clearLine);
    this.#isShown = false;
  }

  finish(): void {
    this.#over = true;
    this.#clear();
  }

  [Symbol.dispose](): void {
    this.finish();
  }
}

function bar(part: number): string {
  const filled = Math.round(barColumns * part);
  return '='.repeat(filled) + '-'.repeat(barColumns - filled);
}
