import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asName } from '../core/name.ts';
import { Hint, type KernelEvent } from './event-source.ts';
import { Places } from './places.ts';

test('Places tells of a directory in each of its places, whatever joins and leaves', () => {
  // Directories by the tag that they are registered under; each place is a tag on a mount.
  const step = fc.record({
    isAdded: fc.boolean(),
    directory: fc.nat({ max: 2 }),
    tag: fc.nat({ max: 6 }),
    mount: fc.nat({ max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const places = new Places();
      const firsts = new Map<number, number>();
      const model = new Map<number, { directory: number; mount: number }>();
      const leave = (tag: number): void => {
        const place = model.get(tag);
        if (place === undefined) return;
        model.delete(tag);
        const heir = places.leave(tag);
        if (heir === undefined) firsts.delete(place.directory);
        else firsts.set(place.directory, heir);
      };
      for (const { isAdded, directory, tag, mount } of steps) {
        leave(tag);
        if (isAdded) {
          const first = firsts.get(directory);
          if (first === undefined) places.note(tag, mount);
          if (first === undefined || !places.join(first, tag, mount)) firsts.set(directory, tag);
          for (const [other, place] of model)
            if (place.directory === directory && place.mount === mount) model.delete(other);
          model.set(tag, { directory, mount });
        }
        for (const [of, first] of firsts) {
          const expected = [...model].filter(([, place]) => place.directory === of).map(([place]) => place);
          expect([first, ...places.othersOf(first)].sort()).toEqual(expected.sort());
          for (const place of expected) expect(places.firstOf(place)).toBe(first);
        }
        const sizes = [...firsts.values()].map((first) => places.othersOf(first).length);
        expect(places.areAny).toBe(sizes.some((size) => size > 0));
      }
    }),
  );
});

test('Places.tellRename pairs what is on one mount', () => {
  const places = new Places();
  const [from, to] = [asName('from'), asName('to')];
  if (from === undefined || to === undefined) throw new Error('names');
  places.note(1, 100);
  places.join(1, 11, 101);
  places.join(1, 21, 102);
  places.note(2, 101);
  places.join(2, 12, 100);
  places.join(2, 32, 103);
  const events: KernelEvent[] = [];
  const rename = { type: 'rename', fromName: from, toName: to, isDirectory: true, pid: 7 } as const;
  places.tellRename({ ...rename, fromDirectory: 1, toDirectory: 2 }, events);
  const hints = Hint.moved | Hint.directory;
  expect(events).toEqual([
    { ...rename, fromDirectory: 1, toDirectory: 12 },
    { ...rename, fromDirectory: 11, toDirectory: 2 },
    { type: 'name', directory: 21, name: from, hints: hints | Hint.vanished, pid: 7 },
    { type: 'name', directory: 32, name: to, hints: hints | Hint.appeared, pid: 7 },
  ]);
});
