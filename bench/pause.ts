const cell = new Int32Array(new SharedArrayBuffer(4));

/**
 * Sleeps without the event loop, to a resolution of some 60 us: a poll that spins would take one of the cores from
 * what it measures, and a timer of the event loop is ten times coarser.
 */
export function sleepBlocking(milliseconds: number): void {
  Atomics.wait(cell, 0, 0, milliseconds);
}

/** Lets timers and child processes' exits through, between two blocking stretches. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
