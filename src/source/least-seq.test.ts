import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LeastSeq } from './least-seq.ts';

describe('LeastSeq', () => {
  it('knows the least of what is in it, whatever was added and removed', () => {
    const step = fc.record({ seq: fc.integer({ min: 0, max: 20 }), adds: fc.boolean(), asks: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const bag = new LeastSeq();
        const model: number[] = [];
        for (const { seq, adds, asks } of steps) {
          const at = model.indexOf(seq);
          if (adds) {
            bag.add(seq);
            model.push(seq);
          } else if (at >= 0) {
            bag.remove(seq);
            model.splice(at, 1);
          }
          if (asks) expect(bag.least).toBe(Math.min(Infinity, ...model));
        }
        expect(bag.least).toBe(Math.min(Infinity, ...model));
      }),
    );
  });
});
