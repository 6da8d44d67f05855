// Decides which stretches of a new content are copied from a base that the replica has, and which are sent: blocks of one size
// at equal offsets, compared as their digests become known on either side. Pure: knows sizes and verdicts, no bytes.

/** Blocks whose narrowing has been asked for and not been used up. */
const maxNarrowing = 16;
/** So many narrowed blocks in a row without a sub-block in common: the content is another one there, more questions are idle. */
const barrenLimit = 8;

export interface ComparisonOptions {
  readonly size: number;
  readonly baseSize: number;
  readonly blockBytes: number;
  readonly subBlockBytes: number;
  /** Whether a block that is known on both sides, and equally long, has one content. */
  readonly isSame: (block: number) => boolean;
}

export type NextStretch =
  /** From the position to `to`: the base has it at the same offset, or it has to be sent. */
  | { readonly kind: 'copy' | 'data'; readonly to: number }
  /** The new content's next block has to be known first. */
  | { readonly kind: 'scan' }
  /** The base's digests have to come first. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'end' };

type Verdict = 'same' | 'differs' | 'beyond' | 'scan' | 'wait';

export class BlockComparison {
  /** Blocks from the beginning that are known of the new content, and of the base. */
  freshBlocks = 0;
  baseBlocks = 0;
  readonly #options: ComparisonOptions;
  readonly #narrowed = new Map<number, readonly boolean[] | undefined>();
  #asked = 0;
  /** Blocks from the beginning that `isSame` has found to be so. */
  #sameBlocks = 0;
  #barren = 0;

  constructor(options: ComparisonOptions) {
    this.#options = options;
  }

  /** How much of this block the base has, in bytes. */
  baseLength(block: number): number {
    const { baseSize, blockBytes } = this.#options;
    return Math.max(0, Math.min(blockBytes, baseSize - block * blockBytes));
  }

  /** Whether the base is the new content, to the last byte; or what has to become known before that can be told. */
  isSame(): boolean | 'scan' | 'wait' {
    const { size, baseSize, blockBytes } = this.#options;
    if (size !== baseSize) return false;
    while (this.#sameBlocks * blockBytes < size) {
      const verdict = this.#verdict(this.#sameBlocks);
      if (verdict === 'scan' || verdict === 'wait') return verdict;
      if (verdict !== 'same') return false;
      this.#sameBlocks += 1;
    }
    return true;
  }

  /** The next block, at or after the position, that is worth comparing by its sub-blocks. To be called before `next`. */
  narrow(position: number): number | undefined {
    const { blockBytes } = this.#options;
    this.#asked = Math.max(this.#asked, Math.floor(position / blockBytes));
    while (this.#narrowed.size < maxNarrowing) {
      const verdict = this.#verdict(this.#asked);
      if (verdict === 'scan' || verdict === 'wait' || verdict === 'beyond') return undefined;
      const block = this.#asked;
      this.#asked += 1;
      if (verdict === 'same') this.#barren = 0;
      else if (this.#barren < barrenLimit) {
        this.#narrowed.set(block, undefined);
        return block;
      }
    }
    return undefined;
  }

  /** The answer for a block that `narrow` named: which of its sub-blocks are the same. */
  narrowed(block: number, same: readonly boolean[]): void {
    if (!this.#narrowed.has(block)) return;
    this.#narrowed.set(block, same);
    this.#barren = same.includes(true) ? 0 : this.#barren + 1;
  }

  /**
   * What to do at the position. A copy ends at about `maxCopyBytes`, and not before if more of the same may follow.
   */
  next(position: number, maxCopyBytes: number): NextStretch {
    const { size, blockBytes, subBlockBytes } = this.#options;
    if (position >= size) return { kind: 'end' };
    const block = Math.floor(position / blockBytes);
    for (const past of this.#narrowed.keys()) if (past < block) this.#narrowed.delete(past);
    const start = block * blockBytes;
    const end = Math.min(start + blockBytes, size);
    const verdict = this.#verdict(block);
    switch (verdict) {
      case 'scan':
      case 'wait':
        return { kind: verdict };
      case 'beyond':
        return { kind: 'data', to: size };
      case 'same':
        return this.#extend(position, end, maxCopyBytes);
      case 'differs': {
        if (!this.#narrowed.has(block)) return { kind: 'data', to: end };
        const same = this.#narrowed.get(block);
        if (same === undefined) return { kind: 'wait' };
        let sub = Math.floor((position - start) / subBlockBytes);
        const isSame = same[sub] ?? false;
        while (start + sub * subBlockBytes < end && (same[sub] ?? false) === isSame) sub += 1;
        return { kind: isSame ? 'copy' : 'data', to: Math.min(start + sub * subBlockBytes, end) };
      }
    }
  }

  #extend(position: number, end: number, maxCopyBytes: number): NextStretch {
    const { size, blockBytes } = this.#options;
    let to = end;
    while (to < size && to - position < maxCopyBytes) {
      const verdict = this.#verdict(to / blockBytes);
      if (verdict === 'scan' || verdict === 'wait') return { kind: verdict };
      if (verdict !== 'same') break;
      to = Math.min(to + blockBytes, size);
    }
    return { kind: 'copy', to };
  }

  #verdict(block: number): Verdict {
    const { size, blockBytes, isSame } = this.#options;
    const length = Math.min(blockBytes, size - block * blockBytes);
    const baseLength = this.baseLength(block);
    if (baseLength === 0 || length <= 0) return 'beyond';
    if (block >= this.freshBlocks) return 'scan';
    if (baseLength !== length) return 'differs';
    if (block >= this.baseBlocks) return 'wait';
    return isSame(block) ? 'same' : 'differs';
  }
}
