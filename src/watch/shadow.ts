// What is known of a watched tree: which names there are, of what kind, and which inode each means. Pure: it is told what
// is on disk. Some 25 bytes a file besides its name, some 250 a directory.

import type { ByteString, Name } from '../core/name.ts';
import type { DirectoryTag } from '../kernel/event-source.ts';
import { type EntryCode, EntryKind, entryCode, entryValue, kindOf } from './entry-code.ts';
import { EntryTable } from './entry-table.ts';

/** One watched directory. */
export class Directory extends EntryTable {
  readonly tag: DirectoryTag;
  /** undefined: the root. */
  parent: Directory | undefined;
  name: Name | '';
  /** `identityOf` its inode. */
  identity: number;
  /** False once it has left the tree. */
  isLive = true;
  /** Its events flow and its entries are known. False between being found and being listed. */
  isListed = false;

  constructor(tag: DirectoryTag, parent: Directory | undefined, name: Name | '', identity: number) {
    super();
    this.tag = tag;
    this.parent = parent;
    this.name = name;
    this.identity = identity;
  }

  /** Its path relative to the root; '' for the root. */
  get path(): ByteString {
    if (this.parent === undefined) return this.name;
    let path: ByteString = this.name;
    for (let up = this.parent; up.parent !== undefined; up = up.parent) path = `${up.name}/${path}`;
    return path;
  }

  /** Relative to the root; an empty name is the directory itself. */
  pathOf(name: Name | ''): ByteString {
    if (name === '') return this.path;
    return this.parent === undefined ? name : `${this.path}/${name}`;
  }

  isWithin(other: Directory): boolean {
    for (let up: Directory | undefined = this; up !== undefined; up = up.parent) {
      if (up === other) return true;
    }
    return false;
  }
}

export class Shadow {
  readonly root: Directory;
  /** False while there is no directory where the root should be. */
  isRootPresent = false;
  /** By tag: tags are dense. */
  readonly #directories: (Directory | undefined)[] = [];
  #size = 0;
  /** A directory is in one place only: one that is found twice has moved. Made when it is first needed. */
  #byIdentity: Map<number, Directory> | undefined;
  /** Tags that may be given out again, and those that events which were read already may still carry. */
  #freeTags: DirectoryTag[] = [];
  #retiredTags: DirectoryTag[] = [];
  #nextTag: DirectoryTag = 1;
  /** Directories whose tables take more memory than they need. */
  readonly #opened = new Set<Directory>();

  constructor() {
    this.root = this.#make(undefined, '', 0);
  }

  get size(): number {
    return this.#size;
  }

  get(tag: DirectoryTag): Directory | undefined {
    return this.#directories[tag];
  }

  #make(parent: Directory | undefined, name: Name | '', identity: number): Directory {
    const directory = new Directory(this.#freeTags.pop() ?? this.#nextTag++, parent, name, identity);
    this.#directories[directory.tag] = directory;
    this.#size++;
    this.#byIdentity?.set(identity, directory);
    return directory;
  }

  /** Another inode bears the directory's name now. */
  identify(directory: Directory, identity: number): void {
    if (this.#byIdentity?.get(directory.identity) === directory) this.#byIdentity.delete(directory.identity);
    directory.identity = identity;
    this.#byIdentity?.set(identity, directory);
  }

  /** The directory that was last seen with this identity: it, or one whose number folds to the same. */
  identified(identity: number): Directory | undefined {
    return this.index().get(identity);
  }

  /** Makes the index of identities, and those of large directories, once: some 20 ms for 100,000 directories, best spent when nobody waits. */
  index(): ReadonlyMap<number, Directory> {
    if (this.#byIdentity === undefined) {
      this.#byIdentity = new Map();
      for (const directory of this.#directories) {
        if (directory === undefined) continue;
        this.#byIdentity.set(directory.identity, directory);
        directory.prepare();
      }
    }
    return this.#byIdentity;
  }

  /** A directory that its parent does not list yet: `set` or `load` it there. */
  enter(parent: Directory, name: Name, identity: number): Directory {
    return this.#make(parent, name, identity);
  }

  set(directory: Directory, name: Name, code: EntryCode): void {
    if (directory.set(name, code)) this.#opened.add(directory);
  }

  delete(directory: Directory, name: Name): void {
    if (directory.delete(name)) this.#opened.add(directory);
  }

  /** The watched directory that an entry stands for. */
  entered(code: EntryCode | undefined): Directory | undefined {
    if (code === undefined || kindOf(code) !== EntryKind.entered) return undefined;
    return this.#directories[entryValue(code)];
  }

  /** Forgets a directory and all below it; `each` is called for every one of them. Its entry is the caller's. */
  drop(directory: Directory, each: (directory: Directory) => void): void {
    const doomed = [directory];
    for (let next = doomed.pop(); next !== undefined; next = doomed.pop()) {
      next.each((_, code) => {
        const child = this.entered(code);
        if (child !== undefined) doomed.push(child);
      });
      next.isLive = false;
      if (this.#byIdentity?.get(next.identity) === next) this.#byIdentity.delete(next.identity);
      next.load('');
      this.#directories[next.tag] = undefined;
      this.#size--;
      this.#retiredTags.push(next.tag);
      each(next);
    }
  }

  /** Gives a directory a new place; an entry there must have been dropped. */
  move(directory: Directory, parent: Directory, name: Name): void {
    if (directory.parent !== undefined && directory.name !== '')
      this.delete(directory.parent, directory.name);
    directory.parent = parent;
    directory.name = name;
    this.set(parent, name, entryCode(EntryKind.entered, directory.tag));
  }

  /** The entry at a path relative to the root; undefined when there is none. */
  lookup(path: ByteString): EntryCode | undefined {
    if (path === '') return this.isRootPresent ? entryCode(EntryKind.entered, this.root.tag) : undefined;
    let directory = this.root;
    const names = path.split('/');
    const last = names.pop();
    for (const name of names) {
      const next = this.entered(directory.get(name as Name));
      if (next === undefined) return undefined;
      directory = next;
    }
    return directory.get(last as Name);
  }

  /** Every directory from `from` down, parents first. */
  *below(from: Directory): Generator<Directory> {
    const waiting = [from];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      yield next;
      next.each((_, code) => {
        const child = this.entered(code);
        if (child !== undefined) waiting.push(child);
      });
    }
  }

  /** Between two reads of the kernel's events: tags of dropped directories can be used again. */
  recycleTags(): void {
    if (this.#retiredTags.length === 0) return;
    this.#freeTags.push(...this.#retiredTags.splice(0));
  }

  get hasOpened(): boolean {
    return this.#opened.size > 0;
  }

  /** Makes it small again, when nothing has happened for a while. */
  pack(): void {
    for (const directory of this.#opened) directory.shrink();
    this.#opened.clear();
  }
}
