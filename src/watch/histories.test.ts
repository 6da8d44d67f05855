// After any history, a tree built only from events equals the real one.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { EventModel } from '../../test/support/event-model.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { FanotifySource } from '../kernel/fanotify.ts';
import { InotifySource } from '../kernel/inotify.ts';
import { eventsOf, pushFlat } from './flat-events.ts';
import { InterestFilter } from './interest.ts';
import { TreeListing } from './tree-listing.ts';
import { TreeWatch } from './tree-watch.ts';
import { watch } from './watch.ts';
import type { FlatEvents } from './watch-messages.ts';

const writer = fileURLToPath(new URL('../../test/support/history-writer.mjs', import.meta.url));
const monitors = ['fanotify', 'inotify'] as const;

async function runWriter(root: string, seed: number, operations: number): Promise<void> {
  const child = spawn(process.execPath, [writer, root, String(seed), String(operations)], {
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  expect(code).toBe(0);
}

function seeded(name: string): string {
  const root = join(tempFolder(name), 'tree');
  mkdirSync(join(root, 'a', 'b'), { recursive: true });
  writeFileSync(join(root, 'a', 'x.html'), 'old');
  return root;
}

/** A new seed each time; a failing run prints it. */
const seed = Number(process.env['FAM_SEED'] ?? Date.now() % 1_000_000);
/** How many histories with an overflow. */
const overflows = Number(process.env['FAM_OVERFLOW_RUNS'] ?? 1);

// The machine may be busy: a deadline here means hung, not slow.
describe.each(monitors)('watch over %s', { timeout: 180_000 }, (monitor) => {
  test.each([
    ['a quick consumer', 0],
    ['a slow consumer, that is told the last state of each path', 1],
  ])('%s builds the real tree from the events of 4 writers and 10,000 operations', async (_, slow) => {
    const root = seeded('history');
    const model = new EventModel(root);
    const watcher = watch(root, { initial: true, monitor, settleMs: 50 });
    let consumed = 0;
    const consuming = watcher.listen((event) => {
      model.apply(event);
      consumed++;
      return slow > 0 && consumed % 50 === 0 ? new Promise((resolve) => setTimeout(resolve, 5)) : undefined;
    });
    await watcher.ready;
    await Promise.all([1, 2, 3, 4].map((number) => runWriter(root, seed + number, 2500)));
    await waitFor(() => model.differences().length === 0, {
      deadlineMs: 60_000,
      intervalMs: 50,
      describe: () => `equal trees (FAM_SEED=${seed}):\n${model.differences().join('\n')}`,
    });
    expect(model.counts.get('created')).toBeGreaterThan(0);
    await watcher.close();
    await consuming;
  });

  test.each(Array.from({ length: overflows }, (_, round) => round + 1))(
    'a queue that overflows is followed by a rescan that makes the tree right (%i)',
    async (round) => {
      const root = seeded('overflow');
      const model = new EventModel(root);
      using tree = new TreeWatch({
        path: root,
        filter: new InterestFilter({ recursive: true, names: undefined, filter: [] }),
        settleMs: 20,
        followSymlinks: false,
        open: (fd) => ({
          // 16,384 events (fs.inotify.max_queued_events; FANOTIFY_DEFAULT_MAX_EVENTS), then the kernel drops them.
          source:
            monitor === 'fanotify'
              ? new FanotifySource(fd, { unlimitedQueue: false })
              : new InotifySource(fd),
          reason: '',
        }),
        onProblem: () => {},
        onNotice: () => {},
      });
      tree.start();
      const listing = new TreeListing(tree.shadow, tree.filter);
      for (let part = listing.take(); part.length > 0; part = listing.take()) {
        for (const event of eventsOf({ type: 'listing', watch: 1, root, directories: part }))
          model.apply(event);
      }
      model.apply({ type: 'exists', path: root, kind: 'directory' });
      // Nobody reads meanwhile.
      await Promise.all([1, 2].map((number) => runWriter(root, seed + 10 * round + number, 2500)));
      for (let file = 0; file < 17_000; file++) writeFileSync(join(root, `burst-${file}`), '');
      for (let file = 0; file < 17_000; file++) rmSync(join(root, `burst-${file}`));
      await Promise.all([3, 4].map((number) => runWriter(root, seed + 10 * round + number, 2500)));
      await waitFor(
        () => {
          tree.turn();
          const events: FlatEvents = [];
          for (const event of tree.outbox.take(1_000_000)) pushFlat(events, event);
          for (const event of eventsOf({ type: 'events', watch: 1, root, events })) model.apply(event);
          return tree.deadline === undefined && model.differences().length === 0;
        },
        {
          deadlineMs: 60_000,
          intervalMs: 100,
          describe: () => `equal trees (FAM_SEED=${seed}):\n${model.differences().join('\n')}`,
        },
      );
      expect(model.counts.get('rescan')).toBe(1);
    },
  );
});
