import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';
import { compareTrees, expectEqualTrees } from './compare-trees.ts';

const rawName = Buffer.from([0x6e, 0xff, 0xfe, 0x0a, 0x5c]);

/** A tree with one of everything, and a copy of it made by cp -a, which keeps all that the oracle looks at. */
function twoTrees(): { source: string; dest: string } {
  const folder = tempFolder('oracle');
  const [source, dest] = [join(folder, 'source'), join(folder, 'dest')];
  mkdirSync(join(source, 'sub', 'deep'), { recursive: true });
  writeFileSync(join(source, 'file'), 'content');
  writeFileSync(join(source, 'sub', 'deep', 'page.html'), '<p>page</p>'.repeat(1000));
  writeFileSync(Buffer.concat([Buffer.from(`${source}/`), rawName]), 'bytes');
  symlinkSync('no/such/target', join(source, 'link'));
  writeFileSync(join(source, 'one'), 'linked');
  linkSync(join(source, 'one'), join(source, 'sub', 'two'));
  writeFileSync(join(source, 'holes'), 'x');
  truncateSync(join(source, 'holes'), 8 << 20);
  execFileSync('mkfifo', [join(source, 'fifo')]);
  execFileSync('mknod', [join(source, 'device'), 'c', '1', '3']);
  execFileSync('setfattr', ['-n', 'user.color', '-v', 'green', join(source, 'file')]);
  execFileSync('setfacl', ['-m', 'u:1234:r', join(source, 'sub')]);
  execFileSync('setcap', ['cap_net_bind_service=ep', join(source, 'one')]);
  execFileSync('cp', ['-a', '--sparse=always', source, dest]);
  return { source, dest };
}

test('compareTrees finds a faithful copy equal, names that are not UTF-8 included', () => {
  const { source, dest } = twoTrees();
  expect(compareTrees(source, dest)).toEqual([]);
  expectEqualTrees(source, dest);
});

const defects: Record<string, { break: (dest: string) => void; expected: [path: string, what: RegExp][] }> = {
  'a missing name': { break: (d) => unlinkSync(join(d, 'file')), expected: [['file', /^missing$/]] },
  'an extra name': {
    break: (d) => writeFileSync(join(d, 'sub', 'more'), ''),
    expected: [['sub/more', /^extra$/]],
  },
  'another type': {
    break: (d) => {
      unlinkSync(join(d, 'file'));
      mkdirSync(join(d, 'file'));
    },
    expected: [['file', /^type/]],
  },
  'a permission bit': { break: (d) => chmodSync(join(d, 'file'), 0o645), expected: [['file', /^mode/]] },
  'a set-id bit': { break: (d) => chmodSync(join(d, 'file'), 0o4644), expected: [['file', /^mode/]] },
  'another owner': {
    break: (d) => chownSync(join(d, 'file'), 0, 7),
    expected: [['file', /^owner 0:0 != 0:7/]],
  },
  'an mtime that is off by a fraction': {
    break: (d) => execFileSync('touch', ['-d', '2020-01-01 00:00:00.000000001', join(d, 'file')]),
    expected: [['file', /^mtime/]],
  },
  "a folder's mtime": { break: (d) => utimesSync(join(d, 'sub'), 1, 1), expected: [['sub', /^mtime/]] },
  "the root's mtime": { break: (d) => utimesSync(d, 1, 1), expected: [['', /^mtime/]] },
  "a symlink's mtime": { break: (d) => lutimesSync(join(d, 'link'), 1, 1), expected: [['link', /^mtime/]] },
  "a symlink's target": {
    break: (d) => {
      unlinkSync(join(d, 'link'));
      symlinkSync('another', join(d, 'link'));
    },
    expected: [['link', /^symlink target/]],
  },
  'another size': { break: (d) => appendFileSync(join(d, 'file'), '!'), expected: [['file', /^size/]] },
  'one other byte of the same size': {
    break: (d) => writeFileSync(join(d, 'file'), 'contenT'),
    expected: [['file', /^content$/]],
  },
  'a device number': {
    break: (d) => {
      unlinkSync(join(d, 'device'));
      execFileSync('mknod', [join(d, 'device'), 'c', '1', '5']);
    },
    expected: [['device', /^device number/]],
  },
  'an xattr value': {
    break: (d) => execFileSync('setfattr', ['-n', 'user.color', '-v', 'red', join(d, 'file')]),
    expected: [['file', /^xattrs.*user\.color/]],
  },
  'an ACL': {
    break: (d) => execFileSync('setfacl', ['-m', 'u:1234:x', join(d, 'sub')]),
    expected: [['sub', /^xattrs.*posix_acl_access/]],
  },
  'a lost capability': {
    break: (d) => execFileSync('setcap', ['-r', join(d, 'one')]),
    expected: [
      ['one', /^xattrs.*security\.capability/],
      ['sub/two', /^xattrs.*security\.capability/],
    ],
  },
  'a broken hard link': {
    break: (d) => {
      cpSync(join(d, 'one'), join(d, 'copy'), { preserveTimestamps: true });
      execFileSync('cp', ['-a', join(d, 'sub', 'two'), join(d, 'copy')]);
      renameSync(join(d, 'copy'), join(d, 'sub', 'two'));
    },
    expected: [
      ['one', /^hard-link group/],
      ['sub/two', /^hard-link group/],
    ],
  },
  'a hard link that leaks out of the tree': {
    break: (d) => linkSync(join(d, 'file'), `${d}-leak`),
    expected: [['file', /^1 more hard links/]],
  },
  'holes that were filled': {
    break: (d) =>
      execFileSync('dd', [
        'if=/dev/zero',
        `of=${join(d, 'holes')}`,
        'bs=1M',
        'seek=1',
        'count=6',
        'conv=notrunc',
        'status=none',
      ]),
    expected: [['holes', /^sparseness/]],
  },
};

