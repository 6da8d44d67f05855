// One watched tree in this thread, without the library around it: tests decide when it looks at what the kernel has to tell.

import { onTestFinished } from 'vitest';
import { openEventSource } from '../../src/kernel/open-event-source.ts';
import { poll } from '../../src/kernel/poll.ts';
import { InterestFilter } from '../../src/watch/interest.ts';
import { TreeWatch, type TreeWatchOptions } from '../../src/watch/tree-watch.ts';

const deadlineMs = 20_000;

interface SteppedWatchOptions extends Partial<TreeWatchOptions> {
  readonly monitor: 'fanotify' | 'inotify';
}

export class SteppedWatch {
  readonly problems: string[] = [];
  /** What was told: `created a/b`, `moved a -> b`; the root is `.`. */
  readonly lines: string[] = [];
  readonly #tree: TreeWatch;

  /** Watches; it is closed with the test. */
  constructor(path: string, { monitor, ...options }: SteppedWatchOptions) {
    this.#tree = new TreeWatch({
      path,
      filter: new InterestFilter({ recursive: true, names: undefined, filter: [] }),
      settleMs: 20,
      followSymlinks: false,
      open: (root) => openEventSource({ root, monitor }),
      onProblem: (problem, code) => void this.problems.push(`${problem} ${code}`),
      onNotice: () => {},
      ...options,
    });
    onTestFinished(() => this.close());
    this.#tree.start();
  }

  close(): void {
    this.#tree.close();
  }

  /** Forgets what was told so far. */
  forget(): void {
    this.lines.length = 0;
  }

  #take(): void {
    for (const event of this.#tree.outbox.take(4096)) {
      const from = event.from === undefined ? '' : `${event.from} -> `;
      this.lines.push(`${event.type} ${from}${event.path === '' ? '.' : event.path}`);
    }
  }

  /** Turns until all of this has been told. */
  untilTold(...wanted: string[]): void {
    for (const line of wanted) this.#turnUntil(`"${line}"`, () => this.lines.includes(line));
  }

  /** Turns for so long, whatever is told. */
  turnFor(ms: number): void {
    const end = performance.now() + ms;
    this.#turnUntil('the time', () => performance.now() >= end);
  }

  /** Turns until nothing is left to be told of what has happened. */
  settle(): void {
    const tree = this.#tree;
    let quiet = 0;
    this.#turnUntil('quiet', (more) => {
      quiet = !more && tree.isQuiet && tree.deadline === undefined ? quiet + 1 : 0;
      return quiet > 1;
    });
  }

  #turnUntil(what: string, holds: (more: boolean) => boolean): void {
    const tree = this.#tree;
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      const more = tree.turn();
      this.#take();
      if (holds(more)) return;
      const now = performance.now();
      if (now > deadline)
        throw new Error(`not within ${deadlineMs} ms: ${what}; told:\n${this.lines.join('\n')}`);
      if (!more && what !== 'quiet')
        poll(
          tree.fdLists.flat(),
          Math.max(0, Math.min(deadline, tree.deadline ?? Infinity, now + 100) - now),
        );
    }
  }
}
