// A link carries frames between a source and one agent, in order, both ways.

/** The pipes to the other side. Whoever takes them makes a link of them, in any thread, and closes them with it. */
export interface Pipes {
  readonly inputFd: number;
  readonly outputFd: number;
  /** Bytes of the input that have been read already. */
  readonly received: Uint8Array;
}

/**
 * How a link came to its end. `asked`: our side closed it in order, and the other may have work to finish. `cut`: our side wants it
 * gone. `lost`: the other side ended it, or it broke.
 */
export type HowEnded = 'asked' | 'cut' | 'lost';

/** What ended a link. `undefined` error: it was closed on purpose by either side. */
export interface LinkEnd {
  readonly error: Error | undefined;
}

/**
 * One connection. Frames are opaque here (wire/ knows them). Not reusable: a new attempt is a new Link.
 * `send` never blocks; it returns false when the peer is not keeping up, and the caller then waits for `drained`.
 */
export interface Link {
  /** Bytes handed over and not yet taken by the operating system. */
  readonly buffered: number;
  /** Bytes sent and received since the link came up, framing included. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /**
   * Sends one frame (the payload after the length prefix).
   * @param written called when the bytes may change; before that they must not
   */
  send(frame: Uint8Array, written?: () => void): boolean;
  /** Resolves when `buffered` is below the low-water mark again, or the link has ended. */
  drained(): Promise<void>;
  /** Called once for each frame received; set it before the first turn of the event loop ends. */
  onFrame: (frame: Uint8Array) => void;
  /** Stops reading from the peer (back-pressure) and goes on. */
  pause(): void;
  resume(): void;
  /** Settles exactly once. Never rejects. */
  readonly ended: Promise<LinkEnd>;
  /** Ends it: flushes what was sent when `graceful`, then closes. Idempotent; `ended` settles. */
  close(graceful: boolean): void;
}
