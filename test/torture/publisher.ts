// Publishes verified files below /tree/always as good deployments do: nothing there is ever missing, empty or half.

import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { AT_FDCWD, RENAME_EXCHANGE, renameat2 } from '../../src/kernel/sys.ts';
import { randomFrom } from '../support/random.ts';
import {
  alwaysFolder,
  idCount,
  pageIds,
  pageMode,
  pageMtimeS,
  pageOf,
  releaseId,
  stripedBlock,
  stripedIds,
  stripedPositions,
  swapIds,
} from './verified.ts';

const folder = `/tree/${alwaysFolder}`;
/** So many releases before the current one stay: a reader may just be following the old link. */
const keptReleases = 3;

export class Publisher {
  readonly #random: () => number;
  readonly #versions = new Uint32Array(idCount);
  /** Which page each name holds: exchanges move them. */
  readonly #held: number[] = [...pageIds];
  readonly #heldSwaps: number[] = [...swapIds];
  /** Where the newest version of each id is told, before it can be seen. */
  readonly #versionsFd: number;

  constructor(seed: number, versionsFd: number) {
    this.#random = randomFrom(seed);
    this.#versionsFd = versionsFd;
  }

  /** The first version of everything. */
  begin(): void {
    mkdirSync(folder);
    for (const [at, id] of this.#held.entries()) this.#page(`${folder}/page-${at}`, id);
    for (const [at, id] of this.#heldSwaps.entries()) {
      mkdirSync(`${folder}/swap-${at}`);
      this.#page(`${folder}/swap-${at}/page`, id);
    }
    for (const id of stripedIds) this.#stripe(id, 'w');
    this.#release();
  }

  step(): void {
    const kind = this.#draw(10);
    if (kind < 4) {
      const at = this.#draw(pageIds.length);
      this.#page(`${folder}/page-${at}`, this.#held[at] ?? 0);
    } else if (kind < 6) this.#stripe(stripedIds[this.#draw(stripedIds.length)] ?? stripedIds[0], 'r+');
    else if (kind === 6)
      this.#exchange('page', this.#held, this.#draw(pageIds.length), this.#draw(pageIds.length));
    else if (kind === 7) this.#exchange('swap', this.#heldSwaps, 0, 1);
    else if (kind === 8) {
      const at = this.#draw(2);
      this.#page(`${folder}/swap-${at}/page`, this.#heldSwaps[at] ?? 0);
    } else this.#release();
  }

  #draw(below: number): number {
    return Math.floor(this.#random() * below);
  }

  #raise(id: number): number {
    const version = (this.#versions[id] ?? 0) + 1;
    this.#versions[id] = version;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(version);
    writeSync(this.#versionsFd, bytes, 0, 4, id * 4);
    return version;
  }

  #page(path: string, id: number): void {
    const version = this.#raise(id);
    // Written beside the file, or moved in from elsewhere.
    const temporary = version % 2 === 0 ? `${folder}/.new-${id}` : `/staging/.new-${id}`;
    writeFileSync(temporary, pageOf(id, version));
    chmodSync(temporary, pageMode(version));
    utimesSync(temporary, pageMtimeS(version), pageMtimeS(version));
    renameSync(temporary, path);
  }

  #stripe(id: number, flags: 'w' | 'r+'): void {
    const version = this.#raise(id);
    const block = stripedBlock(id, version);
    const path = `${folder}/striped-${id}`;
    const fd = openSync(path, flags);
    for (const at of stripedPositions()) writeSync(fd, block, 0, block.length, at);
    closeSync(fd);
  }

  #exchange(what: string, held: number[], a: number, b: number): void {
    if (a === b) return;
    if (
      renameat2(AT_FDCWD, `${folder}/${what}-${a}`, AT_FDCWD, `${folder}/${what}-${b}`, RENAME_EXCHANGE) < 0
    )
      return;
    const [first, second] = [held[a] ?? 0, held[b] ?? 0];
    held[a] = second;
    held[b] = first;
  }

  #release(): void {
    const version = (this.#versions[releaseId] ?? 0) + 1;
    mkdirSync(`${folder}/release-${version}`);
    this.#page(`${folder}/release-${version}/page`, releaseId);
    symlinkSync(`release-${version}`, `${folder}/.current`);
    renameSync(`${folder}/.current`, `${folder}/current`);
    if (version > keptReleases) rmSync(`${folder}/release-${version - keptReleases}`, { recursive: true });
  }
}
