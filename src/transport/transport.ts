// How a source comes to speak with the agent of a replica.

import type { FamError } from '../core/errors.ts';

/**
 * How a link over a connection came to its end. `asked`: our side closed it in order, and the agent may have work to
 * finish. `cut`: our side wants it gone. `lost`: the agent's side ended it, or it broke.
 */
export type HowEnded = 'asked' | 'cut' | 'lost';

/**
 * An agent that runs and has said its magic. Whoever takes the descriptors makes a link of them, in any thread, and closes them
 * with it; then `ended` is called.
 */
export interface Connection {
  /** What the agent says. */
  readonly inputFd: number;
  /** What it hears. */
  readonly outputFd: number;
  /** Bytes of the input that have been read already. */
  readonly received: Uint8Array;
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
