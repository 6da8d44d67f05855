import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { Name } from '../core/name.ts';
import { EntryKind, entryCode } from './entry-code.ts';
import { Outbox, type TreeEvent } from './outbox.ts';
import { type Directory, Shadow } from './shadow.ts';

/** A shadow whose changes are told to an outbox, as TreeWatch does it. */
class Tree {
  readonly shadow = new Shadow();
  readonly outbox: Outbox;
  #inode = 1;

  constructor(maxInOrder: number) {
    this.shadow.isRootPresent = true;
    this.outbox = new Outbox(this.shadow, () => true, maxInOrder, 0);
  }

  #directories(): Directory[] {
    return [...this.shadow.below(this.shadow.root)];
  }

  /** Does something that is possible, chosen by numbers. */
  act(what: number, where: number, to: number, which: string, other: string): void {
    const directories = this.#directories();
    const directory = directories[where % directories.length] ?? this.shadow.root;
    const target = directories[to % directories.length] ?? this.shadow.root;
    const name = which as Name;
    const newName = other as Name;
    const code = directory.get(name);
    const path = directory.pathOf(name);
    if (what === 0 && code === undefined) {
      this.shadow.set(directory, name, entryCode(EntryKind.file, this.#inode++));
      this.outbox.add({ type: 'created', path, kind: 'file' });
    } else if (what === 1 && code === undefined) {
      const child = this.shadow.enter(directory, name, this.#inode++);
      this.shadow.set(directory, name, entryCode(EntryKind.entered, child.tag));
      this.outbox.add({ type: 'created', path, kind: 'directory' });
    } else if (what === 2 && code !== undefined) {
      const child = this.shadow.entered(code);
      this.outbox.add({ type: 'deleted', path, kind: child === undefined ? 'file' : 'directory' });
      this.shadow.delete(directory, name);
      if (child !== undefined) this.shadow.drop(child, () => {});
    } else if (what === 3 && code !== undefined && target.get(newName) === undefined) {
      const child = this.shadow.entered(code);
      if (child !== undefined && target.isWithin(child)) return;
      if (child !== undefined) this.shadow.move(child, target, newName);
      else {
        this.shadow.delete(directory, name);
        this.shadow.set(target, newName, code);
      }
      const kind = child === undefined ? 'file' : 'directory';
      this.outbox.add({ type: 'moved', path: target.pathOf(newName), from: path, kind });
    } else if (what === 4 && code !== undefined && this.shadow.entered(code) === undefined) {
      this.outbox.add({ type: 'changed', path, kind: 'file' });
    }
  }

  paths(): string[] {
    return this.#directories()
      .flatMap((directory) => {
        const found: string[] = [];
        directory.each((name, code) => {
          found.push(`${directory.pathOf(name)}${this.shadow.entered(code) === undefined ? '' : '/'}`);
        });
        return found;
      })
      .sort();
  }
}

/** What a consumer makes of it. */
class Consumer {
  readonly paths = new Map<string, TreeEvent['kind']>();

  apply(event: TreeEvent): void {
    if (event.type === 'created' || event.type === 'changed') {
      const parent = event.path.slice(0, Math.max(0, event.path.lastIndexOf('/')));
      if (parent !== '') expect(this.paths.get(parent), `parent of ${event.path}`).toBe('directory');
      this.paths.set(event.path, event.kind);
    } else if (event.type === 'deleted') this.#remove(event.path);
    else if (event.type === 'moved' && event.from !== undefined) {
      this.#remove(event.path);
      for (const [path, kind] of [...this.paths]) {
        if (path !== event.from && !path.startsWith(`${event.from}/`)) continue;
        this.paths.delete(path);
        this.paths.set(`${event.path}${path.slice(event.from.length)}`, kind);
      }
    }
  }

  #remove(path: string): void {
    for (const known of [...this.paths.keys()]) {
      if (known === path || known.startsWith(`${path}/`)) this.paths.delete(known);
    }
  }

  list(): string[] {
    return [...this.paths].map(([path, kind]) => (kind === 'directory' ? `${path}/` : path)).sort();
  }
}

const names = fc.constantFrom('a', 'b', 'c', 'ab');
const action = fc.record({
  what: fc.nat({ max: 4 }),
  where: fc.nat({ max: 9 }),
  to: fc.nat({ max: 9 }),
  which: names,
  other: names,
  /** How many events the consumer takes afterwards. */
  take: fc.constantFrom(0, 0, 0, 0, 1, 3),
});

describe('Outbox', () => {
  test.each([1000, 8, 1, 0])(
    'whatever is merged (%i in their order), the consumer has the tree in the end',
    (maxInOrder) => {
      fc.assert(
        fc.property(fc.array(action, { maxLength: 120 }), fc.nat({ max: 120 }), (actions, heldUntil) => {
          const tree = new Tree(maxInOrder);
          const consumer = new Consumer();
          tree.outbox.hold(true);
          actions.forEach(({ what, where, to, which, other, take }, i) => {
            if (i === heldUntil) tree.outbox.hold(false);
            tree.act(what, where, to, which, other);
            tree.outbox.compact();
            for (const event of tree.outbox.take(take)) consumer.apply(event);
          });
          while (!tree.outbox.isEmpty) for (const event of tree.outbox.take(5)) consumer.apply(event);
          expect(consumer.list()).toEqual(tree.paths());
        }),
        { numRuns: 300 },
      );
    },
  );

  test('a file that changed a thousand times is told once, one that came and went not at all', () => {
    const tree = new Tree(0);
    tree.act(0, 0, 0, 'a', 'a');
    expect(tree.outbox.take(10).map(({ type }) => type)).toEqual(['created', 'changed']);
    for (let i = 0; i < 1000; i++) tree.act(4, 0, 0, 'a', 'a');
    tree.act(0, 0, 0, 'b', 'b');
    tree.act(2, 0, 0, 'b', 'b');
    expect(tree.outbox.take(10)).toEqual([{ type: 'changed', path: 'a', kind: 'file' }]);
  });

  test('content that the consumer may not have looked at under its old name is told again under its new one', () => {
    const tree = new Tree(1000);
    tree.act(0, 0, 0, 'a', 'a');
    tree.outbox.take(10);
    tree.act(3, 0, 0, 'a', 'b');
    expect(tree.outbox.take(10).map(({ type, path }) => `${type} ${path}`)).toEqual(['moved b', 'changed b']);
    tree.outbox.confirm(tree.outbox.given);
    tree.act(3, 0, 0, 'b', 'c');
    expect(tree.outbox.take(10).map(({ type, path }) => `${type} ${path}`)).toEqual(['moved c']);
  });

  test('names that came and went while nobody took anything are forgotten', () => {
    const tree = new Tree(0);
    const count = 20_000;
    for (let i = 0; i < count; i++) {
      tree.act(0, 0, 0, `f${i}`, '');
      tree.act(2, 0, 0, `f${i}`, '');
    }
    tree.act(0, 0, 0, 'left', '');
    tree.outbox.compact();
    const looks = vi.spyOn(tree.shadow, 'lookup');
    expect(tree.outbox.take(10).map(({ type, path }) => `${type} ${path}`)).toEqual([
      'created left',
      'changed left',
    ]);
    expect(looks).toHaveBeenCalledTimes(1);
  });

  test('content that is gone before anyone looked is not told again for what has its name later', () => {
    const tree = new Tree(1000);
    tree.act(0, 0, 0, 'seen', '');
    tree.outbox.take(10);
    tree.outbox.confirm(tree.outbox.given);
    tree.act(0, 0, 0, 'a', '');
    tree.act(2, 0, 0, 'a', '');
    tree.act(3, 0, 0, 'seen', 'a');
    tree.act(3, 0, 0, 'a', 'b');
    expect(tree.outbox.take(10).map(({ type, path }) => `${type} ${path}`)).toEqual([
      'created a',
      'deleted a',
      'moved a',
      'moved b',
    ]);
  });
});
