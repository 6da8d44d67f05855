// Memory that calls reuse for their arguments. Every call is synchronous and copies what it returns, so
// one piece for each role is enough; each thread loads its own copy of this module.

import type { ByteString } from '../core/name.ts';
import { EINVAL, ENAMETOOLONG } from './constants.ts';
import { addressOf } from './ffi.ts';

/** PATH_MAX (limits.h), with the final NUL. */
const maxPathBytes = 4096;

/** One NUL-terminated string argument. */
export class StringArgument {
  readonly #bytes = new Uint8Array(new ArrayBuffer(maxPathBytes));
  readonly address = addressOf(this.#bytes);

  /** 0, or the negative errno when it cannot be an argument: a NUL inside, a unit above 255, too long. */
  set(text: ByteString): number {
    const length = text.length;
    if (length >= maxPathBytes) return -ENAMETOOLONG;
    const bytes = this.#bytes;
    for (let i = 0; i < length; i++) {
      const c = text.charCodeAt(i);
      if (c === 0 || c > 0xff) return -EINVAL;
      bytes[i] = c;
    }
    bytes[length] = 0;
    return 0;
  }
}

export const first = new StringArgument();
export const second = new StringArgument();

/** For results and small structures; 64 KiB because that is the largest extended attribute. */
export const scratch = Buffer.from(new ArrayBuffer(65536));
export const scratchAddress = addressOf(scratch);
