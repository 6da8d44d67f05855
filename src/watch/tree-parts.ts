// What all the parts of a watched tree work with. TreeWatch makes it, once for a tree.

import type { ByteString } from '../core/name.ts';
import type { Doubts } from './doubts.ts';
import type { FollowedLinks } from './followed-links.ts';
import type { InterestFilter } from './interest.ts';
import type { Settling } from './settling.ts';
import type { Shadow } from './shadow.ts';
import type { Teller } from './teller.ts';
import type { WatchedRoot } from './watched-root.ts';

/**
 * Something that cannot be watched.
 * @param path relative to the root
 * @param errno as system calls return it
 */
export type ReportProblem = (path: ByteString, errno: number) => void;

export interface TreeParts {
  /** Of the root, absolute. */
  readonly path: ByteString;
  readonly shadow: Shadow;
  readonly filter: InterestFilter;
  readonly root: WatchedRoot;
  readonly teller: Teller;
  readonly settling: Settling;
  readonly doubts: Doubts;
  readonly links: FollowedLinks;
  readonly problem: ReportProblem;
  /** Throws when the watch was closed meanwhile; to be called now and then by what takes long. */
  readonly mustGoOn: () => void;
  /** No descriptor was left to look at something: everything is compared when there is one. */
  readonly starved: () => void;
}
