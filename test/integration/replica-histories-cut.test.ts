// See test/support/replica-history.ts: the same with batches of a few changes, so that whatever happens at once is told in several.

import { test, vi } from 'vitest';
import { historiesTimeout, runHistories } from '../support/replica-history.ts';

vi.mock('../../src/wire/messages.ts', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../src/wire/messages.ts')>()),
  batchTargetBytes: 200,
}));

test('whatever is cut off in between, the replica is equal in the end', { timeout: historiesTimeout }, () =>
  runHistories(90),
);
