// A folder as its host knows it: enough to tell on a host whether it is a folder of that very host.

export interface HostPlace {
  /** The running kernel, by its boot id. */
  readonly boot: string;
  /** Real path, text. */
  readonly path: string;
  /** Device and inode number. */
  readonly file: string;
}
