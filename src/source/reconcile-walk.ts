// First contact: lists the tree to a replica, directory by directory, parents first, in name order, and brings what the
// replica says that it lacks (docs/protocol.md, Reconcile). Memory: the directories between the root and the
// place of the walk, and the answers that are out.
//
// The tree goes on changing meanwhile. RACE: a listing may miss what moved behind the walk's back; everything that
// changed after `seq` comes by the journal, and a replica that meets an unknown id there asks for it.

import { type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Name } from '../core/name.ts';
import type { InodeRecord } from '../tree/records.ts';
import { sizeOfVariable } from '../wire/attributes-codec.ts';
import {
  batchTargetBytes,
  type Contents as ContentsMessage,
  inlineMaxBytes,
  type ListedEntry,
  type Listing,
  reconcileWindow,
  type WantedContent,
  type Wants,
} from '../wire/messages.ts';
import type { Contents } from './contents.ts';
import type { TreeView } from './view.ts';

/** What an entry without content counts towards a listing's size. */
const entryBytes = 96;
/** Entries of one listing at most: bounds what both sides hold of a directory with a million names. */
const maxEntries = 4096;

export type WalkStep =
  | {
      readonly kind: 'send';
      readonly message: Listing | ContentsMessage;
      /** Files too large, or too unsteady, for a message: to be streamed. */
      readonly large: readonly InodeId[];
    }
  /** Nothing can be done until an answer comes or the scan has listed more. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'done' };

interface Frame {
  readonly directory: InodeId;
  /** Contents come along: the replica has nothing below here. */
  readonly inline: boolean;
  /** What is below it is not walked, but for what the replica lacks. */
  isAlone: boolean;
  /** Where the next listing of this directory starts; undefined when all of it has been listed. */
  after: Name | '' | undefined;
  /** Directories in it that are still to be walked, in reverse order. */
  children: InodeId[];
  /** Names that are told as removed, once all entries have been listed. */
  removed: Name[] | undefined;
}

export interface WalkOptions {
  readonly from: InodeId;
  /** Only this directory, and what the replica lacks in it. */
  readonly isAlone?: boolean;
  /** The replica's root holds nothing. */
  readonly empty: boolean;
  /** Called for what was listed without its extended attributes, because it is not where its record has it. */
  readonly moved: (record: InodeRecord) => void;
  /** Names that a directory had and has lost since, which the replica may still have. Default: none. */
  readonly removedFrom?: ((directory: InodeId) => Name[]) | undefined;
}

export class ReconcileWalk {
  #seq: Seq | undefined;
  #passSeq: Seq = 0;
  readonly #view: TreeView;
  readonly #contents: Contents;
  readonly #moved: (record: InodeRecord) => void;
  readonly #removedFrom: WalkOptions['removedFrom'];
  readonly #stack: Frame[];
  readonly #unanswered = new Map<InodeId, number>();
  #unansweredCount = 0;
  #wanted: InodeId[] = [];
  readonly #missing = new Set<InodeId>();
  readonly #listedAlone = new Set<InodeId>();

  constructor(view: TreeView, contents: Contents, options: WalkOptions) {
    this.#view = view;
    this.#contents = contents;
    this.#moved = options.moved;
    this.#removedFrom = options.removedFrom;
    this.#stack = [frameOf(options.from, options.empty, options.isAlone)];
  }

  /** The journal from here on brings what the walk may have missed: the source's head when the first listing was read. */
  get seq(): Seq {
    this.#seq ??= this.#view.head;
    return this.#seq;
  }

  /** Everything up to here was in the tree when the last of the directories that were asked for was listed. */
  get passSeq(): Seq {
    return this.#passSeq;
  }

  /** Walks this directory as well, after all others: what the walk has passed by may have changed since. */
  alsoFrom(directory: InodeId, isAlone = false): void {
    const [last] = this.#stack;
    if (last?.directory === directory && last.after === '') last.isAlone &&= isAlone;
    else this.#stack.unshift(frameOf(directory, false, isAlone));
  }

  /** Takes the answer to one of this walk's listings; false when it answers none. */
  answers(wants: Wants): boolean {
    const open = this.#unanswered.get(wants.directory);
    if (open === undefined) return false;
    if (open === 1) this.#unanswered.delete(wants.directory);
    else this.#unanswered.set(wants.directory, open - 1);
    this.#unansweredCount -= 1;
    for (const id of wants.contents) this.#wanted.push(id);
    const isAlone = this.#listedAlone.has(wants.directory);
    for (const id of wants.missing) {
      if (isAlone) this.#stack.unshift(frameOf(id, true));
      else this.#missing.add(id);
    }
    return true;
  }

