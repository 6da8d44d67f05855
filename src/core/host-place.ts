// A folder as its host knows it: enough to tell on a host whether it is a folder of that very host.

export interface HostPlace {
  /** The running kernel, by its boot id. */
  readonly boot: string;
  /** Real path, text. */
  readonly path: string;
  /** Device and inode number. */
  readonly file: string;
  /** Inode number and birth: the same after the next boot, when the device may have another number. Left out: an earlier fam does not say. */
  readonly object?: string | undefined;
}
