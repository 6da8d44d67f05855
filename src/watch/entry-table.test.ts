import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asName, type Name } from '../core/name.ts';
import { EntryTable } from './entry-table.ts';
import { EntryPacker, eachPacked, packEntry } from './packed-entries.ts';

const anyName = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => asName(Buffer.from(bytes).toString('latin1')))
  .filter((name) => name !== undefined);
/** Few, and some that look like packed codes. */
const fewNames = fc
  .constantFrom(
    'a',
    'b',
    'file-7',
    'file-6999',
    'aa',
    '\x80\x80\x80\x80\x80',
    '\x80\x80\x80\x80\x81',
    'x'.repeat(255),
  )
  .map((name) => name as Name);
const action = fc.record({
  name: fc.oneof(fewNames, anyName),
  code: fc.nat({ max: 2 ** 31 - 1 }),
  what: fc.constantFrom('set', 'set', 'set', 'delete', 'pack', 'shrink'),
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
      fc.property(fc.array(action, { maxLength: 60 }), fc.constantFrom(0, 600, 7000), (actions, count) => {
        const table = new EntryTable();
        const model = new Map<Name, number>();
        // Some become a Map when they are changed, some are indexed.
        for (let i = 0; i < count; i++) model.set(`file-${i}` as Name, i);
        table.load([...model].map(([name, code]) => packEntry(name, code)).join(''));
        for (const { name, code, what } of actions) {
          if (what === 'set') {
            table.set(name, code);
            model.set(name, code);
          } else if (what === 'delete') {
            table.delete(name);
            model.delete(name);
          } else if (what === 'pack') table.pack();
          else table.shrink();
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

  test('of many names changed one after the other holds what a Map would hold, also while it is gone through', () => {
    const table = new EntryTable();
    const model = new Map<Name, number>();
    const nameOf = (i: number): Name => `${'x'.repeat(i % 30)}${i}` as Name;
    for (let i = 0; i < 10_000; i++) model.set(nameOf(i), i);
    table.load([...model].map(([name, code]) => packEntry(name, code)).join(''));
    // First few, then so many that they are no longer kept beside.
    for (const step of [97, 1]) {
      for (let i = 0; i < 12_000; i += step) {
        if (i % 3 === 0) model.delete(nameOf(i));
        else model.set(nameOf(i), i * 2);
        if (i % 3 === 0) table.delete(nameOf(i));
        else table.set(nameOf(i), i * 2);
        expect(table.get(nameOf(i))).toBe(model.get(nameOf(i)));
      }
      table.shrink();
      for (const [name, code] of model) expect(table.get(name)).toBe(code);
      const held = new Map<Name, number>();
      table.each((name, code) => {
        held.set(name, code);
        if (step === 97) table.set(name, code);
      });
      expect(held).toEqual(model);
    }
  });
});
