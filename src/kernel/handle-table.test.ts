import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HandleTable } from './handle-table.ts';

/** struct file_handle of the bytes, at word `at` of a larger buffer whose rest is noise. */
function handleWords(bytes: Uint8Array, type: number, at: number, noise: number): Uint32Array {
  const words = new Uint32Array(at + 3 + Math.ceil(bytes.length / 4)).fill(noise);
  words[at] = bytes.length;
  words[at + 1] = type;
  new Uint8Array(words.buffer).set(bytes, (at + 2) * 4);
  return words;
}

describe('HandleTable', () => {
  test('answers as a pair of Maps does, whatever is set and deleted', () => {
    // Few handles and tags, so that they meet; the lengths of real handles and odd ones.
    const handle = fc.record({
      bytes: fc.uint8Array({ maxLength: 9 }).map((bytes) => bytes.map((byte) => byte & 3)),
      type: fc.integer({ min: 1, max: 2 }),
    });
    const step = fc.oneof(
      fc.record({ do: fc.constant('set'), handle, tag: fc.nat({ max: 40 }) }),
      fc.record({ do: fc.constant('delete'), handle, tag: fc.nat({ max: 40 }) }),
      fc.record({ do: fc.constant('retag'), handle, tag: fc.nat({ max: 40 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const table = new HandleTable();
        const tags = new Map<string, number>();
        for (const {
          do: what,
          handle: { bytes, type },
          tag,
        } of steps) {
          const key = `${type}:${bytes.join()}`;
          const former = tags.get(key);
          const isKnown = [...tags.values()].includes(tag);
          if (what !== 'retag') for (const [other, old] of tags) if (old === tag) tags.delete(other);
          if (what === 'set') {
            table.set(handleWords(bytes, type, 0, 0xffffffff), 0, tag);
            tags.set(key, tag);
          } else if (what === 'retag') {
            if (isKnown || former === undefined) continue;
            table.retag(former, tag);
            tags.set(key, tag);
          } else {
            table.delete(tag);
          }
          expect(table.get(handleWords(bytes, type, 3, 0x5a5a5a5a), 3)).toBe(tags.get(key));
          expect(table.size).toBe(tags.size);
        }
        for (const {
          handle: { bytes, type },
        } of steps) {
          const found = table.get(handleWords(bytes, type, 1, 7), 1);
          expect(found).toBe(tags.get(`${type}:${bytes.join()}`));
        }
      }),
    );
  });

  test('keeps 100,000 directories apart through growth and deletion', () => {
    const table = new HandleTable();
    const words = Uint32Array.from([8, 1, 0, 0]);
    for (let i = 0; i < 100_000; i++) {
      words[2] = i;
      words[3] = i * 7;
      table.set(words, 0, 2 ** 40 + i);
    }
    for (let i = 0; i < 100_000; i += 3) expect(table.delete(2 ** 40 + i)).toBe(true);
    for (let i = 0; i < 100_000; i++) {
      words[2] = i;
      words[3] = i * 7;
      if (table.get(words, 0) !== (i % 3 === 0 ? undefined : 2 ** 40 + i)) throw new Error(`entry ${i}`);
    }
    expect(table.size).toBe(66_666);
  });
});
