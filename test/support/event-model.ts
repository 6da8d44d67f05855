// A tree built from nothing but the events of a watch, as a program that follows the documentation would build it.

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { FileKind, WatchEvent } from '../../src/watch/event.ts';

export interface Modelled {
  readonly kind: FileKind;
  /** Of a file: its content when the last event about it came; of a symlink: its target. */
  readonly content: string;
}

/** Paths are byte strings relative to the root; the root itself is ''. */
export class EventModel {
  readonly #root: string;
  readonly paths = new Map<string, Modelled>();
  /** How many events of each type came. */
  readonly counts = new Map<string, number>();

  /** @param root a byte string */
  constructor(root: string) {
    this.#root = root;
  }

  apply(event: WatchEvent): void {
    this.counts.set(event.type, (this.counts.get(event.type) ?? 0) + 1);
    const path = this.#relative(event.path, event.pathBytes);
    switch (event.type) {
      case 'exists':
      case 'created':
      case 'changed':
        this.paths.set(path, { kind: event.kind, content: contentOf(this.#root, path, event.kind) });
        return;
      case 'deleted':
        this.#remove(path);
        return;
      case 'moved': {
        const from = this.#relative(event.from, event.fromBytes);
        this.#remove(path);
        const moved = this.paths.get(from);
        if (moved !== undefined && moved.kind !== 'directory') {
          this.paths.delete(from);
          this.paths.set(path, moved);
          return;
        }
        for (const [old, what] of [...this.paths]) {
          if (old !== from && !old.startsWith(`${from}/`)) continue;
          this.paths.delete(old);
          this.paths.set(`${path}${old.slice(from.length)}`, what);
        }
        return;
      }
      default:
        return;
    }
  }

  #relative(text: string, bytes: Uint8Array | undefined): string {
    const path = Buffer.from(bytes ?? Buffer.from(text, 'utf8')).toString('latin1');
    return path === this.#root ? '' : path.slice(this.#root.length + 1);
  }

  #remove(path: string): void {
    const known = this.paths.get(path);
    this.paths.delete(path);
    if (known?.kind !== 'directory') return;
    for (const old of [...this.paths.keys()]) {
      if (path === '' || old.startsWith(`${path}/`)) this.paths.delete(old);
    }
  }

  /** What differs from the disk, one line each; [] when they are equal. */
  differences(): string[] {
    const real = realTree(this.#root);
    const lines: string[] = [];
    for (const [path, what] of real) {
      const known = this.paths.get(path);
      if (known === undefined) lines.push(`not told of: ${JSON.stringify(path)} (${what.kind})`);
      else if (known.kind !== what.kind)
        lines.push(`${JSON.stringify(path)} is a ${what.kind}, told: ${known.kind}`);
      else if (known.content !== what.content) {
        lines.push(
          `content of ${JSON.stringify(path)} is ${what.content}, at its last event: ${known.content}`,
        );
      }
    }
    for (const [path, { kind }] of this.paths) {
      if (!real.has(path)) lines.push(`not there: ${JSON.stringify(path)} (${kind})`);
    }
    return lines;
  }
}

function contentOf(root: string, path: string, kind: FileKind): string {
  const real = Buffer.from(path === '' ? root : `${root}/${path}`, 'latin1');
  try {
    if (kind === 'file') return readFileSync(real, 'latin1');
    if (kind === 'symlink') return readlinkSync(real, 'latin1');
  } catch {
    // Gone since, or something else by now: an event about that follows.
    return 'gone';
  }
  return '';
}

function realTree(root: string): Map<string, Modelled> {
  const found = new Map<string, Modelled>([['', { kind: 'directory', content: '' }]]);
  const waiting = [''];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const bytes = Buffer.from(folder === '' ? root : `${root}/${folder}`, 'latin1');
    for (const nameBytes of readdirSync(bytes, { encoding: 'buffer' })) {
      const name = nameBytes.toString('latin1');
      const path = folder === '' ? name : `${folder}/${name}`;
      const stat = lstatSync(Buffer.from(`${root}/${path}`, 'latin1'));
      const kind = stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'file';
      found.set(path, { kind, content: contentOf(root, path, kind) });
      if (kind === 'directory') waiting.push(path);
    }
  }
  return found;
}
