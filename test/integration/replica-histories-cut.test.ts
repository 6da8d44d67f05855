// See test/support/replica-history.ts: the same, but all work is done in the smallest pieces. What happens at once is told in batches of a few
// changes, and looked at name by name.

import { test, vi } from 'vitest';
import { historiesTimeout, runHistories } from '../support/replica-history.ts';

vi.mock('../../src/wire/messages.ts', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../src/wire/messages.ts')>()),
  batchTargetBytes: 200,
  reconcileWindow: 2,
}));

vi.mock('../../src/tree/pace.ts', () => ({ stepMs: 0, hintsAtOnce: 1, namesAtOnce: 2 }));

vi.mock('../../src/replica/mending-pace.ts', () => ({
  lookMs: 0,
  lookShare: Infinity,
  retryDelayMs: 0,
  retryDelayMsMax: 0,
}));

test('whatever is cut off in between, the replica is equal in the end', { timeout: historiesTimeout }, () =>
  runHistories(90),
);
