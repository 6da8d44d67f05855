// What this replica cannot keep: found out when it is first tried, reported once each.

import type { ByteString } from '../core/name.ts';
import type { Problem } from '../core/problem.ts';

export class Capabilities {
  readonly #lacks = new Set<string>();
  readonly #report: (problem: Problem) => void;

  constructor(report: (problem: Problem) => void) {
    this.#report = report;
  }

  get lacks(): readonly string[] {
    return [...this.#lacks];
  }

  has(capability: string): boolean {
    return !this.#lacks.has(capability);
  }

  /** Notes that something cannot be kept; the first path that it was seen at is reported with it. */
  lack(capability: string, path: () => ByteString): void {
    if (this.#lacks.has(capability)) return;
    this.#lacks.add(capability);
    this.#report({ path: path(), action: `keep ${capability}`, code: 'unsupported' });
  }
}
