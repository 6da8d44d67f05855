// What users, editors and programs do to a tree, one function a kind. Each works on a tree of `makeTree` below `root`;
// `outside` is a folder on the same file system that nobody watches.

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { entriesBelow } from '../support/entries-below.ts';
import { makeTree } from '../support/make-tree.ts';

export interface Place {
  readonly root: string;
  readonly outside: string;
  /** Regular files with one name, and the folders directly under the root, as they were before the change. */
  readonly files: readonly string[];
  readonly folders: readonly string[];
}

/** What is there for the next change to work on. */
export function lookAt(root: string, outside: string): Place {
  const files: string[] = [];
  const folders: string[] = [];
  for (const entry of entriesBelow(root)) {
    const path = join(entry.parentPath, entry.name);
    if (path.includes('/.git/')) continue;
    if (entry.isDirectory() && entry.parentPath === root) folders.push(path);
    if (entry.isFile() && lstatSync(path, { throwIfNoEntry: false })?.nlink === 1) files.push(path);
  }
  return { root, outside, files: files.sort(), folders: folders.sort() };
}

function at(paths: readonly string[], n: number): string {
  const path = paths[n % paths.length];
  if (path === undefined) throw new Error('an empty tree');
  return path;
}

const file = ({ files }: Place, n: number) => at(files, n);
const folder = ({ folders }: Place, n: number) => at(folders, n);

/** A file of the tree that still exists. */
function remainingFile({ files }: Place): string {
  const found = files.find((path) => lstatSync(path, { throwIfNoEntry: false })?.isFile());
  if (found === undefined) throw new Error('no file is left');
  return found;
}

function git(cwd: string, ...args: string[]): void {
  const identity = ['-c', 'user.name=fam', '-c', 'user.email=fam@localhost', '-c', 'commit.gpgsign=false'];
  execFileSync('git', [...identity, '-c', 'gc.auto=0', ...args], { cwd, stdio: 'pipe' });
}

