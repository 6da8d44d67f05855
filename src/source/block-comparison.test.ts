import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlockComparison } from './block-comparison.ts';

const blockBytes = 64;
const subBlockBytes = 8;
const maxCopyBytes = 256;

interface Built {
  readonly content: Buffer;
  readonly sent: number;
  readonly asked: number;
}

/** Plays source and replica: `choose` decides which of the things that can happen next happens. */
function build(base: Buffer, fresh: Buffer, choose: () => number, from = 0): Built {
  const block = (of: Buffer, index: number): Buffer =>
    of.subarray(index * blockBytes, (index + 1) * blockBytes);
  const comparison = new BlockComparison({
    size: fresh.length,
    baseSize: base.length,
    blockBytes,
    subBlockBytes,
    isSame: (index) => block(fresh, index).equals(block(base, index)),
  });
  const freshBlocks = Math.ceil(fresh.length / blockBytes);
  const baseBlocks = Math.ceil(base.length / blockBytes);
  const parts: Buffer[] = [fresh.subarray(0, from)];
  const questions: number[] = [];
  let position = from;
  let sent = 0;
  let asked = 0;
  for (let turn = 0; turn < 10_000; turn++) {
    const question = comparison.narrow(position);
    if (question !== undefined) {
      questions.push(question);
      asked += 1;
      continue;
    }
    const next = comparison.next(position, maxCopyBytes);
    if (next.kind === 'end') return { content: Buffer.concat(parts), sent, asked };
    if (next.kind === 'copy' || next.kind === 'data') {
      expect(next.to).toBeGreaterThan(position);
      parts.push((next.kind === 'copy' ? base : fresh).subarray(position, next.to));
      if (next.kind === 'data') sent += next.to - position;
      position = next.to;
      continue;
    }
    if (next.kind === 'scan') expect(comparison.freshBlocks).toBeLessThan(freshBlocks);
    const possible: (() => void)[] = [];
    if (comparison.freshBlocks < freshBlocks) possible.push(() => comparison.freshBlocks++);
    if (comparison.baseBlocks < baseBlocks) possible.push(() => comparison.baseBlocks++);
    const [answer] = questions;
    if (answer !== undefined) {
      possible.push(() => {
        questions.shift();
        const same: boolean[] = [];
        for (let at = 0; at < comparison.baseLength(answer); at += subBlockBytes) {
          const ours = block(fresh, answer).subarray(at, at + subBlockBytes);
          same.push(ours.equals(block(base, answer).subarray(at, at + subBlockBytes)));
        }
        comparison.narrowed(answer, same);
      });
    }
    expect(possible.length, 'something is waited for').toBeGreaterThan(0);
    possible[choose() % possible.length]?.();
  }
  throw new Error('no end');
}

const noise = fc.uint8Array({ maxLength: 1500 }).map((bytes) => Buffer.from(bytes));
const edit = fc.oneof(
  fc.record({ kind: fc.constant('overwrite' as const), at: fc.nat(2000), bytes: noise }),
  fc.record({ kind: fc.constant('insert' as const), at: fc.nat(2000), bytes: noise }),
  fc.record({ kind: fc.constant('append' as const), at: fc.constant(0), bytes: noise }),
  fc.record({ kind: fc.constant('truncate' as const), at: fc.nat(2000), bytes: noise }),
);

function edited(base: Buffer, { kind, at, bytes }: { kind: string; at: number; bytes: Buffer }): Buffer {
  if (kind === 'append') return Buffer.concat([base, bytes]);
  if (kind === 'truncate') return base.subarray(0, at);
  const head = base.subarray(0, at);
  const rest = base.subarray(kind === 'insert' ? at : at + bytes.length);
  return Buffer.concat([head, bytes, rest]);
}

describe('BlockComparison', () => {
  test('gives back the new content after any edits, whatever becomes known first, from any offset', () => {
    fc.assert(
      fc.property(
        noise,
        fc.array(edit, { maxLength: 4 }),
        fc.infiniteStream(fc.nat(5)),
        fc.nat(100),
        (base, edits, choices, percent) => {
          const fresh = edits.reduce(edited, base);
          const from = Math.floor((fresh.length * percent) / 100);
          const { content } = build(base, fresh, () => choices.next().value ?? 0, from);
          expect(content.equals(fresh)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('sends no more than the sub-blocks that an overwritten stretch touches', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 500, maxLength: 2000 }),
        fc.nat(499),
        fc.integer({ min: 1, max: 30 }),
        (bytes, at, length) => {
          const base = Buffer.from(bytes);
          const fresh = Buffer.from(base);
          for (let i = at; i < Math.min(at + length, fresh.length); i++) fresh[i] = (fresh[i] ?? 0) ^ 0xff;
          const { content, sent, asked } = build(base, fresh, () => 0);
          expect(content.equals(fresh)).toBe(true);
          expect(sent).toBeLessThanOrEqual(length + 2 * subBlockBytes);
          expect(asked).toBeLessThanOrEqual(2);
        },
      ),
    );
  });

  test('sends what was appended and the sub-block that it begins in', () => {
    const base = Buffer.alloc(blockBytes * 3 + 13, 'a');
    const { content, sent, asked } = build(base, Buffer.concat([base, Buffer.from('tail')]), () => 1);
    expect(content.length).toBe(base.length + 4);
    expect(sent).toBeLessThanOrEqual(subBlockBytes + 4);
    expect(asked).toBe(1);
  });

  test('stops asking about sub-blocks where nothing is in common', () => {
    const base = Buffer.alloc(blockBytes * 200, 'a');
    const fresh = Buffer.alloc(blockBytes * 200, 'b');
    const { sent, asked } = build(base, fresh, () => 2);
    expect(sent).toBe(fresh.length);
    expect(asked).toBeLessThan(40);
  });
});