  /** @param mayWait a scan runs that will list what has not been listed */
  step(mayWait: boolean): WalkStep {
    if (this.#wanted.length > 0) return this.#sendWanted();
    const frame = this.#descend();
    if (frame === undefined) return this.#unansweredCount === 0 ? { kind: 'done' } : { kind: 'wait' };
    if (this.#unansweredCount >= reconcileWindow) return { kind: 'wait' };
    return this.#list(frame, mayWait);
  }

  close(): void {
    this.#stack.length = 0;
    this.#wanted.length = 0;
  }

  /** The directory whose listing is next, or undefined when all have been listed. */
  #descend(): Frame | undefined {
    for (;;) {
      const frame = this.#stack.at(-1);
      if (frame === undefined || frame.after !== undefined) return frame;
      const child = frame.children.pop();
      if (child === undefined) {
        this.#stack.pop();
        continue;
      }
      const inline = frame.inline || this.#missing.delete(child);
      this.#stack.push(frameOf(child, inline));
    }
  }

  #list(frame: Frame, mayWait: boolean): WalkStep {
    const record = this.#view.inode(frame.directory);
    if (record === undefined && frame.directory === rootId) return { kind: 'wait' };
    if (record === undefined || record.links === 0) {
      // Gone since its parent was listed; its removal is in the journal.
      this.#stack.splice(this.#stack.indexOf(frame), 1);
      return this.step(mayWait);
    }
    if (!record.listed) {
      if (mayWait) return { kind: 'wait' };
      // It cannot be read, or not yet: nothing is known of its names, so nothing is said of them (I4). Who lacks it gets it empty.
      if (!frame.inline) {
        this.#stack.splice(this.#stack.indexOf(frame), 1);
        return this.step(mayWait);
      }
    }
    this.#seq ??= this.#view.head;
    this.#contents.reuse();
    const first = frame.after === '';
    if (frame.isAlone) this.#listedAlone.add(frame.directory);
    if (first && frame === this.#stack[0]) this.#passSeq = this.#view.head;
    const entries: ListedEntry[] = [];
    const large: InodeId[] = [];
    let bytes = 0;
    let last = true;
    const rest = frame.removed === undefined ? this.#view.list(frame.directory, frame.after ?? '') : [];
    for (const entry of rest) {
      if (entries.length >= maxEntries || bytes >= batchTargetBytes) {
        last = false;
        break;
      }
      frame.after = entry.name;
      const inode = this.#view.inode(entry.id);
      if (inode === undefined || inode.links === 0) continue;
      const listed = this.#entry(frame, entry.name, inode, large);
      entries.push(listed);
      bytes += entryBytes + sizeOfVariable(listed.attributes);
      if (listed.content.from === 'inline') bytes += listed.content.bytes.length;
      if (inode.kind === Kind.directory && !frame.isAlone) frame.children.push(inode.id);
    }
    const removed: Name[] = [];
    // Who lacks the directory has none of them; of one that cannot be read nothing is known (I4).
    if (last && !frame.inline && record.listed) {
      frame.removed ??= this.#removedFrom?.(frame.directory) ?? [];
      removed.push(...frame.removed.splice(0, maxEntries));
      last = frame.removed.length === 0;
    }
    if (last) {
      frame.after = undefined;
      frame.children.reverse();
    }
    this.#unanswered.set(frame.directory, (this.#unanswered.get(frame.directory) ?? 0) + 1);
    this.#unansweredCount += 1;
    const message: Listing = {
      type: 'listing',
      directory: frame.directory,
      first,
      last,
      entries,
      ...(removed.length === 0 ? {} : { removed }),
    };
    return { kind: 'send', message, large };
  }

  #entry(frame: Frame, name: Name, inode: InodeRecord, large: InodeId[]): ListedEntry {
    const entry = { name, id: inode.id, links: inode.links, contentSeq: inode.contentSeq };
    if (inode.kind === Kind.file && frame.inline) {
      if (inode.size > inlineMaxBytes) large.push(inode.id);
      else {
        const read = this.#contents.readWhole(inode);
        if (read.kind === 'content') {
          // Property by property: a spread costs more than all else here (measured).
          const { id, links, contentSeq } = inode;
          const { attributes, bytes } = read;
          return { name, id, links, contentSeq, attributes, content: { from: 'inline', bytes } };
        }
        // What cannot be read is asked for, and owed from then on: it may become readable.
        if (read.kind !== 'problem') large.push(inode.id);
      }
    }
    // Equal in size and time proves nothing of this one: the replica takes what it has for an older content, and is brought this one.
    const isUnproven = !frame.inline && inode.doubtful && inode.touched;
    if (isUnproven) large.push(inode.id);
    return {
      ...entry,
      contentSeq: isUnproven ? 0 : inode.contentSeq,
      attributes: this.#contents.attributesOf(inode, this.#moved),
      content: { from: 'none' },
    };
  }

  #sendWanted(): WalkStep {
    this.#contents.reuse();
    const files: WantedContent[] = [];
    const large: InodeId[] = [];
    let bytes = 0;
    while (bytes < batchTargetBytes && files.length < maxEntries) {
      const id = this.#wanted.pop();
      if (id === undefined) break;
      const inode = this.#view.inode(id);
      if (inode === undefined || inode.links === 0 || inode.kind !== Kind.file) continue;
      if (inode.size > inlineMaxBytes) {
        large.push(id);
        continue;
      }
      const read = this.#contents.readWhole(inode);
      if (read.kind === 'content') {
        files.push({
          id,
          contentSeq: inode.contentSeq,
          attributes: read.attributes,
          content: { from: 'inline', bytes: read.bytes },
        });
        bytes += entryBytes + sizeOfVariable(read.attributes) + read.bytes.length;
      } else large.push(id);
    }
    return { kind: 'send', message: { type: 'contents', files }, large };
  }
}

function frameOf(directory: InodeId, inline: boolean, isAlone = false): Frame {
  return { directory, inline, isAlone, after: '', children: [], removed: undefined };
}