export const changeKinds: Record<string, (place: Place) => void> = {
  'create files of every size': ({ root }) => {
    for (const size of [0, 1, 4096, 131_072, 131_073, 300_000, 5_000_000]) {
      writeFileSync(join(root, `new-${size}`), Buffer.alloc(size, `${size} `));
    }
  },
  'write in place': (place) => {
    const fd = openSync(file(place, 1), 'r+');
    writeSync(fd, 'CHANGED', 3);
    closeSync(fd);
  },
  'write twice within a second with the same size and an mtime put back': (place) => {
    const path = file(place, 2);
    writeFileSync(path, 'first version');
    const { atime, mtime } = statSync(path);
    writeFileSync(path, 'other version');
    utimesSync(path, atime, mtime);
  },
  'truncate and extend': (place) => {
    truncateSync(file(place, 3), 0);
    writeFileSync(file(place, 4), 'y'.repeat(50_000));
    truncateSync(file(place, 4), 20_000);
    const fd = openSync(file(place, 4), 'r+');
    ftruncateSync(fd, 3_000_000);
    closeSync(fd);
  },
  append: (place) => {
    for (let line = 0; line < 200; line++) appendFileSync(file(place, 5), `line ${line}\n`);
    writeFileSync(join(place.root, 'log'), 'x'.repeat(400_000));
    appendFileSync(join(place.root, 'log'), 'tail');
  },
  'rename files, also onto others and across folders': (place) => {
    renameSync(file(place, 6), `${file(place, 6)}.renamed`);
    renameSync(file(place, 7), file(place, 8));
    renameSync(file(place, 9), join(folder(place, 1), 'moved here'));
    // Two files trade names.
    renameSync(file(place, 10), join(place.root, 'third'));
    renameSync(file(place, 11), file(place, 10));
    renameSync(join(place.root, 'third'), file(place, 11));
  },
  'rename whole folders, into one another and round about': (place) => {
    renameSync(folder(place, 0), join(place.root, 'zz renamed folder'));
    mkdirSync(join(place.root, 'new home'));
    renameSync(folder(place, 1), join(place.root, 'new home', 'inside'));
    const [a, b, spare] = ['zz renamed folder', 'new home', 'spare'].map((name) => join(place.root, name));
    if (a === undefined || b === undefined || spare === undefined) throw new Error('unreachable');
    renameSync(a, spare);
    renameSync(b, a);
    renameSync(spare, b);
    writeFileSync(join(b, 'written after the move'), 'here');
  },
  'delete files and whole folders': (place) => {
    unlinkSync(file(place, 12));
    rmSync(folder(place, 0), { recursive: true });
  },
  'a name that is deleted and made again': (place) => {
    unlinkSync(file(place, 13));
    writeFileSync(file(place, 13), 'again');
    for (let round = 0; round < 20; round++) {
      writeFileSync(join(place.root, 'flicker'), `${round}`);
      unlinkSync(join(place.root, 'flicker'));
    }
  },
  'a file where a folder was, and a folder where a file was': (place) => {
    rmSync(folder(place, 0), { recursive: true });
    const other = remainingFile(place);
    writeFileSync(folder(place, 0), 'now a file');
    unlinkSync(other);
    mkdirSync(join(other, 'now', 'folders'), { recursive: true });
  },
  chmod: (place) => {
    chmodSync(file(place, 14), 0o600);
    chmodSync(file(place, 15), 0o4755);
    chmodSync(folder(place, 0), 0o2770);
    chmodSync(place.root, 0o711);
  },
  chown: (place) => {
    chownSync(file(place, 16), 1234, 5678);
    chownSync(folder(place, 1), 33, 33);
    // chown clears set-id bits; chmod afterwards sets them again.
    chmodSync(file(place, 17), 0o6755);
    chownSync(file(place, 17), 1, 1);
  },
  utimes: (place) => {
    utimesSync(file(place, 18), 1, 981_173_106.789);
    utimesSync(folder(place, 0), 1, 1_000_000_000.5);
    execFileSync('touch', ['-d', '1965-03-04 05:06:07.123456789 UTC', file(place, 19)]);
    utimesSync(place.root, 2, 2);
  },
  symlinks: ({ root }) => {
    symlinkSync('nowhere/at all', join(root, 'dangling'));
    symlinkSync('/etc/passwd', join(root, 'absolute'));
    symlinkSync('..', join(root, 'up'));
    lutimesSync(join(root, 'up'), 5, 987_654_321.25);
    symlinkSync('release-1', join(root, 'current'));
    // How deploys switch: a new link renamed over the old one.
    symlinkSync('release-2', join(root, 'current.new'));
    renameSync(join(root, 'current.new'), join(root, 'current'));
    execFileSync('chown', ['-h', '7:7', join(root, 'dangling')]);
  },
  'a folder moved in from outside the tree, and one moved out': (place) => {
    makeTree(join(place.outside, 'arrives'), 99, 300);
    renameSync(join(place.outside, 'arrives'), join(place.root, 'arrived'));
    writeFileSync(join(place.root, 'arrived', 'written at once'), 'x');
    renameSync(folder(place, 0), join(place.outside, 'left'));
  },
  'mkdir -p and a write at once, many times': ({ root }) => {
    for (let round = 0; round < 100; round++) {
      const deep = join(root, `race-${round}`, 'a', 'b', 'c');
      mkdirSync(deep, { recursive: true });
      cpSync('/etc/hostname', join(deep, 'copied'));
    }
  },
  'save by rename, as editors do': (place) => {
    for (let save = 0; save < 10; save++) {
      const path = file(place, 20);
      const temporary = join(dirname(path), `.page.html.${save}.swp`);
      const fd = openSync(temporary, 'w', 0o640);
      writeSync(fd, `saved ${save} times`);
      fsyncSync(fd);
      closeSync(fd);
      renameSync(temporary, path);
    }
    // vim with backups: the old file is moved away, the new one written under its name, the backup removed.
    const path = file(place, 21);
    renameSync(path, `${path}~`);
    writeFileSync(path, 'written anew');
    unlinkSync(`${path}~`);
  },
  'git checkout to and fro': ({ root, outside }) => {
    const work = join(root, 'checkout');
    makeTree(work, 5, 200);
    git(work, 'init', '-q', '-b', 'main');
    git(work, 'add', '-A');
    git(work, 'commit', '-q', '-m', 'first');
    git(work, 'checkout', '-q', '-b', 'other');
    makeTree(join(outside, 'other'), 6, 150);
    for (const name of readdirSync(work)) if (name !== '.git') rmSync(join(work, name), { recursive: true });
    cpSync(join(outside, 'other'), work, { recursive: true, verbatimSymlinks: true });
    git(work, 'add', '-A');
    git(work, 'commit', '-q', '-m', 'second');
    for (const branch of ['main', 'other', 'main']) git(work, 'checkout', '-q', branch);
  },
  'what npm ci does: a tree of modules removed and unpacked again': ({ root, outside }) => {
    const modules = join(root, 'node_modules');
    makeTree(join(outside, 'package'), 11, 600);
    execFileSync('tar', ['-C', join(outside, 'package'), '-cf', join(outside, 'package.tar'), '.']);
    for (let install = 0; install < 2; install++) {
      rmSync(modules, { recursive: true, force: true });
      for (const name of ['a', 'b', '.bin']) mkdirSync(join(modules, name), { recursive: true });
      execFileSync('tar', ['-C', join(modules, 'a'), '-xf', join(outside, 'package.tar')]);
      execFileSync('tar', ['-C', join(modules, 'b'), '-xf', join(outside, 'package.tar')]);
      symlinkSync('../a/cli.js', join(modules, '.bin', 'a'));
      renameSync(join(modules, 'b'), join(modules, 'c'));
    }
  },
  'hard links made, moved and removed': (place) => {
    linkSync(file(place, 22), join(place.root, 'second name'));
    linkSync(file(place, 22), join(place.root, 'third name'));
    renameSync(join(place.root, 'third name'), join(folder(place, 0), 'third name moved'));
    linkSync(file(place, 23), join(place.root, 'survivor'));
    unlinkSync(file(place, 23));
    appendFileSync(join(place.root, 'second name'), 'seen under every name');
  },
  'xattrs, ACLs, a FIFO and holes': (place) => {
    execFileSync('setfattr', ['-n', 'user.origin', '-v', 'ftp', file(place, 24)]);
    execFileSync('setfacl', ['-m', 'u:1234:r', file(place, 25)]);
    execFileSync('setfacl', ['-d', '-m', 'g:5678:rx', folder(place, 0)]);
    execFileSync('mkfifo', [join(place.root, 'fifo')]);
    writeFileSync(join(place.root, 'holes'), 'begin');
    truncateSync(join(place.root, 'holes'), 16 << 20);
    appendFileSync(join(place.root, 'holes'), 'end');
  },
  'names of any bytes': ({ root }) => {
    const names = [
      [0xff, 0xfe],
      [...Buffer.from('new\nline')],
      [...Buffer.from('-rf')],
      [...Buffer.from('a\\b"c\'d')],
    ];
    // Twins: one letter composed, and the same one decomposed.
    names.push(
      [...Buffer.from('\u00e9')],
      [...Buffer.from('e\u0301')],
      Array<number>(255).fill(0x6c),
      [0x20],
    );
    for (const name of names) {
      const path = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name)]);
      writeFileSync(path, 'bytes');
    }
    mkdirSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x80, 0x81])]));
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x80, 0x81, 0x2f, 0x82])]), 'inside');
  },
};
