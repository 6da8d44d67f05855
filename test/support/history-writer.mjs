// One of several writers that change a tree at the same time: node history-writer.mjs ROOT SEED OPERATIONS.
// Plain Node.js, because it runs as a process of its own. Everything is random, so most of what fails is expected to.

import * as fs from 'node:fs';

const [root, seed, operations] = process.argv.slice(2);
let state = Number(seed) >>> 0;

function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}
const below = (count) => Math.floor(random() * count);
const names = ['a', 'b', 'c', 'd', 'e', 'x.html', 'y.tmp', 'ä', '\xff\xfe', 'with space'];

/** Few names and little depth, so that writers meet. */
function somePath() {
  const parts = Array.from({ length: 1 + below(4) }, () => names[below(names.length)]);
  const bytes = parts.map((part) => Buffer.from(part, part === '\xff\xfe' ? 'latin1' : 'utf8'));
  return bytes.reduce((path, part) => Buffer.concat([path, Buffer.from('/'), part]), Buffer.from(root));
}

const actions = [
  () => fs.writeFileSync(somePath(), `content ${random()}`),
  () => fs.writeFileSync(somePath(), `content ${random()}`),
  () => fs.appendFileSync(somePath(), `more ${random()}`),
  () => fs.mkdirSync(somePath(), { recursive: true }),
  () => fs.mkdirSync(somePath()),
  () => fs.renameSync(somePath(), somePath()),
  () => fs.renameSync(somePath(), somePath()),
  () => fs.unlinkSync(somePath()),
  () => fs.rmdirSync(somePath()),
  () => below(4) === 0 && fs.rmSync(somePath(), { recursive: true }),
  () => fs.symlinkSync(names[below(4)], somePath()),
  () => fs.chmodSync(somePath(), below(2) === 0 ? 0o755 : 0o700),
  () => {
    // As editors save: written beside, then renamed over.
    const path = somePath();
    const temp = Buffer.concat([path, Buffer.from('.tmp')]);
    fs.writeFileSync(temp, `saved ${random()}`);
    fs.renameSync(temp, path);
  },
  () => {
    // Out of the tree, and back in under another name.
    const outside = `${root}-outside-${process.pid}`;
    fs.renameSync(somePath(), outside);
    try {
      fs.renameSync(outside, somePath());
    } catch {
      fs.rmSync(outside, { recursive: true });
    }
  },
];

for (let done = 0; done < Number(operations); done++) {
  try {
    actions[below(actions.length)]();
  } catch {
    // ENOENT, EEXIST, ENOTEMPTY, EINVAL, ELOOP...
  }
}
