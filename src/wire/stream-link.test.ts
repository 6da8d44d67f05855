import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { frameHead } from './framing.ts';
import { StreamLink } from './stream-link.ts';

test('StreamLink delivers what came before its first turn, also when Node empties the output of a child that has exited', async () => {
  const input = new PassThrough();
  const link = new StreamLink({ input, output: new PassThrough(), received: frameHead(3) });
  const got: string[] = [];
  link.onFrame = (frame) => got.push(Buffer.from(frame).toString());
  input.write('bye');
  input.end(Buffer.concat([frameHead(4), Buffer.from('late')]));
  // What child_process does with its streams when the process has exited.
  input.resume();
  expect(await link.ended).toEqual({ error: undefined });
  expect(got).toEqual(['bye', 'late']);
});
