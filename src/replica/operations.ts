// What each operation of a plan is on disk. Every act is on a directory's descriptor and a name; what is about to be replaced or
// removed is compared with the records first.

import { type Attributes, type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Content } from '../core/change.ts';
import type { Operation, Slot } from '../core/plan-operation.ts';
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  EEXIST,
  EINVAL,
  EMLINK,
  ENOENT,
  ENOSYS,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EXDEV,
  linkat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  renameat2,
  statx,
  unlinkat,
  utimensat,
} from '../kernel/sys.ts';
import type { Builder } from './builder.ts';
import type { Capabilities } from './capabilities.ts';
import type { Failures } from './failures.ts';
import type { Home } from './home.ts';
import { discard, type Limbo } from './limbo.ts';
import { identityOf } from './local-identity.ts';
import type { Maker } from './maker.ts';
import { notOurs, type Placer } from './placer.ts';
import type { Records } from './records.ts';
import type { Trash } from './trash.ts';
import type { Located, Whereabouts } from './whereabouts.ts';

export interface OperationsOptions {
  readonly home: Home;
  readonly records: Records;
  readonly capabilities: Capabilities;
  readonly maker: Maker;
  readonly builder: Builder;
  readonly placer: Placer;
  readonly trash: Trash;
  readonly limbo: Limbo;
  readonly where: Whereabouts;
  readonly failures: Failures;
}

const exchangeName = 'exchange';

export class Operations {
  readonly #home: Home;
  readonly #records: Records;
  readonly #capabilities: Capabilities;
  readonly #maker: Maker;
  readonly #builder: Builder;
  readonly #placer: Placer;
  readonly #trash: Trash;
  readonly #limbo: Limbo;
  readonly #where: Whereabouts;
  readonly #failures: Failures;
  /** Directories that the batch in hand has made. */
  readonly #made = new Map<InodeId, Attributes>();

  constructor(options: OperationsOptions) {
    this.#home = options.home;
    this.#records = options.records;
    this.#capabilities = options.capabilities;
    this.#maker = options.maker;
    this.#builder = options.builder;
    this.#placer = options.placer;
    this.#trash = options.trash;
    this.#limbo = options.limbo;
    this.#where = options.where;
    this.#failures = options.failures;
  }

  /** Another batch begins. */
  begin(): void {
    this.#made.clear();
  }

  /** 0 or -errno. */
  perform(operation: Operation): number {
    switch (operation.type) {
      case 'build':
        return this.#build(operation, operation.to);
      case 'buildContent':
        return this.#build(operation, { at: 'staging', id: operation.id });
      case 'setAttributes':
        return this.#setAttributes(operation);
      case 'rename':
        return this.#rename(operation);
      case 'exchange':
        return this.#exchange(operation);
      case 'link':
        return this.#link(operation);
      case 'unlink':
        return this.#unlink(operation);
      case 'rmdir':
        return this.#rmdir(operation);
      case 'setTimes':
        return this.setTimes(operation.id, operation.attributes);
    }
  }

