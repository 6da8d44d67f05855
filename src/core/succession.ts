// Which tree is the main one of a line: the first source, and after it whatever replica was promoted last (I9).

import type { Name } from './name.ts';

/** What a root's own folder remembers of it. */
export interface Succession {
  /** The line: the id of its first source. */
  readonly sourceId: string;
  /** When the line's main was promoted, as far as this root knows (ms since 1970); 0: it is the first source. The later one is the main. */
  readonly promotedAt: number;
  /** This root is the main: it was promoted. False: it follows. */
  readonly isMain: boolean;
  /** It was the main, and has not been compared with the one that took its place to the end yet. */
  readonly wasMain: boolean;
  /** It has had a whole copy of the line's tree, whatever has happened since. */
  readonly isWhole: boolean;
  /** `Welcome.descent` of the source that it follows; left out: that said none, or the root is the main. */
  readonly descent?: readonly string[] | undefined;
}

/** What a source that is a replica, or was one, has from that. */
export interface Inheritance {
  /** Who it is: the line that it was promoted in; its own id as long as it only hands on what it follows. */
  readonly sourceId: string;
  /** As in `Succession`, of the line that it is the main of. */
  readonly promotedAt: number;
  /** The line that it follows itself. */
  readonly follows: string | undefined;
  /** The state folder of the replica that it was: its records say what the main before it had sent. */
  readonly formerState: string | undefined;
  /** A name at the top of its tree that is not of the tree: the replica's own folder. */
  readonly hidden: Name | undefined;
}
