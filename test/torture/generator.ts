// Chooses operations from a seed alone: over a model of what this writer has made, plus, now and then, over names that
// other writers use too. What really happens when two of them meet is the kernel's business.

import type { ByteString } from '../../src/core/name.ts';
import { randomFrom } from '../support/random.ts';
import { linkTargets, pickName } from './names.ts';
import type { Operation } from './operation.ts';
import type { Ground } from './scenarios/ground.ts';
import type { Scenario } from './scenarios/scenario.ts';

export interface GeneratorOptions {
  /** False: operations that only root may do are left out, and everything stays readable for its owner. */
  readonly root: boolean;
  /** False: the tree lies on several file systems; renames between them would fail and are simply tried all the same. */
  readonly spans: readonly ByteString[];
  readonly scenario: Scenario;
}

const sharedNames = ['pub', 'img', 'docs'] as const;
const maxDepth = 7;
/** Above this the model prefers to delete. */
const crowded = 250;

type Model = Map<ByteString, 'file' | 'folder'>;

/** Endless operations of one writer; the model lives on from round to round. */
export class Generator {
  readonly #random: () => number;
  readonly #options: GeneratorOptions;
  readonly #model: Model = new Map();
  readonly #ground: Ground;

  constructor(seed: number, options: GeneratorOptions) {
    this.#random = randomFrom(seed);
    this.#options = options;
    this.#ground = {
      isRoot: options.root,
      draw: (below) => this.#draw(below),
      of: (list) => this.#of(list),
      seed: () => this.#seed(),
      folder: () => this.#folder(),
      newPath: (isFolder) => this.#newPath(isFolder),
      file: () => this.#file(),
      movable: () => this.#movable(),
      named: (prefix) => this.#entries('file').filter((path) => path.includes(`/${prefix}`)),
      made: (path, kind) => this.#made(path, kind),
      moved: (from, to) => this.#move(from, to),
      removed: (path) => this.#forget(path),
    };
  }

  take(count: number): Operation[] {
    const { operations } = this.#options.scenario;
    const chosen = Array.from({ length: count }, () =>
      operations !== undefined && this.#draw(operations.every) === 0
        ? operations.choose(this.#ground)
        : [this.#next()],
    );
    return [...this.#grounds(), ...chosen.flat()];
  }

  /** The folders that all writers share; some of them have gone since the last round. */
  #grounds(): Operation[] {
    return sharedNames.flatMap((a) =>
      sharedNames.map((b): Operation => ({ do: 'mkdirs', path: `/tree/${a}/${b}` })),
    );
  }

  #draw(below: number): number {
    return Math.floor(this.#random() * below);
  }
  #of<T>(list: readonly [T, ...T[]]): T {
    return list[this.#draw(list.length)] ?? list[0];
  }
  #seed(): number {
    return this.#draw(2 ** 31);
  }
  #size(): number {
    const kind = this.#draw(20);
    if (kind === 0) return 0;
    if (kind < 14) return this.#draw(4096);
    if (kind < 18) return this.#draw(1 << 16);
    // Around and above what travels inside a batch.
    return kind === 18 ? (1 << 17) - 2 + this.#draw(5) : this.#draw(3 << 20);
  }

  #entries(what: 'file' | 'folder'): ByteString[] {
    return [...this.#model].filter(([, kind]) => kind === what).map(([path]) => path);
  }
  #folder(): ByteString {
    const mine = this.#entries('folder');
    if (mine.length > 0 && this.#draw(4) > 0) return mine[this.#draw(mine.length)] ?? '/tree';
    const { spans } = this.#options;
    if (spans.length > 0 && this.#draw(3) === 0) return spans[this.#draw(spans.length)] ?? '/tree';
    return this.#draw(12) === 0 ? '/staging' : this.#draw(2) === 0 ? '/tree' : this.#shared(this.#draw(2));
  }
  /** A folder that every writer comes upon. */
  #shared(depth: number): ByteString {
    let path = '/tree';
    for (let i = 0; i <= depth; i++) path += `/${this.#of(sharedNames)}`;
    return path;
  }
  #newPath(isFolder = false): ByteString {
    const folder = this.#folder();
    return folder.split('/').length > maxDepth
      ? `/tree/${pickName((n) => this.#draw(n), isFolder)}`
      : `${folder}/${pickName((n) => this.#draw(n), isFolder)}`;
  }
  #file(): ByteString {
    const mine = this.#entries('file');
    return mine.length > 0 && this.#draw(6) > 0
      ? (mine[this.#draw(mine.length)] ?? '/tree/a')
      : this.#newPath();
  }
  /** A folder that may be moved or removed: not a root. */
  #movable(): ByteString {
    const mine = this.#entries('folder');
    return mine.length > 0 && this.#draw(6) > 0
      ? (mine[this.#draw(mine.length)] ?? '/tree/a')
      : this.#shared(0);
  }
  #anything(): ByteString {
    return this.#draw(4) === 0 ? this.#movable() : this.#file();
  }

  #forget(path: ByteString): void {
    for (const known of [...this.#model.keys()]) {
      if (known === path || known.startsWith(`${path}/`)) this.#model.delete(known);
    }
  }
  #move(from: ByteString, to: ByteString): void {
    const moved = [...this.#model].filter(([path]) => path === from || path.startsWith(`${from}/`));
    this.#forget(from);
    this.#forget(to);
    for (const [path, kind] of moved) this.#model.set(to + path.slice(from.length), kind);
  }
  #made(path: ByteString, kind: 'file' | 'folder'): void {
    this.#model.set(path, kind);
  }

  #next(): Operation {
    if (this.#model.size > (this.#options.scenario.crowded ?? crowded) && this.#draw(3) === 0)
      return this.#delete();
    const kind = this.#draw(100);
    if (kind < 14) return this.#create();
    if (kind < 22) return this.#mkdirs();
    if (kind < 36) return this.#change();
    if (kind < 56) return this.#rename();
    if (kind < 68) return this.#delete();
    if (kind < 74) return this.#special();
    if (kind < 86) return this.#attributes();
    if (kind < 95) return this.#habit();
    return { do: 'pause', ms: this.#draw(20) };
  }

  #create(): Operation {
    const path = this.#draw(3) === 0 ? this.#file() : this.#newPath();
    this.#made(path, 'file');
    return { do: 'create', path, size: this.#size(), seed: this.#seed() };
  }

  #mkdirs(): Operation {
    let path = this.#newPath(true);
    const deeper = this.#draw(3);
    for (let i = 0; i < deeper && path.split('/').length <= maxDepth; i++)
      path += `/${pickName((n) => this.#draw(n), true)}`;
    this.#made(path, 'folder');
    return { do: 'mkdirs', path };
  }

  #change(): Operation {
    const path = this.#file();
    const seed = this.#seed();
    switch (this.#draw(10)) {
      case 0:
        return { do: 'append', path, size: this.#size(), seed };
      case 1:
        return { do: 'truncate', path, size: this.#draw(1 << 17) };
      case 2:
        return { do: 'mmap', path, pauseMs: this.#of([0, 0, 5, 50]), seed };
      case 3:
        return { do: 'stealth', path, seed };
      case 4:
        return { do: 'twice', path, size: 1 + this.#draw(8000), seed };
      case 5:
        return { do: 'holes', path, size: this.#draw(8 << 20), seed };
      case 6:
        return { do: 'copyRange', from: this.#file(), path };
      case 7:
        return { do: 'log', path, times: 1 + this.#draw(8), pauseMs: this.#draw(30), seed };
      default:
        return { do: 'write', path, at: this.#draw(1 << 16), size: 1 + this.#draw(1 << 14), seed };
    }
  }

  #rename(): Operation {
    const isFolder = this.#draw(3) === 0;
    const from = isFolder ? this.#movable() : this.#anything();
    const how = this.#of<'replace' | 'exchange' | 'noreplace'>([
      'replace',
      'replace',
      'replace',
      'exchange',
      'noreplace',
    ]);
    if (how === 'exchange') {
      const other = this.#anything();
      if (!isWithin(from, other) && !isWithin(other, from)) {
        const parked = '\0parked';
        this.#move(from, parked);
        this.#move(other, from);
        this.#move(parked, other);
      }
      return { do: 'rename', from, path: other, how };
    }
    const path = this.#draw(3) === 0 ? this.#anything() : this.#newPath(isFolder);
    if (!isWithin(path, from)) this.#move(from, path);
    return { do: 'rename', from, path, how };
  }

  #delete(): Operation {
    const kind = this.#draw(10);
    if (kind < 7) {
      const path = this.#file();
      this.#forget(path);
      return { do: 'unlink', path };
    }
    const path = this.#movable();
    if (kind === 7) return { do: 'rmdir', path };
    this.#forget(path);
    return { do: 'rmtree', path };
  }

  #special(): Operation {
    const kind = this.#draw(10);
    if (kind < 5) return this.#link();
    const path = this.#newPath();
    this.#made(path, 'file');
    if (kind === 5) return { do: 'fifo', path };
    if (kind === 7) return { do: 'socket', path };
    if (kind === 6 && this.#options.root) return { do: 'device', path, minor: this.#draw(300) };
    return { do: 'symlink', path, target: linkTargets[this.#draw(linkTargets.length)] ?? 'a' };
  }

  #link(): Operation {
    const from = this.#file();
    if (this.#draw(3) > 0) {
      const path = this.#newPath();
      this.#made(path, 'file');
      return { do: 'link', from, path };
    }
    const path = `/staging/${pickName((n) => this.#draw(n), false)}`;
    this.#made(path, 'file');
    return { do: 'outer', from, path, pauseMs: this.#of([0, 0, 5, 50]), seed: this.#seed() };
  }

  #attributes(): Operation {
    const path = this.#anything();
    const { root } = this.#options;
    switch (this.#draw(7)) {
      case 0:
        return { do: 'chmod', path, mode: root ? this.#draw(0o10000) : 0o700 | this.#draw(0o100) };
      case 1:
        if (root) return { do: 'chown', path, uid: this.#draw(3) * 1000, gid: this.#draw(3) * 1000 };
        return { do: 'chmod', path, mode: 0o700 };
      case 2:
        return {
          do: 'utimes',
          path,
          mtimeS: this.#of([0, 1, 1_000_000_000, 2_000_000_000, this.#draw(2 ** 31)]),
          mtimeNs: this.#draw(1e9),
        };
      case 3:
        return { do: 'removexattr', path, name: `user.n${this.#draw(3)}` };
      case 4:
        return { do: 'acl', path, uid: 1000 + this.#draw(3), inherit: this.#draw(3) === 0 };
      default:
        return {
          do: 'setxattr',
          path,
          name: root && this.#draw(5) === 0 ? 'trusted.n' : `user.n${this.#draw(3)}`,
          value: 'v'.repeat(this.#draw(this.#of([4, 60, 900]))),
        };
    }
  }

  /** What programs do: several system calls that belong together. */
  #habit(): Operation {
    const seed = this.#seed();
    switch (this.#draw(8)) {
      case 0: {
        const path = this.#movable();
        return { do: 'checkout', path, files: 3 + this.#draw(20), seed };
      }
      case 1: {
        const path = this.#newPath(true);
        this.#made(path, 'folder');
        return { do: 'untar', path, files: 5 + this.#draw(40), seed };
      }
      case 2:
        return { do: 'rotate', path: `${this.#shared(0)}/log`, seed };
      default: {
        const path = this.#file();
        this.#made(path, 'file');
        return { do: 'save', path, size: this.#size(), seed };
      }
    }
  }
}

function isWithin(path: ByteString, folder: ByteString): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
