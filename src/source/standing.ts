// How far one replica is: what it has acknowledged, less what it still lacks.

import type { Seq } from '../core/attributes.ts';
import type { Ack } from '../wire/messages.ts';
import type { OwedContents } from './owed.ts';
import type { UnreadAttributes } from './unread-attributes.ts';

/** For status, lag and the barrier. */
export interface Standing {
  /** Everything up to here is visible on the replica; contents that it still owes count. */
  readonly applied: Seq;
  readonly durable: Seq;
  readonly owedFiles: number;
  /** Totals of this session, as the replica counts them. */
  readonly files: number;
  readonly bytes: number;
}

export class StandingOfReplica {
  readonly #owed: Pick<OwedContents, 'contiguous' | 'unconfirmed'>;
  readonly #unread: Pick<UnreadAttributes, 'contiguous'>;
  #applied: Seq = 0;
  #durable: Seq = 0;
  #files = 0;
  #bytes = 0;
  /**
   * What a replica that lacks folders had applied when it asked for them: it is no further before it has them. Bytes sent by the end of
   * that listing, once it has ended.
   */
  #lacking: { readonly applied: Seq; readonly durable: Seq; listedAt: number | undefined } | undefined;

  constructor(
    owed: Pick<OwedContents, 'contiguous' | 'unconfirmed'>,
    unread: Pick<UnreadAttributes, 'contiguous'>,
  ) {
    this.#owed = owed;
    this.#unread = unread;
  }

  /** It resumes from there. */
  startAt(cursor: Seq): void {
    this.#applied = cursor;
    this.#durable = cursor;
  }

  acked(ack: Ack): void {
    this.#applied = Math.max(this.#applied, ack.applied);
    this.#durable = Math.max(this.#durable, ack.durable);
    this.#files = ack.files;
    this.#bytes = ack.bytes;
    if (ack.consumed >= (this.#lacking?.listedAt ?? Infinity)) this.#lacking = undefined;
  }

  /** It has met folders that it does not know: they are listed for it. This comes before the acknowledgement of what they were met in. */
  lacksFolders(): void {
    this.#lacking ??= { applied: this.#applied, durable: this.#durable, listedAt: undefined };
    this.#lacking.listedAt = undefined;
  }

  /** All that it lacks is sent when it has consumed so many bytes of the session. */
  listed(sentBytes: number): void {
    if (this.#lacking !== undefined) this.#lacking.listedAt = sentBytes;
  }

  get now(): Standing {
    const { applied, durable } = this.#lacking ?? { applied: this.#applied, durable: this.#durable };
    return {
      applied: this.#unread.contiguous(this.#owed.contiguous(applied)),
      durable: this.#unread.contiguous(this.#owed.contiguous(durable)),
      owedFiles: this.#owed.unconfirmed,
      files: this.#files,
      bytes: this.#bytes,
    };
  }
}