for (const [name, defect] of Object.entries(defects)) {
  test(`compareTrees sees ${name}`, () => {
    const { source, dest } = twoTrees();
    defect.break(dest);
    const all = compareTrees(source, dest);
    // What the act itself moves (times of the file and of the folder that holds it) is seen too, but is not the point.
    const found = all.filter(
      ({ what }) => /^mtime/.test(what) === /mtime/.test(defect.expected[0]?.[1].source ?? ''),
    );
    expect(found.map(({ path }) => path)).toEqual(defect.expected.map(([path]) => path));
    for (const [index, [, what]] of defect.expected.entries()) expect(found[index]?.what).toMatch(what);
    expect(() => expectEqualTrees(source, dest)).toThrow(/differences between/);
  });
}

test('compareTrees sees one other byte in a hole of a terabyte', () => {
  const { source, dest } = twoTrees();
  for (const root of [source, dest]) {
    writeFileSync(join(root, 'huge'), 'x');
    truncateSync(join(root, 'huge'), 2 ** 40);
    utimesSync(join(root, 'huge'), 1, 1);
    utimesSync(root, 1, 1);
  }
  expect(compareTrees(source, dest)).toEqual([]);
  writeAt(join(dest, 'huge'), 2 ** 39);
  utimesSync(join(dest, 'huge'), 1, 1);
  expect(compareTrees(source, dest)).toEqual([{ path: 'huge', what: 'content' }]);
  writeAt(join(source, 'huge'), 2 ** 39);
  utimesSync(join(source, 'huge'), 1, 1);
  expect(compareTrees(source, dest)).toEqual([]);
});

function writeAt(path: string, position: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, 'y', position);
  closeSync(fd);
}

test('compareTrees leaves out what its options leave out', () => {
  const { source, dest } = twoTrees();
  mkdirSync(join(dest, '.fam', 'staging'), { recursive: true });
  chownSync(join(dest, 'file'), 5, 5);
  execFileSync('setfattr', ['-x', 'user.color', join(dest, 'file')]);
  execFileSync('touch', ['-r', source, dest]);
  expect(compareTrees(source, dest, { ignore: ['.fam'], owner: false, xattrs: false })).toEqual([]);
  expect(compareTrees(source, dest)).toHaveLength(4);
});

test('compareTrees does not mind hard links that leave the source tree', () => {
  const { source, dest } = twoTrees();
  linkSync(join(source, 'file'), `${source}-elsewhere`);
  rmSync(join(dest, 'fifo'));
  execFileSync('touch', ['-r', source, dest]);
  expect(compareTrees(source, dest)).toEqual([{ path: 'fifo', what: 'missing' }]);
});

test('compareTrees leaves out sockets of the source, and reports those at the destination', () => {
  const { source, dest } = twoTrees();
  const listen = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, 9))';
  for (const path of [join(source, 'socket'), join(dest, 'other')]) {
    spawnSync(process.execPath, ['-e', listen, path]);
  }
  execFileSync('touch', ['-r', source, dest]);
  expect(compareTrees(source, dest)).toEqual([{ path: 'other', what: 'extra' }]);
});
