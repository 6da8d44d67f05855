// First contact (docs/protocol.md, Reconcile): compares the source's listings with what is here, adopts what is equal, makes what
// comes along, asks for the rest. Memory: one directory's names, and what has been asked for and not come.
//
// A directory that is not here is made in limbo when its listing comes, filled there without a rename for each file, and
// placed by one.

import { type Attributes, type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Content } from '../core/change.ts';
import { asName, type ByteString, type Name } from '../core/name.ts';
import { isSamePlace, type Place, type PlannedInode } from '../core/plan-operation.ts';
import type { Problem } from '../core/problem.ts';
import {
  close,
  EEXIST,
  ENOENT,
  errnoName,
  fstat,
  linkat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openat,
  readDirectory,
  readlinkat,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  Stat,
  statx,
  unlinkat,
} from '../kernel/sys.ts';
import { observed } from '../tree/attributes-of.ts';
import type { InodeRecord, LocalIdentity } from '../tree/records.ts';
import type { Contents, Extras, ListedEntry, Listing, Wants } from '../wire/messages.ts';
import type { Applier } from './applier.ts';
import { admitEmptied } from './emptied-source.ts';
import { FormerInodes } from './former-inodes.ts';
import { isReplicaHome } from './home.ts';
import type { InTheWay } from './in-the-way.ts';
import { discard } from './limbo.ts';
import { leaveName } from './listed-before.ts';
import { identityOf, isSameIdentity } from './local-identity.ts';
import { afterKill } from './placer.ts';
import { nowhere } from './records.ts';
import { isReserved, reservedProblem } from './reserved.ts';
import { type Located, stagedName } from './whereabouts.ts';

/** Names of extras that are told; their number is always exact. */
const maxExtraPaths = 20;

interface OpenDirectory {
  readonly id: InodeId;
  readonly fd: number;
  /** Where it is made, until its last listing has been seen. */
  readonly isHidden: boolean;
  /** It was listed before, and some of its names may be recorded. */
  readonly isListedBefore: boolean;
  /** Local names that no listing has named yet. */
  readonly names: Set<Name>;
  readonly attributes: Attributes | undefined;
}

export interface ReconcileOptions {
  /** Consent to move what the source lacks to the trash (I5). */
  readonly init: boolean;
  /** The records that are there are of this source: what they know is fam's (I5, I6). */
  readonly isSameSource: boolean;
  /** No content that is here is newer than this, in the source's count; undefined: the source counts anew. */
  readonly newestContent: Seq | undefined;
  /** The source may have lost its own records, and cannot tell that what it lacks is not meant (I4). */
  readonly isDoubtful: boolean;
  /** Its root is another folder than before. */
  readonly isOtherRoot: boolean;
  /** This root was the main before the source: names that the source has lost since go to the trash. */
  readonly wasMain: boolean;
  /** What is found at names whose content, or folder, is still to come. */
  readonly inTheWay: InTheWay;
  /** @param failed what a later listing of that place's folder brings again; undefined: none does */
  readonly problem: (problem: Problem, failed?: FailedPlace) => void;
}

/** An inode that could not be made as it is to be, and where. The records say what is there. */
export interface FailedPlace {
  readonly id: InodeId;
  readonly place: Place;
}

export class Reconcile {
  readonly #applier: Applier;
  readonly #options: ReconcileOptions;
  readonly #missing = new Map<InodeId, Attributes['xattrs']>();
  readonly #wanted = new Map<InodeId, Place[]>();
  readonly #touched = new Set<InodeId>();
  readonly #stat = new Stat();
  readonly #opened = new Stat();
  #open: OpenDirectory | undefined;
  #highestId: InodeId = rootId;
  #extraCount = 0;
  /** Something that was adopted has several names here: one of them may have gone to the trash before. */
  #hasLinks = false;
  readonly #extraPaths: ByteString[] = [];

