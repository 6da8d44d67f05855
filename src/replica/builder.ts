// Makes inodes with their content: what came with the message, or what was staged before it.

import { type Attributes, type InodeId, Kind, type Seq } from '../core/attributes.ts';
import type { Content } from '../core/change.ts';
import { EEXIST, EFBIG, ENOENT, RENAME_NOREPLACE, renameat2, unlinkat } from '../kernel/sys.ts';
import type { Failures } from './failures.ts';
import type { Home } from './home.ts';
import { discard } from './limbo.ts';
import type { Maker } from './maker.ts';
import type { StagedStreams } from './staged-streams.ts';
import type { Located, Whereabouts } from './whereabouts.ts';

export interface BuilderOptions {
  readonly home: Home;
  readonly streams: StagedStreams;
  readonly maker: Maker;
  readonly where: Whereabouts;
  readonly failures: Failures;
}

const noBytes = new Uint8Array();

export class Builder {
  readonly #home: Home;
  readonly #streams: StagedStreams;
  readonly #maker: Maker;
  readonly #where: Whereabouts;
  readonly #failures: Failures;
  /** Totals since this was made. */
  files = 0;
  bytes = 0;

  constructor(options: BuilderOptions) {
    this.#home = options.home;
    this.#streams = options.streams;
    this.#maker = options.maker;
    this.#where = options.where;
    this.#failures = options.failures;
  }

  /** Makes an inode at a place that nobody sees; `maker.stat` says which. 0 or -errno. */
  make(id: InodeId, attributes: Attributes, contentSeq: Seq, content: Content, at: Located): number {
    if (attributes.kind !== Kind.file) return this.#maker.node(at.dirfd, at.name, attributes);
    this.files += 1;
    // A few sparse files are more than a number holds.
    this.bytes = Math.min(this.bytes + attributes.size, Number.MAX_SAFE_INTEGER);
    if (content.from !== 'staged') {
      const bytes = content.from === 'inline' ? content.bytes : noBytes;
      const size = bytes.length;
      const result = this.#maker.file(
        at.dirfd,
        at.name,
        size === attributes.size ? attributes : { ...attributes, size },
        bytes,
      );
      if (result < 0 && result !== -EEXIST) unlinkat(at.dirfd, at.name);
      return result;
    }
    const staged = this.#streams.take(id, contentSeq, attributes.size);
    if (staged === undefined && attributes.size === 0)
      return this.#maker.file(at.dirfd, at.name, attributes, noBytes);
    if (staged === undefined) {
      // It would not fit the next time either.
      if (this.#streams.isTooLong(id, contentSeq)) return -EFBIG;
      this.#failures.lose(id);
      return -ENOENT;
    }
    const result = this.#maker.finish(this.#home.stagingFd, staged, attributes);
    if (result < 0) return result;
    const placed = renameat2(this.#home.stagingFd, staged, at.dirfd, at.name, RENAME_NOREPLACE);
    if (placed !== -EEXIST || !this.#where.isPrivate(at)) return placed;
    discard(at.dirfd, at.name);
    return renameat2(this.#home.stagingFd, staged, at.dirfd, at.name, RENAME_NOREPLACE);
  }
}
