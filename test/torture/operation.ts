// What a writer does, as plain data: an operation means the same whenever it is performed, so a list of them can be
// replayed and cut. Paths are byte strings below the generator's own root: `/tree` is the source, `/staging` lies beside it.

import type { ByteString } from '../../src/core/name.ts';

export type Operation =
  /** Opens with O_TRUNC and writes `size` bytes in pieces. */
  | { readonly do: 'create'; readonly path: ByteString; readonly size: number; readonly seed: number }
  | {
      readonly do: 'write';
      readonly path: ByteString;
      readonly at: number;
      readonly size: number;
      readonly seed: number;
    }
  | { readonly do: 'append'; readonly path: ByteString; readonly size: number; readonly seed: number }
  /** Keeps the file open and appends `times` times, `pauseMs` apart. */
  | {
      readonly do: 'log';
      readonly path: ByteString;
      readonly times: number;
      readonly pauseMs: number;
      readonly seed: number;
    }
  | { readonly do: 'truncate'; readonly path: ByteString; readonly size: number }
  /** Two stores through one shared mapping, `pauseMs` apart. */
  | { readonly do: 'mmap'; readonly path: ByteString; readonly pauseMs: number; readonly seed: number }
  /** Other bytes, same size, and the old mtime put back by hand. */
  | { readonly do: 'stealth'; readonly path: ByteString; readonly seed: number }
  /** Two writes of one size, right after one another. */
  | { readonly do: 'twice'; readonly path: ByteString; readonly size: number; readonly seed: number }
  | { readonly do: 'holes'; readonly path: ByteString; readonly size: number; readonly seed: number }
  | { readonly do: 'copyRange'; readonly from: ByteString; readonly path: ByteString }
  | {
      readonly do: 'rename';
      readonly from: ByteString;
      readonly path: ByteString;
      readonly how: 'replace' | 'exchange' | 'noreplace';
    }
  | { readonly do: 'link'; readonly from: ByteString; readonly path: ByteString }
  /** A link outside of the tree, and `pauseMs` later a change through it. */
  | {
      readonly do: 'outer';
      readonly from: ByteString;
      readonly path: ByteString;
      readonly pauseMs: number;
      readonly seed: number;
    }
  | { readonly do: 'unlink' | 'rmdir' | 'rmtree' | 'mkdirs' | 'fifo' | 'socket'; readonly path: ByteString }
  | { readonly do: 'symlink'; readonly path: ByteString; readonly target: ByteString }
  | { readonly do: 'device'; readonly path: ByteString; readonly minor: number }
  | { readonly do: 'chmod'; readonly path: ByteString; readonly mode: number }
  | { readonly do: 'chown'; readonly path: ByteString; readonly uid: number; readonly gid: number }
  | { readonly do: 'utimes'; readonly path: ByteString; readonly mtimeS: number; readonly mtimeNs: number }
  | {
      readonly do: 'setxattr';
      readonly path: ByteString;
      readonly name: ByteString;
      readonly value: ByteString;
    }
  | { readonly do: 'removexattr'; readonly path: ByteString; readonly name: ByteString }
  /** An ACL that lets user `uid` read; `inherit`: the default ACL of a folder. */
  | { readonly do: 'acl'; readonly path: ByteString; readonly uid: number; readonly inherit: boolean }
  /** Save by rename: a temporary name beside the file, written, then renamed over it. */
  | { readonly do: 'save'; readonly path: ByteString; readonly size: number; readonly seed: number }
  /** log -> log.1 -> log.2, and a new log. */
  | { readonly do: 'rotate'; readonly path: ByteString; readonly seed: number }
  /** As `git checkout` does: files of a folder unlinked and written anew, some go, some come. */
  | { readonly do: 'checkout'; readonly path: ByteString; readonly files: number; readonly seed: number }
  /** As `tar x` does: folders and files in a burst, times set at the end. */
  | { readonly do: 'untar'; readonly path: ByteString; readonly files: number; readonly seed: number }
  /** Cut to `size`, or made as a hole of that size, and 4 KiB written at each of `at`. */
  | {
      readonly do: 'sparse';
      readonly path: ByteString;
      readonly size: number;
      readonly at: readonly number[];
      readonly seed: number;
    }
  /** `count` extended attributes of `size` bytes each. */
  | {
      readonly do: 'attributes';
      readonly path: ByteString;
      readonly namespace: 'user' | 'trusted';
      readonly count: number;
      readonly size: number;
      readonly seed: number;
    }
  /** So many folders, up to 20 in each other folder, and a small file in every fourth. */
  | { readonly do: 'folders'; readonly path: ByteString; readonly count: number; readonly seed: number }
  /** Files that are not at rest for `forMs`: each is written to every `everyMs`. */
  | {
      readonly do: 'busy';
      readonly files: readonly BusyFile[];
      readonly forMs: number;
      readonly everyMs: number;
      readonly seed: number;
    }
  | { readonly do: 'pause'; readonly ms: number };

export interface BusyFile {
  readonly path: ByteString;
  /**
   * `append`: held open, a log. `in-place`: held open, pages of it written over, a database. `reopen`: opened, appended to and closed each time.
   * `overwrite`: written over from its start without being cut short, then closed, and again (`rsync --inplace`). `upload`: made
   * slowly, then held open. `recreate`: made anew each time.
   */
  readonly how: 'append' | 'in-place' | 'reopen' | 'overwrite' | 'upload' | 'recreate';
  readonly size: number;
}

/** For people: one line whatever the names hold. */
export function showOperation(operation: Operation): string {
  return JSON.stringify(operation);
}
