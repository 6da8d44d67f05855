// How a source comes to speak with the agent of a replica.

import type { FamError } from '../core/errors.ts';
import type { HowEnded, Pipes } from '../wire/link.ts';

/** An agent that runs and has said its magic: what it says and hears, and what becomes of it when the link over that has ended. */
export interface Connection extends Pipes {
  /**
   * Resolves when the agent has gone, and ends it if it takes its time. Never rejects.
   * @returns what the agent's end says about why; undefined when it says nothing, or our side has ended it
   */
  ended(how: HowEnded): Promise<FamError | undefined>;
  /** Nobody takes it: closes the descriptors and ends the agent. */
  abandon(): Promise<void>;
}

/** How a source reaches one replica: opens links until the mirror ends. */
export interface Transport {
  /** For people and logs: `web1:/var/www`, `/mnt/copy`. */
  readonly label: string;
  /**
   * Starts the agent and resolves when its magic has arrived, or throws a FamError:
   * HOST_UNREACHABLE (retryable), SSH_DENIED, HOST_KEY, NODE_MISSING, AGENT_FAILED.
   */
  connect(signal: AbortSignal): Promise<Connection>;
}
