// Which names of a tree a request is about. Pure.

import { createRequire } from 'node:module';
import type { Minimatch } from 'minimatch';
import type { ByteString, Name } from '../core/name.ts';
import type { Directory } from './shadow.ts';

export interface InterestOptions {
  readonly recursive: boolean;
  /** Only these names in the root itself (file requests); undefined: all. */
  readonly names: readonly Name[] | undefined;
  /** Globs; one without a slash is matched with the last name of a path. A leading `!` leaves out. [] is everything. */
  readonly filter: readonly string[];
}

export const Interest = {
  /** Not watched. */
  none: 0,
  /** A directory that is not told of, but may hold what is. */
  through: 1,
  told: 2,
} as const;
export type Interest = (typeof Interest)[keyof typeof Interest];

interface Pattern {
  readonly glob: Minimatch;
  readonly hasSlash: boolean;
}

const globOptions = { dot: true, nocomment: true, nonegate: true, platform: 'linux' } as const;

/** Loaded when the first filter is: most watches have none, and it takes as long to load as a small tree to list. */
function loadMinimatch(): typeof import('minimatch') {
  return createRequire(import.meta.url)('minimatch');
}

function compile(pattern: string): Pattern {
  const { Minimatch } = loadMinimatch();
  const relative = pattern.replace(/^\.?\/+/, '');
  return {
    glob: new Minimatch(relative.replace(/\/+$/, ''), globOptions),
    hasSlash: pattern.slice(0, -1).includes('/'),
  };
}

export class InterestFilter {
  readonly recursive: boolean;
  readonly #names: ReadonlySet<string> | undefined;
  readonly #include: Pattern[];
  readonly #exclude: Pattern[];

  /** Throws nothing: every string is a glob. */
  constructor(options: InterestOptions) {
    this.recursive = options.recursive;
    this.#names = options.names === undefined ? undefined : new Set(options.names);
    this.#include = options.filter.filter((pattern) => !pattern.startsWith('!')).map(compile);
    this.#exclude = options.filter
      .filter((pattern) => pattern.startsWith('!'))
      .map((p) => compile(p.slice(1)));
  }

  /** True when what is told of depends on where it is, not only on its own name. */
  get dependsOnPath(): boolean {
    return [...this.#include, ...this.#exclude].some(({ hasSlash }) => hasSlash);
  }

  /** Nothing that is watched is left out. */
  get tellsEverything(): boolean {
    return this.#include.length === 0;
  }

  /** Everything is watched and told of. */
  get isAll(): boolean {
    return this.#names === undefined && this.#include.length === 0 && this.#exclude.length === 0;
  }

  /** A file request: the root itself is not told of. */
  get hasNames(): boolean {
    return this.#names !== undefined;
  }

  of(directory: Directory, name: Name, isDirectory: boolean): Interest {
    if (this.#names !== undefined) return this.#names.has(name) ? Interest.told : Interest.none;
    if (this.#include.length === 0 && this.#exclude.length === 0) return Interest.told;
    const text = textOf(name);
    let path: string | undefined;
    const pathText = (): string => {
      path ??= textOf(directory.pathOf(name));
      return path;
    };
    const matches = ({ glob, hasSlash }: Pattern): boolean => glob.match(hasSlash ? pathText() : text);
    if (this.#exclude.some(matches)) return Interest.none;
    if (this.#include.length === 0 || this.#include.some(matches)) return Interest.told;
    if (!isDirectory || !this.recursive) return Interest.none;
    const mayHold = ({ glob, hasSlash }: Pattern): boolean => !hasSlash || glob.match(pathText(), true);
    return this.#include.some(mayHold) ? Interest.through : Interest.none;
  }
}

/** For matching only: bytes that are not UTF-8 become U+FFFD. */
function textOf(bytes: ByteString): string {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes.charCodeAt(i) > 0x7f) return Buffer.from(bytes, 'latin1').toString('utf8');
  }
  return bytes;
}
