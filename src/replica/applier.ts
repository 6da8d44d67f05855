// Takes a batch from its plan to its records. This and what it is made of is the only code that writes to a replica's tree:
//
//   operations.ts    what each operation of a plan is on disk
//   builder.ts       inodes with their content          placer.ts    names, and what is in their way (I6)
//   whereabouts.ts   where everything is by now         failures.ts  what went wrong, and what is recorded then

import { type Attributes, type InodeId, Kind, rootId, type Seq } from '../core/attributes.ts';
import type { Batch, Content } from '../core/change.ts';
import type { ByteString } from '../core/name.ts';
import { planBatch } from '../core/plan.ts';
import type { Operation, Plan, Slot } from '../core/plan-operation.ts';
import { isMendable, type Problem } from '../core/problem.ts';
import { errnoName } from '../kernel/sys.ts';
import type { LocalIdentity } from '../tree/records.ts';
import type { ApplyingMark } from './applying-mark.ts';
import { Builder } from './builder.ts';
import { Capabilities } from './capabilities.ts';
import type { Directories } from './directories.ts';
import { Failures } from './failures.ts';
import { latestAfter } from './familiar.ts';
import { throwIfFatal } from './fatal-error.ts';
import type { Home } from './home.ts';
import { Limbo } from './limbo.ts';
import { identityOf } from './local-identity.ts';
import { Maker } from './maker.ts';
import { Mending } from './mending.ts';
import { Operations } from './operations.ts';
import { Placer } from './placer.ts';
import { nowhere, type Records, type ReplicaMemory } from './records.ts';
import type { StagedStreams } from './staged-streams.ts';
import { Trash } from './trash.ts';
import { type Located, Whereabouts } from './whereabouts.ts';

/** Called at each named step; a test's fault point. */
export type Step = (name: string) => void;

export interface ApplierOptions {
  readonly home: Home;
  readonly records: Records;
  readonly streams: StagedStreams;
  readonly mark: ApplyingMark;
  readonly problem: (problem: Problem) => void;
  readonly step?: Step;
}

/** What a batch left to be asked of the source. */
export interface Applied {
  /** Files whose content is not here. */
  readonly lost: readonly InodeId[];
  /** There are entries that cannot be made with what was said, or something has gone that no batch brings: all is to be listed again. */
  readonly isLacking: boolean;
  /** `tidy` has something to do. */
  readonly isTidyDue: boolean;
}

export class Applier {
  readonly home: Home;
  readonly records: Records;
  readonly streams: StagedStreams;
  readonly maker: Maker;
  readonly trash: Trash;
  readonly directories: Directories;
  readonly limbo: Limbo;
  readonly placer: Placer;
  readonly mending: Mending;
  readonly #mark: ApplyingMark;
  readonly #problem: (problem: Problem) => void;
  readonly #step: Step;
  readonly #where: Whereabouts;
  readonly #failures: Failures;
  readonly #builder: Builder;
  readonly #operations: Operations;

