// The replica's records as they are in the middle of a plan: a view with the plan's changes laid over it.

import { type Attributes, type InodeId, rootId, type Seq } from './attributes.ts';
import type { Name } from './name.ts';
import type { Place, PlannedInode, ReplicaView } from './plan-operation.ts';

interface MutableInode {
  attributes: Attributes;
  contentSeq: Seq;
  names: readonly Place[];
}

export class PlanRecords {
  readonly #view: ReplicaView;
  /** What the view has said: it is asked for the same directories again and again. null: nothing. */
  readonly #viewed = new Map<InodeId, PlannedInode | null>();
  readonly inodes = new Map<InodeId, MutableInode | null>();
  readonly entries = new Map<InodeId, Map<Name, InodeId>>();

  constructor(view: ReplicaView) {
    this.#view = view;
  }

  inode(id: InodeId): PlannedInode | undefined {
    const changed = this.inodes.get(id);
    if (changed !== undefined) return changed ?? undefined;
    return this.#before(id);
  }

  /** As it was when the plan began. */
  #before(id: InodeId): PlannedInode | undefined {
    let viewed = this.#viewed.get(id);
    if (viewed === undefined) {
      viewed = this.#view.inode(id) ?? null;
      this.#viewed.set(id, viewed);
    }
    return viewed ?? undefined;
  }

  occupant(parent: InodeId, name: Name): InodeId {
    return this.entries.get(parent)?.get(name) ?? this.#view.occupant(parent, name);
  }

  /** No name is recorded in the directory. */
  isEmpty(directory: InodeId): boolean {
    const changed = this.entries.get(directory);
    if (changed !== undefined) for (const id of changed.values()) if (id !== 0) return false;
    for (const name of this.#view.children(directory)) if (changed?.get(name) !== 0) return false;
    return true;
  }

  /** Is `id` the directory itself or something above it? */
  isAbove(id: InodeId, directory: InodeId): boolean {
    for (let at: InodeId | undefined = directory; at !== undefined; at = this.parentOf(at)) {
      if (at === id) return true;
    }
    return false;
  }

  /** The directory that holds a directory; undefined for the root and for what is in limbo. */
  parentOf(directory: InodeId): InodeId | undefined {
    if (directory === rootId) return undefined;
    return this.inode(directory)?.names[0]?.parent;
  }

  put(id: InodeId, attributes: Attributes, contentSeq: Seq): void {
    const inode = this.#mutable(id);
    if (inode === undefined) this.inodes.set(id, { attributes, contentSeq, names: [] });
    else {
      inode.attributes = attributes;
      inode.contentSeq = contentSeq;
    }
  }

  addName(id: InodeId, parent: InodeId, name: Name): void {
    const inode = this.#mutable(id);
    if (inode === undefined) return;
    inode.names = [...inode.names, { parent, name }];
    this.#setEntry(parent, name, id);
  }

  /** The name refers to nothing now. What that leaves without any name is in limbo. */
  dropName(id: InodeId, parent: InodeId, name: Name): void {
    const inode = this.#mutable(id);
    if (inode !== undefined) {
      inode.names = inode.names.filter((place) => place.parent !== parent || place.name !== name);
    }
    this.#setEntry(parent, name, 0);
  }

  forget(id: InodeId): void {
    this.inodes.set(id, null);
  }

  #setEntry(parent: InodeId, name: Name, id: InodeId): void {
    let names = this.entries.get(parent);
    if (names === undefined) {
      names = new Map();
      this.entries.set(parent, names);
    }
    names.set(name, id);
  }

  #mutable(id: InodeId): MutableInode | undefined {
    const changed = this.inodes.get(id);
    if (changed !== undefined) return changed ?? undefined;
    const known = this.#before(id);
    if (known === undefined) return undefined;
    const copy: MutableInode = {
      attributes: known.attributes,
      contentSeq: known.contentSeq,
      names: known.names,
    };
    this.inodes.set(id, copy);
    return copy;
  }
}
