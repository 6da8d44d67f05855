// A progress bar on a terminal while replicas are being compared and filled; nothing elsewhere.

import { SingleBar } from 'cli-progress';
import type { Mirror } from '../mirror/mirror.ts';
import type { LogFormat } from '../runtime/log.ts';

/** Redraws are limited to this often. */
const redrawMs = 100;

export class MirrorProgress implements Disposable {
  readonly #mirror: Mirror;
  #bar: SingleBar | undefined;
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
    this.#bar ??= new SingleBar({
      format: '{bar} {percentage}% {value}/{total} files, {replicas} {noun} filling',
      clearOnComplete: true,
      hideCursor: true,
      stopOnComplete: false,
      stream: process.stderr,
    });
    const total = Math.max(1, status.files);
    const value = Math.min(total, ...comparing.map((replica) => replica.files));
    const shown = { replicas: comparing.length, noun: comparing.length === 1 ? 'replica' : 'replicas' };
    if (this.#bar.isActive) {
      this.#bar.setTotal(total);
      this.#bar.update(value, shown);
    } else this.#bar.start(total, value, shown);
  }

  #clear(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  finish(): void {
    this.#over = true;
    this.#clear();
  }

  [Symbol.dispose](): void {
    this.finish();
  }
}
