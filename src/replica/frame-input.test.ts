import { expect, onTestFinished, test } from 'vitest';
import { check, close, poll, SysError, socketpair, writeAll } from '../kernel/sys.ts';
import { frameHead } from '../wire/framing.ts';
import { maxFrameBytes } from '../wire/messages.ts';
import { FrameInput } from './frame-input.ts';

function connected() {
  const pair = socketpair();
  if (typeof pair === 'number') throw new SysError(pair, 'socketpair');
  const [from, to] = pair;
  const open = new Set(pair);
  const shut = (fd: number): void => {
    if (open.delete(fd)) close(fd);
  };
  onTestFinished(() => open.forEach(shut));
  const frames: Uint8Array[] = [];
  const input = new FrameInput(from);
  return {
    frames,
    input,
    take: () => input.take((frame) => frames.push(frame)),
    write: (bytes: Uint8Array) => check(writeAll(to, bytes), 'write'),
    end: () => shut(to),
  };
}

const hasInput = ({ fd }: FrameInput): boolean => poll([fd], 0).toString() === '0';

const framed = (text: string): Buffer => Buffer.concat([frameHead(text.length), Buffer.from(text)]);

test('FrameInput.take hands out whole frames, however they were cut, and says when nothing more comes', () => {
  const { frames, take, write, end } = connected();
  const bytes = Buffer.concat([framed('one'), framed(''), framed('three')]);
  for (const byte of bytes.subarray(0, 9)) {
    write(Buffer.of(byte));
    expect(take()).toBe(true);
  }
  write(bytes.subarray(9));
  end();
  expect(take()).toBe(true);
  expect(take()).toBe(false);
  expect(frames.map((frame) => Buffer.from(frame).toString())).toEqual(['one', '', 'three']);
});

test('FrameInput.take leaves the frames that it has handed out as they are', () => {
  const { frames, take, write } = connected();
  const sent = Array.from({ length: 100 }, (_, i) => String(i).repeat(10_000));
  for (const text of sent) {
    write(framed(text));
    take();
  }
  expect(frames.map((frame) => Buffer.from(frame).toString())).toEqual(sent);
});

test('FrameInput.take reads large frames, given back or not, and small ones between them', () => {
  const { frames, take, write, input } = connected();
  const sent = Array.from({ length: 60 }, (_, i) => String(i % 10).repeat(i % 3 === 0 ? 5 : 150_000 + i));
  for (const [i, text] of sent.entries()) {
    const bytes = framed(text);
    for (let at = 0; at < bytes.length; at += 60_000) {
      write(bytes.subarray(at, at + 60_000));
      while (frames.length <= i && hasInput(input)) take();
    }
    if (i % 2 === 0) {
      frames[i] = Buffer.from(frames[i] ?? []);
      input.recycle();
    }
  }
  expect(frames.map((frame) => Buffer.from(frame).toString())).toEqual(sent);
});

test('FrameInput.take refuses a frame that is too long', () => {
  const { take, write } = connected();
  write(frameHead(maxFrameBytes + 1));
  expect(take).toThrow(expect.objectContaining({ code: 'PROTOCOL' }));
});
