// A timer of any length: Node.js fires at once what is longer than 2^31 - 1 ms, some 25 days.

const longestTimerMs = 2 ** 31 - 1;

/** Calls back after so many milliseconds; what is returned cancels that. */
export function longTimeout(act: () => void, ms: number): () => void {
  let timer: NodeJS.Timeout;
  const wait = (leftMs: number): void => {
    const nowMs = Math.min(leftMs, longestTimerMs);
    timer = setTimeout(() => (leftMs > nowMs ? wait(leftMs - nowMs) : act()), nowMs);
  };
  wait(ms);
  return () => clearTimeout(timer);
}