  /** Forgets all records; the files stay. */
  constructor(applier: Applier, options: ReconcileOptions) {
    this.#applier = applier;
    this.#options = options;
    const { store } = applier.records;
    // While the records still say what in limbo is fam's.
    store.refresh();
    applier.limbo.empty(new Set());
    const { state } = applier.home;
    if (options.isSameSource) applier.placer.former = FormerInodes.gather(store, state);
    else FormerInodes.forget(state);
    store.clear();
    store.refresh();
    applier.streams.discardAll();
    applier.directories.closeAll();
    const stat = this.#stat;
    statx(applier.home.rootFd, '.', stat);
    store.transaction(() => {
      options.inTheWay.clear();
      const inode: PlannedInode = {
        attributes: observed(Kind.directory, stat, ''),
        contentSeq: 0,
        names: [],
      };
      applier.records.put(rootId, inode, identityOf(stat), 0);
    });
  }

  listing(listing: Listing): Wants {
    const contents: InodeId[] = [];
    const missing: InodeId[] = [];
    const { home, placer, records } = this.#applier;
    const { store } = records;
    if (this.#options.isDoubtful && listing.first && listing.directory === rootId)
      admitEmptied(home, placer.former, listing, this.#options.isOtherRoot);
    store.transaction(() => {
      if (listing.first) this.#begin(listing.directory);
      else this.#goOn();
      const open = this.#open;
      if (open?.id !== listing.directory) return;
      for (const entry of listing.entries) {
        const answer = this.#entry(open, entry);
        if (answer === 'content') contents.push(entry.id);
        else if (answer === 'missing') missing.push(entry.id);
      }
      // Entries come before: what has no entry by now has none.
      const removed = this.#options.wasMain ? (listing.removed ?? []) : [];
      for (const name of removed) if (open.names.delete(name)) this.#extra(open, name, true);
      if (listing.last) this.#end(open);
    });
    return { type: 'wants', directory: listing.directory, contents, missing };
  }

  contents(message: Contents): void {
    const { store } = this.#applier.records;
    store.transaction(() => {
      for (const { id, attributes, contentSeq, content } of message.files) {
        const places = this.#wanted.get(id);
        this.#wanted.delete(id);
        if (places === undefined || content.from === 'none') continue;
        this.#build(id, attributes, contentSeq, content, places);
      }
    });
  }

  /** The walk is over: directory times. What was asked for and is still to come is returned. */
  finish(): InodeId[] {
    const { records } = this.#applier;
    records.store.refresh();
    for (const id of this.#touched) {
      const inode = records.inode(id);
      if (inode !== undefined && id !== rootId) this.#applier.setTimes(id, inode.attributes);
    }
    // Only now is it known what the tree shows: names that it lacks may have come to the trash before those that it has.
    if (this.#hasLinks) this.#applier.trash.removeAllLinks(records);
    else this.#applier.trash.ignoreLinks();
    this.close();
    return [...this.#wanted.keys()];
  }

  /** Files whose content was asked for and has not come, and where they belong. */
  get wanted(): ReadonlyMap<InodeId, readonly Place[]> {
    return this.#wanted;
  }

  get extras(): Extras | undefined {
    if (this.#extraCount === 0) return undefined;
    return { type: 'extras', count: this.#extraCount, paths: this.#extraPaths };
  }

  close(): void {
    this.#closeOpen();
    this.#applier.placer.former = undefined;
  }

  // --- directories --------------------------------------------------------------------------------------------------------

  #begin(id: InodeId): void {
    this.#closeOpen();
    const { records, home, directories, maker } = this.#applier;
    const record = records.store.inode(id);
    if (record === undefined) return;
    this.#touched.add(id);
    const names = new Set<Name>();
    const isListedBefore = !records.isEmpty(id);
    const attributes = { ...record, xattrs: this.#missing.get(id) };
    const isHidden = this.#missing.delete(id);
    if (isHidden) {
      const name = String(id);
      let made = maker.node(home.limboFd, name, attributes);
      if (made === -EEXIST) {
        discard(home.limboFd, name);
        made = maker.node(home.limboFd, name, attributes);
      }
      const fd = made < 0 ? made : openat(home.limboFd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
      if (fd < 0) {
        this.#failed(id, 'create', fd);
        return;
      }
      directories.keep(id, fd);
      this.#applier.setPlace(id, { at: 'limbo', id });
      records.put(id, this.#planned(record, record.contentSeq), identityOf(maker.stat), 0);
      this.#open = {
        id,
        fd: openat(fd, '.', O_PATH | O_DIRECTORY),
        isHidden,
        isListedBefore,
        names,
        attributes,
      };
      return;
    }
    const parent = directories.get(id);
    const fd = parent < 0 ? parent : openat(parent, '.', O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
      this.#failed(id, 'open', fd);
      return;
    }
    readDirectory(fd, (name) => {
      if (!isReserved(home, { parent: id, name })) names.add(name);
    });
    this.#open = { id, fd, isHidden, isListedBefore, names, attributes };
  }

  /** A listing that goes on in one more message: a local user may have moved the directory out of the root since (I7). */
  #goOn(): void {
    const open = this.#open;
    if (open === undefined || open.isHidden) return;
    const found = this.#applier.directories.get(open.id);
    const isThere = found >= 0 && fstat(found, this.#stat) === 0 && fstat(open.fd, this.#opened) === 0;
    if (isThere && this.#stat.isSameInode(this.#opened)) return;
    this.#closeOpen();
    this.#failed(open.id, 'open', found < 0 ? found : -ENOENT);
  }

  #end(open: OpenDirectory): void {
    const { records, home, directories } = this.#applier;
    for (const name of open.names) {
      // Listed before, and gone at the source since: a folder that has moved is listed again. The journal says what became of it.
      if (records.occupant(open.id, name) === 0) this.#extra(open, name, false);
    }
    if (open.isHidden) {
      const record = records.store.inode(open.id);
      const parent = record === undefined ? -1 : directories.get(record.parent);
      if (record !== undefined && record.name !== '' && parent >= 0) {
        const to = { dirfd: parent, name: record.name };
        const from = { dirfd: home.limboFd, name: String(open.id) };
        const placed = this.#applier.placer.place(from, to, 0, () => records.pathOf(open.id));
        if (placed < 0) this.#notPlaced(open.id, record, placed);
        else this.#applier.setPlace(open.id, undefined);
        this.#touched.add(record.parent);
      }
    }
    this.#closeOpen();
  }

  /** Until a listing brings it again it waits in limbo, and goes with it. */
  #notPlaced(id: InodeId, { parent, name }: InodeRecord, errno: number): void {
    this.#applier.throwIfFatal(errno);
    const taken = asName(name);
    if (taken === undefined) return;
    const { records, limbo } = this.#applier;
    const place = { parent, name: taken };
    records.takeName(place, true);
    limbo.add(String(id), records.pathAt(place));
    this.#problemAt(id, place, 'put in place', errno);
  }

  #closeOpen(): void {
    if (this.#open !== undefined) close(this.#open.fd);
    this.#open = undefined;
  }

  /** @param wasRemoved the source had it under an earlier main, and has lost it since */
  #extra(open: OpenDirectory, name: Name, wasRemoved: boolean): void {
    const { records, trash } = this.#applier;
    const path = records.pathAt({ parent: open.id, name });
    const removed = this.#applier.placer.former?.remove(open.fd, name);
    if (removed === 0) {
      this.#touched.add(open.id);
      return;
    }
    if (removed !== undefined) {
      this.#options.problem({ path, action: 'remove', code: errnoName(removed) });
      return;
    }
    // A folder in here is another mirror's replica, and beside it is what that one's agent works with, its trash included.
    if (isReplicaHome(open.fd, name)) return;
    if (this.#options.init || wasRemoved) {
      const why = wasRemoved ? 'it was removed where another was the main' : 'the source lacks it (init)';
      const kept = trash.keep(open.fd, name, path, why);
      if (kept < 0) this.#options.problem({ path, action: 'move to trash', code: errnoName(kept) });
      return;
    }
    this.#extraCount += 1;
    if (this.#extraPaths.length < maxExtraPaths) this.#extraPaths.push(path);
  }

  // --- entries ------------------------------------------------------------------------------------------------------------

  #entry(open: OpenDirectory, entry: ListedEntry): 'done' | 'content' | 'missing' {
    const { name, id, attributes } = entry;
    const { home, records } = this.#applier;
    const place: Place = { parent: open.id, name };
    if (isReserved(home, place)) {
      this.#options.problem(reservedProblem(place));
      return 'done';
    }
    let isLocal = open.names.delete(name) && statx(open.fd, name, this.#stat) === 0;
    // Ids mostly come in rising order: one above all that have been recorded needs no look.
    const known = id > this.#highestId ? undefined : records.store.inode(id);
    if (known !== undefined && attributes.kind === Kind.directory) {
      // It was moved while the walk went on: the journal brings its new place, unless it has left that one, too.
      if (isLocal && !isSameIdentity(known, this.#stat)) this.#options.inTheWay.note(place);
      return 'done';
    }
    if (known !== undefined) {
      this.#furtherName(open, place, id, known, isLocal);
      return 'done';
    }
    if (this.#isLeft(open, place)) isLocal = false;
    const waiting = this.#wanted.get(id);
    if (waiting !== undefined) {
      // A folder that has moved is listed again.
      const isListed = waiting.some((one) => isSamePlace(one, place));
      if (!isListed) waiting.push(place);
      if (isLocal) this.#options.inTheWay.note(place);
      return 'done';
    }
    if (isLocal && typeOf[attributes.kind] === this.#stat.type && this.#adopt(open, place, entry))
      return 'done';
    if (attributes.kind === Kind.directory) {
      this.#record(id, attributes, entry.contentSeq, nowhere, [place]);
      this.#missing.set(id, attributes.xattrs);
      return 'missing';
    }
    const isFile = attributes.kind === Kind.file;
    if (isFile && entry.content.from === 'none' && attributes.size > 0) {
      this.#wanted.set(id, [place]);
      if (isLocal) this.#options.inTheWay.note(place);
      return 'content';
    }
    this.#build(id, attributes, entry.contentSeq, entry.content, [place]);
    return 'done';
  }

  /** The inode that was recorded at the name when the directory was listed before has left it, and nothing is there any more. */
  #isLeft(open: OpenDirectory, place: Place): boolean {
    const former = open.isListedBefore ? this.#applier.records.occupant(open.id, place.name) : 0;
    return former !== 0 && leaveName(this.#applier, open.fd, place, former);
  }

  /** Takes what is here for the source's inode, if it is equal in what cannot be set in place. */
  #adopt(open: OpenDirectory, place: Place, entry: ListedEntry): boolean {
    const { attributes, id } = entry;
    const stat = this.#stat;
    const { maker, records } = this.#applier;
    switch (attributes.kind) {
      case Kind.file: {
        // Its size and time may have been put back.
        if (entry.contentSeq > (this.#options.newestContent ?? Infinity)) return false;
        const isEqual =
          stat.size === attributes.size &&
          stat.mtimeS === attributes.mtimeS &&
          stat.mtimeNs === attributes.mtimeNs;
        if (!isEqual) return false;
        break;
      }
      case Kind.symlink:
        if (readlinkat(open.fd, place.name) !== attributes.target) return false;
        break;
      case Kind.charDevice:
      case Kind.blockDevice:
        if (stat.rdevMajor !== attributes.rdevMajor || stat.rdevMinor !== attributes.rdevMinor) return false;
        break;
      case Kind.directory:
      case Kind.fifo:
        break;
    }
    const isDirectory = attributes.kind === Kind.directory;
    const isSettled =
      stat.mode === (attributes.kind === Kind.symlink ? stat.mode : attributes.mode) &&
      stat.uid === attributes.uid &&
      stat.gid === attributes.gid &&
      (isDirectory || (stat.mtimeS === attributes.mtimeS && stat.mtimeNs === attributes.mtimeNs)) &&
      maker.hasXattrs(open.fd, place.name, attributes);
    if (!isDirectory && stat.nlink > 1) {
      // The same local inode for two of the source's: only one can have it. And where it has names that are none of the source's,
      // setting its attributes would change those files too.
      if (records.store.idOfIdentity(stat.dev, stat.inoHigh, stat.inoLow) !== undefined) return false;
      if (stat.nlink > entry.links && !isSettled) return false;
      this.#hasLinks = true;
    }
    if (!isSettled) {
      Object.assign(maker.stat, stat);
      const changed = maker.change(open.fd, place.name, attributes, !isDirectory);
      if (changed === -EEXIST) return false;
      if (changed < 0) {
        const isSeen = statx(open.fd, place.name, stat) === 0;
        const seen = isSeen ? observed(attributes.kind, stat, attributes.target) : attributes;
        this.#record(id, seen, entry.contentSeq, identityOf(stat), [place]);
        this.#problemAt(id, place, 'set attributes', changed);
        return true;
      }
    }
    this.#record(id, attributes, entry.contentSeq, identityOf(stat), [place]);
    if (isDirectory && (stat.mtimeS !== attributes.mtimeS || stat.mtimeNs !== attributes.mtimeNs)) {
      this.#touched.add(id);
    }
    return true;
  }

  /** One more name of an inode that is here already. */
  #furtherName(open: OpenDirectory, place: Place, id: InodeId, known: InodeRecord, wasLocal: boolean): void {
    const { records, directories } = this.#applier;
    const names = records.store.namesOf(id, known);
    if (names.some((one) => isSamePlace(one, place))) return;
    const isLocal = !this.#isLeft(open, place) && wasLocal;
    if (!isLocal || !isSameIdentity(known, this.#stat)) {
      const [first] = names;
      const from = first === undefined ? -1 : directories.get(first.parent);
      if (first === undefined || from < 0) return;
      const result = isLocal
        ? this.#linkOver({ dirfd: from, name: first.name }, id, open.fd, place)
        : linkat(from, first.name, open.fd, place.name);
      if (result < 0) {
        this.#problemAt(id, place, 'link', result);
        return;
      }
      this.#touched.add(place.parent);
    }
    records.put(id, { attributes: known, contentSeq: known.contentSeq, names: [...names, place] }, known, 0);
    records.setEntry(place.parent, place.name, id, 0);
  }

  /** Makes an inode and places it under all its names. */
  #build(
    id: InodeId,
    attributes: Attributes,
    contentSeq: Seq,
    content: Content,
    places: readonly Place[],
  ): void {
    const [first, ...others] = places;
    if (first === undefined) return;
    const { maker, home, directories, trash } = this.#applier;
    const open = this.#open;
    const isHere = open?.id === first.parent && open.isHidden;
    const dirfd = isHere ? open.fd : directories.get(first.parent);
    if (dirfd < 0) {
      this.#problemAt(id, first, 'create', dirfd);
      return;
    }
    let result: number;
    if (isHere) {
      // Nobody sees this directory yet: no rename is needed.
      maker.inheritsFrom(dirfd, open.attributes?.xattrs);
      result = this.#applier.make(id, attributes, contentSeq, content, { dirfd, name: first.name });
    } else {
      maker.inheritsNothing();
      const staged = { dirfd: home.stagingFd, name: stagedName(id) };
      result = this.#applier.make(id, attributes, contentSeq, content, staged);
      if (result === -EEXIST) {
        // Left by an agent that was killed: half-made, or a local user's that gave way.
        const kept = trash.keep(staged.dirfd, staged.name, this.#applier.records.pathAt(first), afterKill);
        if (kept < 0) this.#problemAt(id, first, 'move to trash', kept);
        result = this.#applier.make(id, attributes, contentSeq, content, staged);
      }
      if (result === 0) {
        result = this.#placeOver(staged, dirfd, first);
        if (result < 0) this.#discardMade(staged);
      } else if (result !== -EEXIST) unlinkat(staged.dirfd, staged.name);
    }
    if (result < 0) {
      this.#applier.throwIfFatal(result);
      this.#problemAt(id, first, 'create', result);
      return;
    }
    const identity = this.#applier.identityOfMade();
    this.#touched.add(first.parent);
    const placed = [first];
    for (const place of others) {
      const to = directories.get(place.parent);
      const linked = to < 0 ? to : this.#linkOver({ dirfd, name: first.name }, id, to, place);
      if (linked < 0) this.#problemAt(id, place, 'link', linked);
      else placed.push(place);
      this.#touched.add(place.parent);
    }
    this.#record(id, attributes, contentSeq, identity, placed);
    for (const place of placed) this.#options.inTheWay.forget(place);
  }

  /** Not what it may have been exchanged for, and could not be kept (I6). */
  #discardMade(staged: Located): void {
    const isThere = statx(staged.dirfd, staged.name, this.#stat) === 0;
    if (isThere && isSameIdentity(this.#applier.identityOfMade(), this.#stat))
      unlinkat(staged.dirfd, staged.name);
  }

  /** Places something staged over whatever is at the name; what is there is kept unless its content has another recorded name. */
  #placeOver(from: Located, dirfd: number, place: Place): number {
    const over = this.#occupant(dirfd, place.name);
    return this.#applier.placer.place(from, { dirfd, name: place.name }, over, () =>
      this.#applier.records.pathAt(place),
    );
  }

  #linkOver(from: Located, id: InodeId, dirfd: number, place: Place): number {
    const over = this.#occupant(dirfd, place.name);
    return this.#applier.placer.linkOver(from, id, { dirfd, name: place.name }, over, () =>
      this.#applier.records.pathAt(place),
    );
  }

  /** The recorded file that is at a name and has others; 0: none. */
  #occupant(dirfd: number, name: Name): InodeId {
    const { store } = this.#applier.records;
    const stat = this.#stat;
    if (statx(dirfd, name, stat) < 0 || stat.nlink < 2 || stat.type === S_IFDIR) return 0;
    return store.idOfIdentity(stat.dev, stat.inoHigh, stat.inoLow) ?? 0;
  }

  #record(
    id: InodeId,
    attributes: Attributes,
    contentSeq: Seq,
    identity: LocalIdentity,
    names: readonly Place[],
  ): void {
    const { records } = this.#applier;
    this.#highestId = Math.max(this.#highestId, id);
    records.putNew(id, { attributes, contentSeq, names }, identity, 0);
    for (const place of names) records.addEntry(place.parent, place.name, id, 0);
  }

  #planned(record: InodeRecord, contentSeq: Seq): PlannedInode {
    const name = asName(record.name);
    return {
      attributes: record,
      contentSeq,
      names: name === undefined ? [] : [{ parent: record.parent, name }],
    };
  }

  #problemAt(id: InodeId, place: Place, action: string, errno: number): void {
    const path = this.#applier.records.pathAt(place);
    this.#options.problem({ path, action, code: errnoName(errno) }, { id, place });
  }

  #failed(id: InodeId, action: string, errno: number): void {
    this.#applier.throwIfFatal(errno);
    this.#options.problem({ path: this.#applier.records.pathOf(id), action, code: errnoName(errno) });
  }
}

const typeOf: Readonly<Record<Kind, number>> = {
  [Kind.file]: S_IFREG,
  [Kind.directory]: S_IFDIR,
  [Kind.symlink]: S_IFLNK,
  [Kind.fifo]: S_IFIFO,
  [Kind.charDevice]: S_IFCHR,
  [Kind.blockDevice]: S_IFBLK,
};
