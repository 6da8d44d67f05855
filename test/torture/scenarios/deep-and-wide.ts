// Many folders, paths near PATH_MAX, the longest names, and folders that move while what is in them streams.

import type { ByteString } from '../../../src/core/name.ts';
import type { Operation } from '../operation.ts';
import type { Ground } from './ground.ts';

/** Below PATH_MAX (limits.h) with whatever is put before `/tree`: the oracle goes by paths. */
const maxPathBytes = 3900;
/** They stay at the top of the tree: anywhere else their paths would become too long. */
const deepRoots: readonly [ByteString, ...ByteString[]] = ['/tree/deep-1', '/tree/deep-2', '/tree/deep-3'];

function deepPath(root: ByteString, nameBytes: number): ByteString {
  const levels = Math.floor((maxPathBytes - root.length) / (nameBytes + 1)) - 1;
  return `${root}${`/${'d'.repeat(nameBytes)}`.repeat(levels)}`;
}

function deep(ground: Ground): Operation[] {
  const root = ground.of(deepRoots);
  if (ground.draw(3) === 0) {
    const how = ground.of(['exchange', 'noreplace'] as const);
    return [{ do: 'rename', from: root, path: ground.of(deepRoots), how }];
  }
  if (ground.draw(6) === 0) return [{ do: 'rmtree', path: root }];
  // From 15 folders with the longest names to some five hundred with short ones.
  const path = deepPath(root, ground.of([255, 255, 100, 30, 10, 6]));
  const seed = ground.seed();
  return [
    { do: 'mkdirs', path },
    { do: 'create', path: `${path}/bottom`, size: ground.draw(300_000), seed },
    { do: 'chmod', path: ground.of([path, root]), mode: 0o750 },
  ];
}

function movedWhileItStreams(ground: Ground): Operation[] {
  const first = ground.newPath(true);
  const names: ByteString[] = [first, ground.newPath(true), ground.newPath(true)];
  const operations: Operation[] = [
    { do: 'folders', path: first, count: 20 + ground.draw(200), seed: ground.seed() },
  ];
  for (let n = 0; n < 8; n++) {
    const size = 130_000 + ground.draw(400_000);
    operations.push({
      do: 'create',
      path: `${first}/f${1 + ground.draw(19)}/film`,
      size,
      seed: ground.seed(),
    });
  }
  ground.made(first, 'folder');
  for (const [n, path] of names.slice(1).entries()) {
    const from = names[n] ?? first;
    if (path.startsWith(`${from}/`)) break;
    operations.push({ do: 'pause', ms: ground.draw(60) }, { do: 'rename', from, path, how: 'replace' });
    ground.moved(from, path);
  }
  return operations;
}

export function deepAndWide(ground: Ground): Operation[] {
  switch (ground.draw(6)) {
    case 0: {
      const path = ground.newPath(true);
      ground.made(path, 'folder');
      return [{ do: 'folders', path, count: 100 + ground.draw(1100), seed: ground.seed() }];
    }
    case 1:
    case 2:
      return movedWhileItStreams(ground);
    default:
      return deep(ground);
  }
}