  constructor(options: ApplierOptions) {
    const { home, records, streams } = options;
    this.home = home;
    this.records = records;
    this.streams = streams;
    this.#mark = options.mark;
    this.#problem = options.problem;
    this.#step = options.step ?? (() => undefined);
    const capabilities = new Capabilities((problem) => this.#problem(problem));
    const maker = new Maker(capabilities);
    const trash = new Trash(home);
    const where = new Whereabouts(home, records);
    const failures = new Failures(home, records, where);
    const limbo = new Limbo(home, records, trash, where.directories);
    const builder = new Builder({ home, streams, maker, where, failures });
    const placer = new Placer(home.stagingFd, where, trash, capabilities);
    this.maker = maker;
    this.trash = trash;
    this.directories = where.directories;
    this.limbo = limbo;
    this.#where = where;
    this.#failures = failures;
    this.#builder = builder;
    this.placer = placer;
    this.mending = new Mending(records, where.directories);
    this.#operations = new Operations({
      home,
      records,
      capabilities,
      maker,
      builder,
      placer,
      trash,
      limbo,
      where,
      failures,
    });
  }

  /** Totals since this was made. */
  get files(): number {
    return this.#builder.files;
  }

  get bytes(): number {
    return this.#builder.bytes;
  }

  /**
   * Applies a batch and records it, with the memory that follows from it, in one transaction. Idempotent.
   * @throws FamError DISK_FULL and the like: nothing was recorded, the tree is somewhere between; recover, then go on
   */
  apply(batch: Batch, memory: ReplicaMemory): Applied & { readonly memory: ReplicaMemory } {
    this.records.store.refresh();
    const { pending } = this.records;
    const plan = planBatch(batch, this.records, memory.deferred, pending, memory.nameless);
    this.#where.begin();
    this.#failures.begin();
    this.#operations.begin();
    // RACE: killed from here to the commit, the tree is ahead of the records; the mark says so to the next agent.
    this.#mark.set(plan.operations);
    for (const operation of plan.operations) this.#perform(operation, batch);
    const settled = this.#failures.isEmpty ? plan : this.#failures.settle(plan);
    const { mendable } = this.#failures;
    const isSeen = this.mending.failed(mendable);
    const isLacking = this.#isUnexplained(plan, settled) || this.#failures.isLacking;
    const next = {
      ...memory,
      cursor: batch.to,
      deferred: plan.deferred,
      nameless: plan.nameless,
      lackingSince: isLacking ? batch.to : memory.lackingSince,
      ...this.mending.memoryAfter(memory.hasFailed || !isSeen),
      latest: latestAfter(memory, plan),
    };
    this.#step('before-commit');
    this.records.store.transaction(() => {
      this.#record(settled, batch.to);
      this.#notePending(batch, plan);
      this.records.remember(next);
    });
    this.records.store.refresh();
    this.#step('committed');
    // RACE: killed before this, `recover` does it.
    this.trash.removeLinks(this.records);
    this.#mark.clear();
    return {
      memory: next,
      lost: [...plan.lost, ...this.#failures.lost],
      isLacking,
      isTidyDue: plan.emptyLimbo && (this.limbo.size > 0 || this.streams.hasMoreThan(pending)),
    };
  }

  /** Removes what waits in limbo, and staged contents that nobody waits for. After a complete batch has been acknowledged. */
  tidy(): void {
    const { pending } = this.records;
    this.streams.discardExcept(pending);
    // RACE: killed in here, the records know what is no longer in limbo.
    this.#mark.set([]);
    // What could not be given its name waits there for it: the source believes that it is here, and would not send it again as a whole.
    if (!this.mending.isResuming)
      this.limbo.empty({ has: (id) => pending.has(id) || this.mending.isFailing(id) });
    this.#step('limbo-emptied');
    this.trash.removeLinks(this.records);
    this.#mark.clear();
  }

  close(): void {
    this.directories.closeAll();
    this.streams.close();
  }

  #perform(operation: Operation, batch: Batch): void {
    if (operation.type !== 'build' && this.#failures.has(operation.id)) {
      this.#failures.break(operation, 0);
      return;
    }
    const result = this.#operations.perform(operation);
    if (result >= 0) {
      this.#step(operation.type);
      return;
    }
    this.throwIfFatal(result);
    this.#failures.break(operation, result);
    const code = errnoName(result);
    // The root's time is no loss, and where it is somebody else's folder it fails each time that anything in it changes.
    const isTimeOfRoot = operation.type === 'setTimes' && operation.id === rootId;
    if (isMendable(code) && !isTimeOfRoot) this.#failures.canBeMended(operation);
    this.#problem({ path: this.#pathOf(operation, batch), action: actions[operation.type], code });
  }

  /** There are entries that cannot be made, and it is not because of what has failed here. */
  #isUnexplained({ unresolved }: Plan, { inodes }: Pick<Plan, 'inodes'>): boolean {
    let isUnexplained = false;
    for (const { id, parent, name } of unresolved) {
      const folder = inodes.has(parent) ? inodes.get(parent) : this.records.inode(parent);
      if (folder === undefined || folder === null) {
        // A folder that could not be made is listed with all that is in it when it can be.
        isUnexplained ||= !this.mending.isFailing(parent);
      } else if (!this.mending.waits(id, { parent, name })) isUnexplained = true;
    }
    return isUnexplained;
  }

  #pathOf(operation: Operation, { changes }: Batch): ByteString {
    if (operation.type === 'build' && operation.to.at === 'limbo') {
      // The name that it was to get from there.
      const entry = changes.find((change) => change.type === 'entry' && change.id === operation.id);
      if (entry?.type === 'entry')
        return this.#where.pathOf({ at: 'name', parent: entry.parent, name: entry.name });
    }
    if ('to' in operation) return this.#where.pathOf(operation.to);
    if ('at' in operation) return this.#where.pathOf(operation.at);
    return this.records.pathOf(operation.id);
  }

  // --- records ------------------------------------------------------------------------------------------------------------

  #record({ inodes, entries }: Pick<Plan, 'inodes' | 'entries'>, seq: Seq): void {
    const { records } = this;
    for (const [id, inode] of inodes) {
      if (inode === null) {
        records.forget(id);
        this.directories.forget(id);
      } else records.put(id, inode, this.#where.notedIdentity(id) ?? records.store.inode(id) ?? nowhere, seq);
    }
    for (const [parent, names] of entries) {
      for (const [name, id] of names) records.setEntry(parent, name, id, seq);
    }
    for (const id of this.#failures.goneFolders) {
      const [place] = records.inode(id)?.names ?? [];
      if (place !== undefined) records.takeName(place, false);
      else records.forgetWithAllBelow(id);
      this.directories.forget(id);
    }
  }

  /** What is to come after this batch. Inside its transaction. */
  #notePending(batch: Batch, plan: Plan): void {
    const { pending } = this.records;
    for (const id of plan.lost) pending.add(id);
    for (const change of batch.changes) {
      if (change.type === 'pending') pending.add(change.id);
      else if (change.type !== 'inode') continue;
      // Of what has no content the extended attributes were lacking.
      else if (change.content.from !== 'none' || change.attributes.kind !== Kind.file)
        pending.delete(change.id);
    }
    for (const id of batch.dead) {
      if (pending.delete(id)) this.streams.discard(id);
    }
    for (const id of this.#failures.lost) pending.add(id);
  }

  // --- for first contact, which places things outside of plans --------------------------------------------------------------

  /** See `Builder`. */
  make(id: InodeId, attributes: Attributes, contentSeq: Seq, content: Content, at: Located): number {
    return this.#builder.make(id, attributes, contentSeq, content, at);
  }

  /** The inode that `make` made last. */
  identityOfMade(): LocalIdentity {
    return identityOf(this.maker.stat);
  }

  /** See `Whereabouts`. */
  setPlace(id: InodeId, slot: Slot | undefined): void {
    this.#where.setPlace(id, slot);
  }

  /** See `Operations`. */
  setTimes(id: InodeId, attributes: Attributes): number {
    return this.#operations.setTimes(id, attributes);
  }

  /** @throws FamError when no other path would fare better */
  throwIfFatal(errno: number): void {
    throwIfFatal(this.home.root, errno);
  }
}

const actions: Readonly<Record<Operation['type'], string>> = {
  build: 'create',
  buildContent: 'write content',
  setAttributes: 'set attributes',
  rename: 'put in place',
  exchange: 'put in place',
  link: 'link',
  unlink: 'remove',
  rmdir: 'remove',
  setTimes: 'set time',
};
