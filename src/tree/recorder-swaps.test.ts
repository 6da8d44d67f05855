import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RecordedTree } from '../../test/support/tree/recorded-tree.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { type InodeId, Kind, rootId } from '../core/attributes.ts';

/** Lets two folders trade places through a third name, again and again, until its stdin ends; then says how often. */
const swapper = `
const { renameSync } = require('node:fs');
const [root] = process.argv.slice(1);
let swaps = 0;
process.stdin.on('data', () => {}).on('end', () => { console.log(swaps); process.exit(0); });
(function swap() {
  for (let n = 0; n < 5; n++, swaps++) {
    renameSync(root + '/x', root + '/t');
    renameSync(root + '/y', root + '/x');
    renameSync(root + '/t', root + '/y');
  }
  setTimeout(swap, 1);
})();`;

/** Where a replica has each folder that it was told of: as a file system does, under one name at a time. */
class Follower {
  readonly names = new Map<string, InodeId>();
  #seq = 0;

  follow(tree: RecordedTree): void {
    const { store } = tree;
    store.transaction(() => {
      for (const record of [...store.journal(this.#seq)]) {
        if (record.type !== 'entry' || record.parent !== rootId) continue;
        const id = store.entry(rootId, record.name)?.id ?? 0;
        for (const [name, other] of this.names) if (other === id) this.names.delete(name);
        if (id === 0) this.names.delete(record.name);
        else this.names.set(record.name, id);
      }
      this.#seq = store.head;
    });
  }
}

test.each(['fanotify', 'inotify'] as const)(
  'Recorder with %s: whoever follows the journal has every folder that trades places all the time',
  async (monitor) => {
    using tree = new RecordedTree({ monitor });
    tree.start();
    for (const name of ['x', 'y']) {
      mkdirSync(join(tree.root, name));
      writeFileSync(join(tree.root, name, 'inside'), name);
    }
    tree.settle();
    const follower = new Follower();
    follower.follow(tree);
    for (let round = 0; round < 10; round++) {
      const child = spawn(process.execPath, ['-e', swapper, tree.root], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      let swaps = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        swaps += text;
      });
      const before = tree.store.head;
      await waitFor(
        () => {
          tree.turn();
          follower.follow(tree);
          return tree.store.head > before + 100;
        },
        { describe: 'swaps to be recorded', intervalMs: 1 },
      );
      child.stdin.end();
      await waitFor(() => swaps !== '', { describe: 'the end of the swaps' });
      tree.settle();
      follower.follow(tree);
      expect(tree.differences()).toEqual([]);
      const folders = tree.store.transaction(() =>
        [...tree.store.list(rootId)].filter(({ id }) => tree.store.inode(id)?.kind === Kind.directory),
      );
      expect(Object.fromEntries(follower.names)).toEqual(
        Object.fromEntries(folders.map(({ name, id }) => [name, id])),
      );
    }
  },
);
