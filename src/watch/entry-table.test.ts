import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asName, type Name } from '../core/name.ts';
import { EntryPacker, EntryTable, eachPacked, packEntry } from './entry-table.ts';

const anyName = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => asName(Buffer.from(bytes).toString('latin1')))
  .filter((name) => name !== undefined);
/** Few, and some that look like packed codes. */
const fewNames = fc
  .constantFrom('a', 'b', 'aa', '\x80\x80\x80\x80\x80', '\x80\x80\x80\x80\x81', 'x'.repeat(255))
  .map((name) => name as Name);
const action = fc.record({
  name: fc.oneof(fewNames, anyName),
  code: fc.nat({ max: 2 ** 31 - 1 }),
  what: fc.constantFrom('set', 'set', 'set', 'delete', 'pack'),
});

describe('EntryPacker', () => {
  test('packs as packEntry does, one directory after the other, however many entries it has', () => {
    const entry = fc.record({ name: anyName, code: fc.nat({ max: 2 ** 31 - 1 }) });
    fc.assert(
      fc.property(
        fc.array(fc.array(entry, { maxLength: 600, size: 'max' }), { maxLength: 3 }),
        (directories) => {
          const packer = new EntryPacker();
          for (const entries of directories) {
            for (const { name, code } of entries) {
              const bytes = Buffer.from(`..${name}..`, 'latin1');
              packer.add(bytes, 2, bytes.length - 2, code);
            }
            expect(packer.take()).toBe(entries.map(({ name, code }) => packEntry(name, code)).join(''));
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('EntryTable', () => {
  test('holds what a Map would hold, packed or not, for any names and codes', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), fc.boolean(), (actions, isLarge) => {
        const table = new EntryTable();
        const model = new Map<Name, number>();
        // Large enough to become a Map when it is changed.
        for (let i = 0; isLarge && i < 600; i++) {
          table.set(`file-${i}` as Name, i);
          model.set(`file-${i}` as Name, i);
        }
        for (const { name, code, what } of actions) {
          if (what === 'set') {
            table.set(name, code);
            model.set(name, code);
          } else if (what === 'delete') {
            table.delete(name);
            model.delete(name);
          } else table.pack();
          expect(table.get(name)).toBe(model.get(name));
        }
        const held = new Map<Name, number>();
        eachPacked(table.pack(), (name, code) => held.set(name, code));
        expect(held).toEqual(model);
        expect(table.isEmpty).toBe(model.size === 0);
      }),
      { numRuns: 200 },
    );
  });
});
