// The first byte of each frame (docs/protocol.md). The numbers are the protocol: never reuse one.

export const FrameType = {
  hello: 1,
  welcome: 2,
  batch: 3,
  listing: 4,
  wants: 5,
  contents: 6,
  reconciled: 7,
  stream: 8,
  ack: 9,
  problems: 10,
  alive: 12,
  failed: 13,
  bye: 15,
  extras: 16,
  checkpoint: 17,
  'base-wanted': 18,
  base: 19,
  'digests-wanted': 20,
  digests: 21,
  version: 22,
  kept: 23,
  again: 24,
  failing: 25,
} as const;

/** Says only that whoever sent it is there: noted where frames arrive. */
export const aliveFrame: Uint8Array = Uint8Array.of(FrameType.alive);

/** Whether a frame is that one, from either side. */
export function isAlive(frame: Uint8Array): boolean {
  return frame.length === 1 && frame[0] === FrameType.alive;
}
