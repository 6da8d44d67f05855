// See test/support/replica-history.ts.

import { test, vi } from 'vitest';
import { historiesTimeout, runHistories } from '../support/replica-history.ts';

vi.mock('../../src/replica/mending-pace.ts', () => ({
  lookMs: 0,
  lookShare: Infinity,
  retryDelayMs: 0,
  retryDelayMsMax: 0,
}));

test(
  'whatever moves, whoever is killed, and whatever is lost, the replica is equal in the end',
  {
    timeout: historiesTimeout,
  },
  () => runHistories(90),
);
