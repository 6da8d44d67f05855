// A failure of one path is data; a failure of the session is an exception (errors.ts).

import type { ByteString } from './name.ts';

/** One path that could not be handled. */
export interface Problem {
  /** Relative to the root, as bytes; '' is the root. */
  readonly path: ByteString;
  /** What was being done, in a word or two: `read`, `write content`, `set owner`. */
  readonly action: string;
  /** errno name (`EACCES`), or a code of ours in lower case (`unsupported`). */
  readonly code: string;
}
