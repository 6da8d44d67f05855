import { type BigIntStats, lstatSync, readdirSync } from 'node:fs';

/** A path as bytes, one latin1 character each: compares and concatenates as a string, loses nothing. */
export type BytePath = string;

/** The form in which node:fs takes a path of any bytes. */
export function pathBuffer(path: BytePath): Buffer {
  return Buffer.from(path, 'latin1');
}

export function joinBytes(folder: BytePath, name: BytePath): BytePath {
  return folder === '' ? name : name === '' ? folder : `${folder}/${name}`;
}

/** Every name below `root` with its lstat, the root itself under ''. `ignore`: names directly under the root. */
export function walk(root: BytePath, ignore: ReadonlySet<string>): Map<BytePath, BigIntStats> {
  const found = new Map<BytePath, BigIntStats>([['', lstatSync(pathBuffer(root), { bigint: true })]]);
  const todo: BytePath[] = [''];
  for (let folder = todo.pop(); folder !== undefined; folder = todo.pop()) {
    for (const nameBytes of readdirSync(pathBuffer(joinBytes(root, folder)), { encoding: 'buffer' })) {
      const name = nameBytes.toString('latin1');
      if (folder === '' && ignore.has(name)) continue;
      const path = joinBytes(folder, name);
      const stat = lstatSync(pathBuffer(joinBytes(root, path)), { bigint: true });
      found.set(path, stat);
      if (stat.isDirectory()) todo.push(path);
    }
  }
  return found;
}