  #build(
    {
      id,
      attributes,
      contentSeq,
      content,
    }: {
      readonly id: InodeId;
      readonly attributes: Attributes;
      readonly contentSeq: Seq;
      readonly content: Content;
    },
    to: Slot,
  ): number {
    const at = this.#where.locate(to);
    if (typeof at === 'number') return at;
    // Under its name something is built only in a directory that nobody sees yet: of this batch, or an earlier one; records keep no xattrs.
    if (to.at === 'name') this.#maker.inheritsFrom(at.dirfd, this.#made.get(to.parent)?.xattrs);
    else this.#maker.inheritsNothing();
    if (attributes.kind === Kind.directory) this.#made.set(id, attributes);
    let result = this.#builder.make(id, attributes, contentSeq, content, at);
    if (result === -EEXIST && this.#where.isPrivate(at)) {
      discard(at.dirfd, at.name);
      result = this.#builder.make(id, attributes, contentSeq, content, at);
    }
    if (result < 0) return result;
    this.#where.noteIdentity(id, identityOf(this.#maker.stat));
    this.#moved(id, to);
    return 0;
  }

  #setAttributes(operation: Extract<Operation, { type: 'setAttributes' }>): number {
    const { id, attributes } = operation;
    const at = id === rootId ? { dirfd: this.#home.rootFd, name: '.' } : this.#where.locate(operation.at);
    if (typeof at === 'number') return at;
    if (id !== rootId && !this.#where.isThere(at, id)) return this.#failures.gone(id);
    const { stat } = this.#maker;
    const found = statx(at.dirfd, at.name, stat);
    if (found < 0) return found;
    const result = this.#maker.change(at.dirfd, at.name, attributes, attributes.kind !== Kind.directory);
    // From here on the recorded size and time are not what is there: identity alone tells that it is ours.
    this.#where.noteIdentity(id, identityOf(stat));
    return result;
  }

  #rename(operation: Extract<Operation, { type: 'rename' }>): number {
    const { id, over } = operation;
    const from = this.#where.locate(operation.from);
    const to = this.#where.locate(operation.to);
    if (typeof from === 'number') return from;
    if (typeof to === 'number') return to;
    if (operation.from.at === 'name' && !this.#where.isThere(from, id)) return this.#failures.gone(id);
    const result = this.#placer.place(from, to, over, () => this.#where.pathOf(operation.to));
    if (result === -ENOENT) return this.#failures.gone(id);
    if (result < 0) return result;
    this.#left(id, operation.from);
    this.#moved(id, operation.to);
    return 0;
  }

  #exchange(operation: Extract<Operation, { type: 'exchange' }>): number {
    const { id, other } = operation;
    const from = this.#where.locate(operation.from);
    const to = this.#where.locate(operation.to);
    if (typeof from === 'number') return from;
    if (typeof to === 'number') return to;
    if (operation.from.at === 'name' && !this.#where.isThere(from, id)) return this.#failures.gone(id);
    let result = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_EXCHANGE);
    if (result === -ENOENT) {
      // Somebody removed the occupant: the newcomer can have its place.
      result = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_NOREPLACE);
      if (result === 0) this.#failures.gone(other);
    } else if (result === -EINVAL || result === -ENOSYS) {
      this.#capabilities.lack('exchange', () => this.#where.pathOf(operation.to));
      result = this.#exchangeByRenames(from, to);
    }
    if (result < 0) return result;
    this.#moved(id, operation.to);
    this.#moved(other, operation.from);
    if (!this.#failures.has(other) && !this.#where.isThere(from, other)) {
      const path = this.#where.pathOf(operation.to);
      const kept = operation.from.at === 'name' ? 0 : this.#trash.keep(from.dirfd, from.name, path, notOurs);
      this.#failures.gone(other);
      return kept;
    }
    return 0;
  }

  /** Where the file system cannot exchange: the shortest gap that plain renames allow. */
  #exchangeByRenames(from: Located, to: Located): number {
    const { stagingFd } = this.#home;
    const aside = renameat2(to.dirfd, to.name, stagingFd, exchangeName);
    if (aside < 0) return aside;
    const placed = renameat2(from.dirfd, from.name, to.dirfd, to.name, RENAME_NOREPLACE);
    const back = placed === 0 ? from : to;
    const result = renameat2(stagingFd, exchangeName, back.dirfd, back.name, RENAME_NOREPLACE);
    return placed < 0 ? placed : result;
  }

  #link(operation: Extract<Operation, { type: 'link' }>): number {
    const { id } = operation;
    const from = this.#where.locate(operation.from);
    const to = this.#where.locate(operation.to);
    if (typeof from === 'number') return from;
    if (typeof to === 'number') return to;
    if (operation.from.at === 'name' && !this.#where.isThere(from, id)) return this.#failures.gone(id);
    let result = linkat(from.dirfd, from.name, to.dirfd, to.name);
    if (result === -EEXIST && operation.to.at !== 'name') {
      discard(to.dirfd, to.name);
      result = linkat(from.dirfd, from.name, to.dirfd, to.name);
    } else if (result === -EEXIST) {
      result = this.#placer.linkOver(from, id, to, 0, () => this.#where.pathOf(operation.to));
    }
    // A link that was only to keep something for later is not worth failing for: it will be asked for again.
    if ((result === -EMLINK || result === -EPERM) && operation.to.at === 'limbo') return 0;
    if (result === 0 && operation.to.at === 'limbo') this.#limbo.add(to.name, this.#records.pathOf(id));
    return result;
  }

  #unlink(operation: Extract<Operation, { type: 'unlink' }>): number {
    const at = this.#where.locate(operation.at);
    if (typeof at === 'number') return at;
    let result = this.#placer.remove(at, operation.id, () => this.#where.pathOf(operation.at));
    if (result === -ENOENT) result = this.#absent(operation.id, operation.at);
    if (result === 0) this.#left(operation.id, operation.at);
    return result;
  }

  #rmdir(operation: Extract<Operation, { type: 'rmdir' }>): number {
    const at = this.#where.locate(operation.at);
    if (typeof at === 'number') return at;
    this.#where.directories.forget(operation.id);
    let result = unlinkat(at.dirfd, at.name, AT_REMOVEDIR);
    if (result === -ENOENT) result = this.#absent(operation.id, operation.at);
    // It was never made: it was gone before first contact came to list it, and somebody's file kept its place.
    if (result === -ENOTDIR)
      result = this.#placer.remove(at, operation.id, () => this.#where.pathOf(operation.at));
    if (result === -ENOTEMPTY || result === -EEXIST) {
      // What could not be removed from it is fam's, and stays until it can be.
      const errno = this.#failures.errnoIn(operation.id);
      if (errno < 0) return errno;
      result = this.#trash.keep(
        at.dirfd,
        at.name,
        this.#where.pathOf(operation.at),
        'holds files that fam did not put there',
      );
    }
    if (result === 0) this.#left(operation.id, operation.at);
    return result;
  }

  /** What is to be removed is not there, which is all that is wanted, unless it is there below a mount. */
  #absent(id: InodeId, at: Slot): number {
    return at.at === 'name' && this.#failures.isCovered(id, at) ? -EXDEV : 0;
  }

  /** Sets a directory's modification time. 0 or -errno. */
  setTimes(id: InodeId, attributes: Attributes): number {
    const fd = this.#where.directories.get(id);
    if (fd < 0) return this.#failures.has(id) ? 0 : fd;
    return utimensat(fd, '', attributes.mtimeS, attributes.mtimeNs, AT_EMPTY_PATH);
  }

  #moved(id: InodeId, to: Slot): void {
    this.#where.setPlace(id, to);
    if (to.at === 'limbo') this.#limbo.add(String(to.id), this.#records.pathOf(id));
  }

  #left(id: InodeId, from: Slot): void {
    if (from.at === 'limbo') this.#limbo.delete(String(id));
  }
}
