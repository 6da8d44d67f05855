import { chmodSync, lutimesSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { randomFrom } from './random.ts';

const suffixes = ['.html', '.css', '.js', '.txt', '.php', '.jpg', '', '.tar.gz'];
const folderNames = ['img', 'css', 'archive 2001', 'ünïcode', 'docs', 'pub', 'a', 'incoming', 'news', 'v1.0'];
/** Most are pages; a few are larger than what travels inside a batch (128 KiB). */
const sizeOf = (draw: number, scale: number) =>
  Math.floor(scale * 2 ** (draw < 0.9 ? 12 : draw < 0.99 ? 15 : 19));

function contentOf(random: () => number, size: number): Buffer {
  const line = Buffer.from(`${random()} the quick brown fox jumps over the lazy dog ${random()}\n`);
  const content = Buffer.alloc(size, line);
  // Incompressible, and unlike any other file, in every block of 4 KiB.
  for (let at = 0; at < size; at += 4096) content.writeUInt8(Math.floor(random() * 256), at);
  return content;
}

/**
 * Fills `root` with `files` files as a web or FTP server holds them: folders up to five deep, sizes from empty to half
 * a megabyte, modes, mtimes of the last years in ms, a symlink for every fifty files. The same seed makes the same tree.
 * @returns the files' paths relative to `root`
 */
export function makeTree(root: string, seed: number, files: number): string[] {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => {
    const item = list[Math.floor(random() * list.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  };
  const someTime = () => 1_600_000_000 + Math.floor(random() * 1e11) / 1000;
  mkdirSync(root, { recursive: true });
  const folders = [''];
  const made: string[] = [];
  for (let number = 0; number < files; number++) {
    if (number % 12 === 0) {
      const parent = pick(folders.filter((folder) => folder.split('/').length <= 5));
      const folder = join(parent, `${pick(folderNames)} ${number}`);
      mkdirSync(join(root, folder));
      folders.push(folder);
    }
    const path = join(pick(folders), `file-${number}${pick(suffixes)}`);
    writeFileSync(join(root, path), contentOf(random, sizeOf(random(), random())));
    chmodSync(join(root, path), pick([0o644, 0o644, 0o640, 0o600, 0o755, 0o444]));
    const time = someTime();
    utimesSync(join(root, path), time, time);
    made.push(path);
    if (number % 50 === 49) {
      const link = join(dirname(path), `link-${number}`);
      symlinkSync(pick([basename(path), '../nowhere', '/etc/hostname']), join(root, link));
      lutimesSync(join(root, link), time, time);
    }
  }
  return made;
}
