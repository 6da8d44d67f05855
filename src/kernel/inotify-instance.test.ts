// One inotify instance for many sources of a thread.

import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { inotifyInstances } from '../../test/support/inotify-instances.ts';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { Hint, type KernelEvent } from './event-source.ts';
import { InotifySource } from './inotify.ts';
import { shareInstance } from './inotify-instance.ts';

const tag = 1;

function open(root: string): InotifySource {
  const fd = openSync(root, 'r');
  try {
    const source = new InotifySource(fd, undefined, shareInstance());
    onTestFinished(() => source.close());
    source.add(fd, tag);
    return source;
  } finally {
    closeSync(fd);
  }
}

/** How many watches an instance has. */
function watches(fd: number | undefined): number {
  return readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1').split('\ninotify ').length - 1;
}

function hintsOf(events: readonly KernelEvent[], name: string): number {
  return events.reduce(
    (hints, event) => (event.type === 'name' && event.name === name ? hints | event.hints : hints),
    0,
  );
}

describe('a share of an inotify instance', () => {
  test('is one of 300 at once, each told of its own directory, whoever reads first', () => {
    const before = inotifyInstances();
    const roots = Array.from({ length: 300 }, () => tempFolder());
    const sources = roots.map(open);
    expect(inotifyInstances()).toBe(before + 1);
    roots.forEach((root, i) => {
      writeFileSync(join(root, `file-${i}`), '');
    });
    // The last one reads for all.
    expect(sources.at(-1)?.read().length).toBeGreaterThan(0);
    expect(sources[0]?.pendingUntil).toBe(0);
    sources.slice(0, -1).forEach((source, i) => {
      const events = source.read();
      expect(events.every((event) => event.type === 'name' && event.name === `file-${i}`)).toBe(true);
      expect(hintsOf(events, `file-${i}`)).toBe(Hint.appeared | Hint.closedWrite);
      expect(source.pendingUntil).toBeUndefined();
    });
    for (const source of sources) source.close();
    expect(inotifyInstances()).toBe(before);
  });

  test('tells two of one directory, and one when the other has left', () => {
    const root = tempFolder();
    const [first, second] = [open(root), open(root)];
    writeFileSync(join(root, 'file'), '');
    for (const source of [first, second])
      expect(hintsOf(source.read(), 'file')).toBe(Hint.appeared | Hint.closedWrite);
    first.close();
    chmodSync(join(root, 'file'), 0o600);
    expect(hintsOf(second.read(), 'file')).toBe(Hint.attributes);
    const third = open(root);
    second.remove(tag);
    rmSync(join(root, 'file'));
    expect(hintsOf(second.read(), 'file')).toBe(0);
    expect(hintsOf(third.read(), 'file')).toBe(Hint.vanished);
  });

  test('tells only what its own watch of a directory is for', () => {
    const above = tempFolder();
    const root = join(above, 'root');
    mkdirSync(root);
    // That wants to hear of names; the other one of its root's fate.
    const [outer, inner] = [open(above), open(root)];
    writeFileSync(join(above, 'beside'), '');
    expect(inner.read()).toEqual([]);
    expect(hintsOf(outer.read(), 'beside')).not.toBe(0);
    outer.close();
    rmSync(root, { recursive: true });
    expect(inner.read()).toContainEqual({ type: 'root-gone', why: 'deleted' });
  });

  test('leaves no watch behind', () => {
    const [stays, goes] = [tempFolder(), tempFolder()];
    const source = open(stays);
    const before = watches(source.fds[0]);
    for (let i = 0; i < 10; i++) open(goes).close();
    expect(watches(source.fds[0])).toBe(before);
  });
});
