// Where a history takes place: the source and what lies beside it on file systems of its own, one more for each replica.

import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type FileSystemType, type MountedFileSystem, mountFileSystem } from '../contract/filesystems.ts';
import type { ReplicaPlace } from '../support/replica-place.ts';
import type { TortureOptions } from './options.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { idCount } from './verified.ts';

export const nobodyUid = 65534;
/** For hundreds of large files, and two copies of them on a replica's file system. */
const roomyBytes = 2 ** 30;

export class World {
  /** Holds `tree` and `staging`; the writers' root. */
  readonly path: string;
  readonly source: string;
  /** Paths below the writers' root where another file system is mounted. */
  readonly spans: readonly string[];
  readonly replicas: readonly ReplicaPlace[];
  readonly folder: string;
  readonly state: string;
  readonly versions: string;
  readonly uid: number;
  readonly #mounts: MountedFileSystem[] = [];
  readonly #extraMounts: string[] = [];

  constructor(options: TortureOptions, scenario: Scenario) {
    const bytes = scenario.isRoomy ? roomyBytes : undefined;
    this.uid = options.user === 'root' ? 0 : nobodyUid;
    this.folder = mkdtempSync(join(tmpdir(), 'fam-torture-'));
    this.state = join(this.folder, 'state');
    this.versions = join(this.folder, 'versions');
    try {
      this.path = this.#mount(sourceType(options.fs), bytes);
      this.source = join(this.path, 'tree');
      for (const folder of [this.source, join(this.path, 'staging'), this.state]) this.#folder(folder);
      chmodSync(this.folder, 0o755);
      writeFileSync(this.versions, Buffer.alloc(4 * idCount));
      this.spans = options.fs === 'span' ? [this.#span()] : [];
      const type = options.fs === 'overlayfs' || options.fs === 'span' ? 'tmpfs' : options.fs;
      this.replicas = Array.from({ length: options.replicas }, (_, n) => {
        const isLast = n > 0 && n === options.replicas - 1;
        const own = n === 0 ? type : isLast && scenario.isLastSmaller ? 'ext4' : 'tmpfs';
        const mount = this.#mount(own, bytes);
        const root = join(mount, `replica-${n + 1}`);
        chownSync(mount, this.uid, this.uid);
        this.#folder(root);
        return { root, mount };
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    for (const mount of this.#extraMounts.splice(0)) execFileSync('umount', ['-l', mount]);
    for (const mount of this.#mounts.splice(0)) mount.unmount();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #mount(type: FileSystemType, bytes: number | undefined): string {
    const mounted = mountFileSystem(type, bytes);
    this.#mounts.push(mounted);
    // Device nodes are made, never opened.
    execFileSync('mount', ['-o', 'remount,nodev', mounted.path]);
    for (const folder of [dirname(mounted.path), mounted.path]) chmodSync(folder, 0o755);
    return mounted.path;
  }

  #span(): string {
    const point = join(this.source, 'span');
    mkdirSync(point);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128m,nodev', 'tmpfs', point]);
    this.#extraMounts.push(point);
    chownSync(point, this.uid, this.uid);
    return '/tree/span';
  }

  #folder(path: string): void {
    mkdirSync(path, { mode: 0o755 });
    chownSync(path, this.uid, this.uid);
  }
}

function sourceType(fs: TortureOptions['fs']): FileSystemType {
  if (fs === 'overlayfs') return 'overlay';
  return fs === 'span' ? 'ext4' : fs;
}
