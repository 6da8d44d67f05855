// Many files that are too large to travel inside a batch: their contents are owed and streamed while they are changed, renamed and removed.

import type { ByteString } from '../../../src/core/name.ts';
import type { Operation } from '../operation.ts';
import type { Ground } from './ground.ts';

const prefix = 'photo-';
/** Of one writer at a time: its file system has a GiB, and replicas keep a copy of themselves there. */
const maxFiles = 280;
const smallestBytes = 130 * 1024;
const spreadBytes = 270 * 1024;

function batch(ground: Ground): Operation[] {
  const folder = ground.folder();
  return Array.from({ length: 1 + ground.draw(24) }, () => {
    const path = `${folder}/${prefix}${ground.draw(5000)}`;
    ground.made(path, 'file');
    return { do: 'create', path, size: smallestBytes + ground.draw(spreadBytes), seed: ground.seed() };
  });
}

function change(ground: Ground, path: ByteString): Operation {
  const seed = ground.seed();
  switch (ground.draw(4)) {
    case 0:
      return { do: 'append', path, size: ground.draw(100_000), seed };
    case 1:
      return { do: 'save', path, size: smallestBytes + ground.draw(spreadBytes), seed };
    case 2:
      return { do: 'truncate', path, size: ground.draw(300_000) };
    default:
      return { do: 'write', path, at: ground.draw(smallestBytes), size: 1 + ground.draw(20_000), seed };
  }
}

export function largeFiles(ground: Ground): Operation[] {
  const there = ground.named(prefix);
  const one = there[ground.draw(there.length)];
  const kind = ground.draw(10);
  if (one === undefined || (kind < 4 && there.length < maxFiles)) return batch(ground);
  if (kind < 6) return [change(ground, one)];
  if (kind < 8) {
    const other = there[ground.draw(there.length)];
    const path =
      other !== undefined && ground.draw(2) === 0
        ? other
        : `${ground.folder()}/${prefix}${ground.draw(5000)}`;
    ground.moved(one, path);
    return [{ do: 'rename', from: one, path, how: 'replace' }];
  }
  if (kind === 8) {
    const from = ground.movable();
    const path = ground.newPath(true);
    if (path.startsWith(`${from}/`)) return [];
    ground.moved(from, path);
    return [{ do: 'rename', from, path, how: 'replace' }];
  }
  const going = there.slice(0, 1 + ground.draw(8));
  return going.map((path) => {
    ground.removed(path);
    return { do: 'unlink', path };
  });
}
