// Which directories list the inode numbers that stat shows. Elsewhere (overlayfs, btrfs subvolumes, FUSE) each name has to be asked.

import { describeFileSystem } from '../kernel/file-system.ts';
import { fstat, Stat } from '../kernel/stat.ts';

/** What can be taken from a directory's listing without asking each name. */
export type Trust = 'all' | 'files' | 'nothing';

/** File systems whose directories list the numbers of files and directories alike. */
const exact: ReadonlySet<string> = new Set(['ext4', 'xfs', 'tmpfs', 'ramfs', 'f2fs']);
/** ... of files only: a nested btrfs subvolume is listed with another number than it has. */
const exactOfFiles: ReadonlySet<string> = new Set(['btrfs']);

function trustIn(type: string): Trust {
  return exact.has(type) ? 'all' : exactOfFiles.has(type) ? 'files' : 'nothing';
}

/** For the tree of one root. */
export class TrustedListings {
  readonly #ofRoot: Trust;
  #hasMounts: boolean;
  /** By device. */
  readonly #byDevice = new Map<number, Trust>();
  readonly #stat = new Stat();

  /**
   * @param rootFd the root
   * @param hasMounts other file systems are mounted below it. Where none is, no directory is asked on which one it lies.
   */
  constructor(rootFd: number, hasMounts: boolean) {
    this.#ofRoot = trustIn(describeFileSystem(rootFd).type);
    this.#hasMounts = hasMounts;
  }

  /** A device's number may be given out again. */
  mountsChanged(): void {
    this.#hasMounts = true;
    this.#byDevice.clear();
  }

  /** Of the directory that the descriptor refers to. */
  of(fd: number): Trust {
    if (!this.#hasMounts) return this.#ofRoot;
    if (fstat(fd, this.#stat) < 0) return 'nothing';
    const { dev } = this.#stat;
    const known = this.#byDevice.get(dev);
    if (known !== undefined) return known;
    const trust = trustIn(describeFileSystem(fd).type);
    this.#byDevice.set(dev, trust);
    return trust;
  }
}
