// See test/support/replica-history.ts.

import { test } from 'vitest';
import { historiesTimeout, runHistories } from '../support/replica-history.ts';

test(
  'whatever moves, whoever is killed, and whatever is lost, the replica is equal in the end',
  {
    timeout: historiesTimeout,
  },
  () => runHistories(90),
);
